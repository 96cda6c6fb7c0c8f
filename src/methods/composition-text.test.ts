import { expect, it } from 'vitest';
import {
  average,
  BLOCKS,
  batchSplit,
  blocksOf,
  type Composition,
  formatComposition,
  fuse,
  multiTask,
  parallel,
  parseComposition,
  split,
  stack,
} from './index.ts';

const CASES: readonly [text: string, composition: Composition][] = [
  ['a', 'a'],
  ["'my adapter'", 'my adapter'],
  ['Stack(a, b)', stack('a', 'b')],
  ['stack( a ,b, )', stack('a', 'b')],
  ['Fuse(sst-2, org/x@1.0)', fuse(['sst-2', 'org/x@1.0'])],
  ["Stack(lang, Fuse(a, Stack(b, c), name='both, of them'))", stack('lang', fuse(['a', stack('b', 'c')], { name: 'both, of them' }))],
  ['Average(a, b, weights=[1, 3])', average(['a', 'b'], { weights: [1, 3] })],
  ['Average(a, b, weights=[1, 3], normalize_weights=False)', average(['a', 'b'], { weights: [1, 3], normalizeWeights: false })],
  ['BatchSplit(a, Stack(b, c), batch_sizes=[2, 0])', batchSplit(['a', stack('b', 'c')], { batchSizes: [2, 0] })],
  ['batchsplit(a, b, batch_sizes=3)', batchSplit(['a', 'b'], { batchSizes: 3 })],
  ['Split(a, Split(b, c, splits=1), splits=[3, 2])', split(['a', split(['b', 'c'], { splits: 1 })], { splits: [3, 2] })],
  ['Parallel(a, Average(b, c))', parallel('a', average(['b', 'c']))],
  ['MultiTask(Fuse(a, b), Stack(b, c))', multiTask(fuse(['a', 'b']), stack('b', 'c'))],
];

it('there is a text for every block', () => {
  const blocks = CASES.flatMap(([, composition]) => blocksOf(composition).map(({ type }) => type));
  expect(new Set(blocks)).toEqual(new Set(BLOCKS.map(({ type }) => type)));
});

it.each(CASES)('%s', (text, composition) => {
  expect(parseComposition(text)).toEqual(composition);
  expect(parseComposition(formatComposition(composition))).toEqual(composition);
});

it.each([
  ['', 'found nothing; expected the name of an adapter, or a block'],
  ['Stack()', 'found Stack(); expected at least one adapter in it'],
  ['Stak(a, b)', "found the block 'Stak'; expected Stack, Fuse, Average"],
  ['Stack(a, b', "found 'Stack(a, b'"],
  ['Stack(a), b)', 'as many brackets that open as close'],
  ['Stack(a,, b)', 'found nothing'],
  ['Stack(a, depth=3)', "Stack with {'depth': 3}; expected no kwargs"],
  ['Average(a, b, weights=[1])', 'Average with [1]; expected weights: 2 numbers'],
  ['Stack(a, Stack(b))', 'found Stack in Stack'],
  ['Fuse(a, Fuse(b, c))', 'found Fuse in Fuse'],
  ['BatchSplit(a, b)', 'BatchSplit with None; expected'],
  ['Split(a, b, splits=[1])', 'Split with [1]; expected'],
  ['Parallel(a, b, sizes=2)', "Parallel with {'sizes': 2}; expected no kwargs"],
  ['MultiTask(a, Parallel(b, c))', 'found Parallel in MultiTask'],
  ['a b', "found 'a b'"],
])('%s is refused', (text, message) => {
  expect(() => parseComposition(text)).toThrow(message);
});
