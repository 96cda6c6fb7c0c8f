import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import * as graph from '../../src/graph/index.ts';
import * as root from '../../src/index.ts';
import * as session from '../../src/session/index.ts';
import * as testing from '../../src/testing/index.ts';

const MODULES: Record<string, unknown> = {
  multigraft: root,
  'multigraft/graph': graph,
  'multigraft/session': session,
  'multigraft/testing': testing,
};
const PAGES = ['engine.md', 'adding-an-operator.md'];

const examples = PAGES.flatMap((page) => {
  const text = readFileSync(new URL(`../../docs/${page}`, import.meta.url), 'utf8');
  return [...text.matchAll(/^```js\n([\s\S]*?)^```/gm)].map((match) => [page, match[1] as string] as const);
});

it.each(examples)('the example of %s prints what it says', async (_, code) => {
  const promised = [...code.matchAll(/\/\/ → (.*)$/gm)].map((match) => match[1]);
  expect(promised.length).toBeGreaterThan(0);
  const body = code.replaceAll(/^import (\{.*\}) from '(.*)';$/gm, "const $1 = modules['$2'];");
  const printed: string[] = [];
  const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor as new (
    ...source: string[]
  ) => (modules: unknown, console: unknown) => Promise<void>;
  await new AsyncFunction('modules', 'console', body)(MODULES, { log: (...values: unknown[]) => void printed.push(values.join(' ')) });
  expect(printed).toEqual(promised);
});

it('each page has one example', () => {
  expect(examples.map(([page]) => page)).toEqual(PAGES);
});
