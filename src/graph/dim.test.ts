import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addDims,
  bindShape,
  broadcastShapes,
  type Dim,
  evaluateDim,
  isSymbol,
  multiplyDims,
  normalizeAxis,
  sameShape,
  scaledSymbol,
  symbolsOf,
} from './dim.ts';

const BINDINGS = new Map([
  ['B', 7],
  ['S', 11],
  ['T', 13],
]);

/** A dimension built from random sums and products, beside its value computed without them. */
const { polynomial } = fc.letrec<{ polynomial: readonly [Dim, number] }>((tie) => ({
  polynomial: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.integer({ min: -5, max: 9 }).map((n) => [n, n] as const),
    fc.constantFrom('B', 'S', 'T').map((symbol) => [symbol, BINDINGS.get(symbol) as number] as const),
    fc.tuple(tie('polynomial'), tie('polynomial')).map(([[a, x], [b, y]]) => [addDims(a, b), x + y] as const),
    fc.tuple(tie('polynomial'), tie('polynomial')).map(([[a, x], [b, y]]) => [multiplyDims(a, b), x * y] as const),
  ),
}));
const bounded = polynomial.filter(([, value]) => Math.abs(value) < 2 ** 40);

describe('dimensions as polynomials', () => {
  it('mean what their sums and products mean', () => {
    fc.assert(
      fc.property(bounded, ([dim, value]) => {
        expect(evaluateDim(dim, BINDINGS) + 0).toBe(value + 0);
      }),
      { seed: 1 },
    );
  });

  it('have one form: equal polynomials are equal strings', () => {
    fc.assert(
      fc.property(bounded, bounded, bounded, ([a], [b], [c]) => {
        expect(addDims(a, b)).toEqual(addDims(b, a));
        expect(addDims(addDims(a, b), c)).toEqual(addDims(a, addDims(b, c)));
        expect(multiplyDims(a, b)).toEqual(multiplyDims(b, a));
        expect(multiplyDims(multiplyDims(a, b), c)).toEqual(multiplyDims(a, b, c));
        expect(multiplyDims(a, addDims(b, c))).toEqual(addDims(multiplyDims(a, b), multiplyDims(a, c)));
        expect(addDims(a, multiplyDims(-1, a))).toEqual(0);
        expect(multiplyDims(a, 1)).toEqual(a);
        expect(multiplyDims(a, 0)).toEqual(0);
      }),
      { seed: 1 },
    );
  });

  it('are written plainly', () => {
    expect(multiplyDims('S', 'B')).toBe('B*S');
    expect(multiplyDims(2, 'B', 3)).toBe('6*B');
    expect(addDims('S', 10)).toBe('S+10');
    expect(addDims('S', -1)).toBe('S+-1');
    expect(multiplyDims(addDims('B', 1), addDims('B', -1))).toBe('B*B+-1');
    expect(multiplyDims()).toBe(1);
  });

  it('name their symbols', () => {
    expect(symbolsOf(addDims(multiplyDims(2, 'B', 'S'), -4))).toEqual(['B', 'S']);
    expect(symbolsOf(4)).toEqual([]);
    expect(['B', 'B*S', '2*B', 4].map(isSymbol)).toEqual([true, false, false, false]);
    expect([scaledSymbol('4*R'), scaledSymbol('B*S')]).toEqual([{ symbol: 'R', factor: 4 }, undefined]);
  });

  it('without a known value say which symbol is missing', () => {
    expect(() => evaluateDim('B*X', BINDINGS)).toThrow("dimension 'X': found no input that fixes it.");
  });
});

describe('binding symbols', () => {
  const bind = (declared: Dim[], actual: number[], known: [string, number][] = []) => {
    const bindings = new Map(known);
    bindShape("input 'x'", declared, actual, bindings);
    return Object.fromEntries(bindings);
  };

  it('learns plain and scaled symbols', () => {
    expect(bind(['B', 'S', 4], [2, 3, 4])).toEqual({ B: 2, S: 3 });
    expect(bind(['4*R'], [12])).toEqual({ R: 3 });
    expect(bind(['B'], [0])).toEqual({ B: 0 });
  });

  it.each([
    ['another rank', ['B', 4], [4], [], "input 'x': found shape [4]; expected [B,4]."],
    ['another number', ['B', 4], [2, 5], [], "input 'x': found shape [2,5]; expected [B,4] with B=2."],
    ['a contradiction', ['B', 'B'], [2, 3], [], "input 'x': found shape [2,3]; expected [B,B] with B=2."],
    ['an earlier binding', ['B'], [2], [['B', 3]], "input 'x': found shape [2]; expected [B] with B=3."],
    ['an indivisible size', ['4*R'], [10], [], "input 'x': found shape [10]; expected [4*R]."],
    [
      'a wrong product',
      ['B*S'],
      [7],
      [
        ['B', 2],
        ['S', 3],
      ],
      "input 'x': found shape [7]; expected [B*S] with B=2, S=3.",
    ],
  ] as [string, Dim[], number[], [string, number][], string][])('refuses %s', (_, declared, actual, known, message) => {
    expect(() => bind(declared, actual, known)).toThrow(message);
  });

  it('lets a product pass whose symbols are not known yet', () => {
    expect(bind(['B*S'], [7])).toEqual({});
  });
});

describe('shapes', () => {
  it('broadcast as in NumPy', () => {
    expect(broadcastShapes('Add', ['B', 1, 4], ['S', 1])).toEqual(['B', 'S', 4]);
    expect(broadcastShapes('Add', [], [2, 3])).toEqual([2, 3]);
    expect(broadcastShapes('Add', [1], [0])).toEqual([0]);
    expect(() => broadcastShapes('Add', ['B'], ['S'])).toThrow('Add: found [B] and [S]; expected shapes that broadcast.');
  });

  it('are equal when all dimensions are', () => {
    expect(sameShape(['B', 4], ['B', 4])).toBe(true);
    expect(sameShape(['B', 4], ['B'])).toBe(false);
    expect(sameShape(['B'], ['S'])).toBe(false);
  });

  it('count axes from the end', () => {
    expect([normalizeAxis(-1, 3), normalizeAxis(0, 3)]).toEqual([2, 0]);
    for (const axis of [3, -4, 0.5]) expect(() => normalizeAxis(axis, 3)).toThrow(`axis ${axis} of rank 3`);
  });
});
