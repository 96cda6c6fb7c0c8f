import { expect, it } from 'vitest';
import { createRandom } from '../base/random.ts';
import type { Encoder } from '../encoders/index.ts';
import { cutRuns, runSizeOf } from './runs.ts';

const unit = (length: number, sequences = 1) => ({ length, encodings: new Array<never>(sequences) });
const lengthsOf = (runs: readonly (readonly { length: number }[])[]) => runs.map((run) => run.map(({ length }) => length));

/** As cutRuns says it: what all runs cost, computed as long as the longest, in steps of 8 tokens, with 64 for each. */
const cost = (runs: readonly (readonly { length: number; encodings: readonly unknown[] }[])[]) =>
  runs.reduce((sum, run) => {
    const sequences = run.reduce((all, { encodings }) => all + encodings.length, 0);
    return sum + 64 + sequences * 8 * Math.ceil(Math.max(...run.map(({ length }) => length)) / 8);
  }, 0);

it('puts short units apart from long ones where that saves more than a run costs', () => {
  expect(
    lengthsOf(
      cutRuns(
        [16, 120, 16, 16, 16, 112].map((length) => unit(length)),
        2048,
      ),
    ),
  ).toEqual([
    [120, 112],
    [16, 16, 16, 16],
  ]);
  expect(
    lengthsOf(
      cutRuns(
        [40, 24, 32].map((length) => unit(length)),
        2048,
      ),
    ),
  ).toEqual([[40, 32, 24]]);
  expect(cutRuns([], 100)).toEqual([]);
});

it('keeps to the most tokens, but for a unit that has more', () => {
  const runs = cutRuns([unit(96), unit(64), unit(64), unit(64, 4), unit(64)], 128);
  expect(runs.map((run) => run.reduce((sum, { length, encodings }) => sum + length * encodings.length, 0))).toEqual([96, 128, 256, 64]);
});

it('costs no more than any other way to cut', () => {
  const random = createRandom(3);
  for (let round = 0; round < 8; round++) {
    const units = Array.from({ length: 9 }, () => unit(1 + random.below(128), 1 + random.below(2)));
    const sorted = units.toSorted((a, b) => b.length - a.length);
    let least = Number.POSITIVE_INFINITY;
    for (let cuts = 0; cuts < 2 ** 8; cuts++) {
      const runs: (typeof units)[] = [[]];
      sorted.forEach((one, i) => {
        runs.at(-1)?.push(one);
        if (i < 8 && cuts & (2 ** i)) runs.push([]);
      });
      least = Math.min(least, cost(runs));
    }
    const cut = cutRuns(units, 10_000);
    expect(cut.flat()).toEqual(sorted);
    expect(cost(cut)).toBe(least);
  }
});

it('are few and large where much trains', () => {
  const weights = new Map([['w', { dtype: 'float32', shape: [100, 10], data: new Float32Array(1000) }]]);
  const encoder = { config: { hidden: 384 }, weights } as unknown as Encoder;
  const [none, all, more] = [0, 1000, 5000].map((trained) => runSizeOf(encoder, trained));
  expect(none).toEqual({ mostTokens: 512, cost: 64 });
  expect(all).toEqual({ mostTokens: 2048, cost: 264 });
  expect(more).toEqual(all);
  const lengths = [96, 96, 16, 16, 16, 16].map((length) => unit(length));
  expect(cutRuns(lengths, 2048, none?.cost)).toHaveLength(2);
  expect(cutRuns(lengths, 2048, 1000)).toHaveLength(1);
});
