import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { configFields, familyOf } from '../../src/encoders/index.ts';
import {
  attachComposition,
  average,
  type Block,
  batchSplit,
  type ConfiguredMethod,
  configureMethod,
  fuse,
  fusionConfig,
  methodNames,
  multiTask,
  parallel,
  split,
  stack,
} from '../../src/methods/index.ts';
import { settled } from './settings.ts';

const family = familyOf('bert', 'config.json');
const fields = { hidden_size: 128, num_hidden_layers: 2, num_attention_heads: 4, intermediate_size: 64, vocab_size: 24 };
const facts = { family, encoder: family.config(configFields({ model_type: 'bert', ...fields }, 'config.json')) };

const BLOCKS: Readonly<Record<string, Block>> = {
  stack: stack('a', 'b'),
  average: average(['a', 'b']),
  fuse: fuse(['a', 'b'], { name: 'both' }),
};

/** Blocks whose children act on different rows or tokens. */
const APART: Readonly<Record<string, Block>> = {
  batchSplit: batchSplit(['a', 'b'], { batchSizes: 1 }),
  multiTask: multiTask('a', 'b'),
  parallel: parallel('a', 'b'),
  split: split(['a', 'b'], { splits: 4 }),
};

/** The blocks in which adapters of two methods can stand together. */
function blocksOf(first: ConfiguredMethod, second: ConfiguredMethod, blocks = BLOCKS): string {
  const adapters = new Map([
    ['a', first],
    ['b', second],
  ]);
  const possible = Object.entries(blocks).filter(([, block]) => {
    try {
      attachComposition(block, { adapters, fusions: new Map([['both', fusionConfig('dynamic')]]) }, facts);
      return true;
    } catch (error) {
      expect((error as { code?: string }).code).toBe('method.config');
      return false;
    }
  });
  return possible.map(([name]) => name).join(', ');
}

const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'compositions.md'), 'utf8');

it('every method stands in the blocks that the page on compositions says, two of it and one before a bottleneck', () => {
  const told = new Map<string, string>();
  for (const [, names = '', two = '', before = ''] of page.matchAll(/^\| (`[^|]+`) \| ([a-z, ]*) \| ([a-z, ]*) \|$/gm))
    for (const [, name = ''] of names.matchAll(/`([^`]+)`/g)) told.set(name, `${two.trim()} | ${before.trim()}`);
  const adapters = methodNames().filter((name) => configureMethod(name).method.architecture !== undefined);
  const bottleneck = configureMethod('seq_bn');
  const found = adapters.map((name): [string, string] => {
    const method = configureMethod(settled(name));
    return [name, `${blocksOf(method, method)} | ${blocksOf(method, bottleneck)}`];
  });
  expect(adapters.length).toBeGreaterThan(20);
  expect(new Map(found)).toEqual(told);
});

it('of blocks for different rows or tokens the page says which methods cannot be in them', () => {
  const bottleneck = configureMethod('seq_bn');
  const adapters = methodNames().filter((name) => configureMethod(name).method.architecture !== undefined);
  for (const [name, block] of Object.entries(APART)) {
    const [, told = ''] = new RegExp(`^\\| [^|]*\`${name}\`[^|]* \\| (\`.*) \\|$`, 'm').exec(page) ?? [];
    const possible = (first: ConfiguredMethod, second: ConfiguredMethod) => blocksOf(first, second, { [name]: block }) !== '';
    const not = adapters.filter((one) => !possible(configureMethod(settled(one)), bottleneck));
    expect(not.toSorted(), name).toEqual([...told.matchAll(/`([^`]+)`/g)].map(([, method]) => method).toSorted());
    // One of it or two makes no difference.
    expect(adapters.filter((one) => !possible(configureMethod(settled(one)), configureMethod(settled(one))))).toEqual(not);
  }
});
