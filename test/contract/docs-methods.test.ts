import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { configureMethod, METHODS, methodNames } from '../../src/methods/index.ts';

const FOLDER = new URL('../../docs/methods/', import.meta.url);
const INDEX = 'README.md';
const page = (name: string) => readFileSync(new URL(name, FOLDER), 'utf8');
const pages = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.md') && file !== INDEX)
  .map((file) => file.slice(0, -'.md'.length));
const SETTINGS = 'key | default | meaning';

const rows = (part: string, header: string) => {
  const [, table = ''] = part.split(`| ${header} |`);
  const lines = (table.split('\n\n')[0] as string).split('\n').slice(2);
  return lines.map((line) =>
    line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
};

/** The settings that a page lists, and those of the page that it refers to; a row of its own stands before that one's. */
function listed(name: string): string[][] {
  const text = page(`${name}.md`);
  const [, base] = /The settings are those of \[[^\]]+\]\((\w+)\.md\)/.exec(text) ?? [];
  const all = [...(base ? listed(base) : []), ...rows(text, SETTINGS)];
  return [...new Map(all.map((row) => [row[0], row] as const)).values()];
}

test('every method has one page, under the name of one of its presets', () => {
  // What has nothing to set shares a page.
  // What has nothing to set shares the page of the whole encoder.
  const several = METHODS.filter(({ presets }) => !Object.hasOwn(presets, 'head'));
  for (const { name, presets } of several) {
    const its = pages.filter((one) => Object.hasOwn(presets, one));
    expect(its, name).toHaveLength(1);
  }
  expect(pages).toHaveLength(several.length);
});

test.each(pages)('the settings of %s and their defaults are those of the schema', (name) => {
  const { method, config } = configureMethod(name);
  const settings = listed(name);
  expect(settings.map(([key]) => key?.replaceAll('`', '')).sort()).toEqual(Object.keys(config).sort());
  const set = Object.keys(method.presets[name] ?? {});
  for (const [key = '', value = ''] of settings) {
    const bare = key.replaceAll('`', '');
    if (value === '') expect(set, bare).toContain(bare);
    else if (!set.includes(bare)) expect(`\`${JSON.stringify(config[bare])}\``, bare).toBe(value);
  }
});

test('every name that --method takes stands in the table', () => {
  const names = rows(page(INDEX), '`--method` | also called | what it is').flatMap(([name = '', others = '']) => [
    name,
    ...others.split(','),
  ]);
  expect(
    names
      .map((name) => name.replaceAll('`', '').trim())
      .filter(Boolean)
      .sort(),
  ).toEqual(methodNames().sort());
});

/** The schema's own defaults, with nothing that a preset sets. */
const BARE = { mh_adapter: false, output_adapter: true, original_ln_before: false };

test('presets of bottleneck adapters set what their table says', () => {
  const presets = rows(page('seq_bn.md'), 'preset | settings');
  expect(presets).toHaveLength(5);
  for (const [name = '', settings = ''] of presets) {
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
