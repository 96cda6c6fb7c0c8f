import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { commands } from './commands.ts';
import { optionsOf } from './options.ts';

const files = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'));
const withCommand = files.filter((name) => /^export const command\b/m.test(readFileSync(`${import.meta.dirname}/${name}`, 'utf8')));

it('lists every file that exports a command, and no other', () => {
  expect(Object.keys(commands).sort()).toEqual(withCommand.map((name) => name.replace('.ts', '')).sort());
  expect(withCommand.length).toBeGreaterThanOrEqual(1);
});

it.each(Object.entries(commands))('%s is declared in full', async (name, load) => {
  const command = await load();
  const options = optionsOf(command.schema);
  expect(command.name).toBe(name);
  expect(command.summary).not.toBe('');
  expect(new Set(options.map(({ flag }) => flag)).size).toBe(options.length);
  expect(options.filter(({ help }) => /^(\(|$)/.test(help)).map(({ flag }) => flag)).toEqual([]);
  for (const key of command.arguments ?? []) expect(options.map((option) => option.key)).toContain(key);
  const optionalFirst = (command.arguments ?? []).map((key) => options.find((option) => option.key === key)?.required === true);
  expect(optionalFirst).toEqual([...optionalFirst].sort().reverse());
});

it('keeps command files short', () => {
  for (const name of withCommand)
    expect(readFileSync(`${import.meta.dirname}/${name}`, 'utf8').split('\n').length - 1, name).toBeLessThanOrEqual(150);
});
