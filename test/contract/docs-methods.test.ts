import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { configureMethod, methodNames } from '../../src/methods/index.ts';

const text = readFileSync(new URL('../../docs/methods.md', import.meta.url), 'utf8');
const section = (title: string) => text.split(/^## /m).find((part) => part.startsWith(title)) as string;
const rows = (part: string, header: string) => {
  const [, table = ''] = part.split(`| ${header} |`);
  const lines = (table.split('\n\n')[0] as string).split('\n').slice(2);
  return lines.map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
};

test.each<[title: string, preset: string, count: number, base?: string]>([
  ['Bottleneck adapters', 'seq_bn', 29],
  ['Invertible adapters', 'seq_bn_inv', 27, 'Bottleneck adapters'],
  ['LoRA', 'lora', 17],
  ['DoRA', 'dora', 16, 'LoRA'],
  ['VeRA', 'vera', 14, 'LoRA'],
  ['(IA)³', 'ia3', 11, 'LoRA'],
  ['MTL-LoRA', 'mtl_lora', 20],
  ['Prefix tuning', 'prefix_tuning', 12],
  ['Prompt tuning', 'prompt_tuning', 6],
  ['Projected attention layers', 'pals', 5],
  ['LayerNorm tuning', 'ln_tuning', 2],
  ['Unions', 'mam', 1],
  ['BitFit', 'bitfit', 3],
])('the settings of %s and their defaults are those of the schema', (title, name, count, base) => {
  const { method, config } = configureMethod(name);
  // What the smallest preset leaves alone has its default.
  const tables = [title, ...(base ? [base] : [])].map((part) => rows(section(part), 'key | default | meaning'));
  // A row of its own stands before the base's.
  const listed = [...new Map(tables.toReversed().flatMap((table) => table.map((row) => [row[0], row] as const))).values()];
  expect(listed.map(([key]) => key?.replaceAll('`', '')).sort()).toEqual(Object.keys(config).sort());
  const documented = listed.filter(([, value]) => value !== '');
  const set = Object.keys(method.presets[name] ?? {});
  for (const [key = '', value = ''] of documented) {
    const bare = key.replaceAll('`', '');
    if (!set.includes(bare)) expect(`\`${JSON.stringify(config[bare])}\``, bare).toBe(value);
  }
  expect(documented).toHaveLength(count);
});

test('every name that --method takes stands in the table', () => {
  const listed = rows(text, '`--method` | also called | what it is').flatMap(([name = '', others = '']) => [name, ...others.split(',')]);
  expect(
    listed
      .map((name) => name.replaceAll('`', '').trim())
      .filter(Boolean)
      .sort(),
  ).toEqual(methodNames().sort());
});

/** The schema's own defaults, with nothing that a preset sets. */
const BARE = { mh_adapter: false, output_adapter: true, original_ln_before: false };

test('presets set what their table says', () => {
  const listed = rows(text, 'preset | settings');
  expect(listed).toHaveLength(5);
  for (const [name = '', settings = ''] of listed) {
    const [, base] = /^as `(\w+)`/.exec(settings) ?? [];
    const written = [...settings.replace(/^as `\w+`/, '').matchAll(/`([^`]+)`/g)].map(([, one = '']) =>
      one.includes('=') ? one : `${one}=True`,
    );
    const defaults = base ? configureMethod(base).config : configureMethod('seq_bn', BARE).config;
    const { config } = configureMethod(`seq_bn[${written.join(', ')}]`, {});
    const wanted = Object.fromEntries(
      Object.keys(config).map((key) => [key, written.some((one) => one.startsWith(`${key}=`)) ? config[key] : defaults[key]]),
    );
    expect(configureMethod(name.replaceAll('`', '')).config, name).toEqual(wanted);
  }
});
