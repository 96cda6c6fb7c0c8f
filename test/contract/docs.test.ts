import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ERROR_CODES } from '../../src/base/errors.ts';
import type { CommandDefinition } from '../../src/cli/command.ts';
import { commands } from '../../src/cli/commands.ts';
import { type OptionSpec, optionsOf } from '../../src/cli/options.ts';
import { METRIC_NAMES, TASK_KINDS } from '../../src/tasks/index.ts';

const docs = join(import.meta.dirname, '..', '..', 'docs');
const read = (name: string) => readFileSync(join(docs, name), 'utf8');

it('docs/compatibility.md names tests that are there', () => {
  const named = [...read('compatibility.md').matchAll(/`([\w/.-]+\.test\.ts)`/g)].map(([, path]) => path as string);
  expect(named.length).toBeGreaterThan(50);
  expect(named.filter((path) => !existsSync(join(docs, '..', path.includes('/') ? path : `test/golden/${path}`)))).toEqual([]);
});

// docs/commands.md is written by this test: run it with `-u` after changing a command.
it('docs/commands.md is what the commands declare', async () => {
  const definitions = await Promise.all(Object.values(commands).map((load) => load()));
  const page = [INTRODUCTION, ...definitions.map(section)].join('\n');
  expect(definitions.length).toBeGreaterThanOrEqual(10);
  await expect(page).toMatchFileSnapshot('../../docs/commands.md');
});

const INTRODUCTION = `# Commands

\`multigraft COMMAND --help\` shows the same. Every command also takes \`--json\` (the result as JSON, nothing else on standard
output; the answers of \`predict\` are lines of JSON in any case), \`--debug\` (the stack of an error) and \`--help\`.
Exit code 0 means done, 1 that something failed, 2 wrong usage.
`;

function section(command: CommandDefinition): string {
  const positional: readonly string[] = command.arguments ?? [];
  const specs = optionsOf(command.schema);
  const words = specs.filter(({ key }) => positional.includes(key)).map((spec) => argument(spec));
  const rows = specs.map(
    (spec) => `| ${positional.includes(spec.key) ? `\`${argument(spec)}\`` : flag(spec)} | ${spec.help.replaceAll('|', '\\|')} |`,
  );
  const usage = ['multigraft', command.name, ...words, ...(rows.length > words.length ? ['[flags]'] : [])].join(' ');
  const table = rows.length > 0 ? ['', '| | |', '| --- | --- |', ...rows] : [];
  return [`## ${command.name}`, '', `\`${usage}\`: ${command.summary}.`, ...table, ''].join('\n');
}

function argument({ value, array, required }: OptionSpec): string {
  const name = `${value}${array ? '...' : ''}`;
  return required ? `<${name}>` : `[${name}]`;
}

function flag({ flag: name, kind, value }: OptionSpec): string {
  return kind === 'boolean' ? `\`${name}\`` : `\`${name} ${value.toUpperCase()}\``;
}

it('docs/errors.md explains every error code, and no other', () => {
  const explained = [...read('errors.md').matchAll(/^\| `([a-z]+\.[a-z-]+)` \|/gm)].map(([, code]) => code);
  expect(explained).toEqual(Object.keys(ERROR_CODES));
  expect(explained.length).toBeGreaterThanOrEqual(38);
  expect([...read('errors.md').matchAll(/^\| `[a-z.-]+` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$/gm)]).toHaveLength(explained.length);
});

it('docs/tasks.md names every kind and metric', () => {
  const page = read('tasks.md');
  for (const kind of TASK_KINDS) expect(page).toMatch(new RegExp(`^### ${kind}$`, 'm'));
  for (const metric of METRIC_NAMES) expect(page).toContain(`\`${metric}\``);
});

it('links lead to files that exist, and the index names every page', () => {
  const pages = readdirSync(docs).filter((name) => name.endsWith('.md'));
  const links = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, target]) => ({ page, target: target as string })),
  );
  expect(links.filter(({ target }) => !existsSync(join(docs, target)))).toEqual([]);
  expect(links.length).toBeGreaterThanOrEqual(pages.length - 1);
  const index = read('README.md');
  expect(pages.filter((page) => page !== 'README.md' && !index.includes(`(${page})`))).toEqual([]);
});
