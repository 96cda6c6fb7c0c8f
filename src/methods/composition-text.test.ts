import { expect, it } from 'vitest';
import { average, type Composition, formatComposition, fuse, parseComposition, stack } from './index.ts';

it.each<[text: string, composition: Composition]>([
  ['a', 'a'],
  ["'my adapter'", 'my adapter'],
  ['Stack(a, b)', stack('a', 'b')],
  ['stack( a ,b, )', stack('a', 'b')],
  ['Fuse(sst-2, org/x@1.0)', fuse(['sst-2', 'org/x@1.0'])],
  ["Stack(lang, Fuse(a, Stack(b, c), name='both, of them'))", stack('lang', fuse(['a', stack('b', 'c')], { name: 'both, of them' }))],
  ['Average(a, b, weights=[1, 3])', average(['a', 'b'], { weights: [1, 3] })],
  ['Average(a, b, weights=[1, 3], normalize_weights=False)', average(['a', 'b'], { weights: [1, 3], normalizeWeights: false })],
])('%s', (text, composition) => {
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
  ['a b', "found 'a b'"],
])('%s is refused', (text, message) => {
  expect(() => parseComposition(text)).toThrow(message);
});
