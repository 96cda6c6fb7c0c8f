import { describe, expect, it } from 'vitest';
import { createRandom } from '../base/random.ts';
import { float32, type Tensor } from '../base/tensor.ts';
import { input } from '../graph/index.ts';
import { referenceEngine } from '../session/reference.ts';
import { ADAMW, type AdamW, corrections, drawAdamW } from './adamw.ts';

const SIZES = [5, 3];
const DECAYS = [true, false];

/** AdamW as in algorithm 2 of Loshchilov & Hutter 2019 (decay times learning rate), written out over plain numbers. */
function plainStep(
  state: { value: number[]; m: number[]; v: number[] }[],
  gradients: number[][],
  rate: number,
  t: number,
  { beta1, beta2, epsilon, weightDecay, clip }: AdamW,
): number {
  const norm = Math.hypot(...gradients.flat());
  const factor = clip > 0 && norm > clip ? clip / (norm + 1e-6) : 1;
  state.forEach(({ value, m, v }, p) => {
    for (let i = 0; i < value.length; i++) {
      const g = (gradients[p]?.[i] as number) * factor;
      m[i] = beta1 * (m[i] as number) + (1 - beta1) * g;
      v[i] = beta2 * (v[i] as number) + (1 - beta2) * g * g;
      if (DECAYS[p]) value[i] = (value[i] as number) * (1 - rate * weightDecay);
      value[i] =
        (value[i] as number) - (rate * ((m[i] as number) / (1 - beta1 ** t))) / (Math.sqrt((v[i] as number) / (1 - beta2 ** t)) + epsilon);
    }
  });
  return norm;
}

async function follow(options: AdamW, scale: number): Promise<void> {
  const random = createRandom(3);
  const draw = (n: number) => Array.from({ length: n }, () => Math.fround(random.normal()));
  const all = SIZES.map((size, i) => ({
    value: input(`value${i}`, 'float32', [size]),
    gradient: input(`gradient${i}`, 'float32', [size]),
    moment1: input(`first${i}`, 'float32', [size]),
    moment2: input(`second${i}`, 'float32', [size]),
    decay: DECAYS[i] as boolean,
  }));
  const { norm, updated } = drawAdamW(all, options);
  const outputs = {
    norm,
    ...Object.fromEntries(
      updated.flatMap(({ value, moment1, moment2 }, i) => [
        [`value${i}`, value],
        [`first${i}`, moment1],
        [`second${i}`, moment2],
      ]),
    ),
  };
  const session = await referenceEngine().compile({ outputs }, new Map());
  const plain = SIZES.map((size) => ({ value: draw(size), m: new Array<number>(size).fill(0), v: new Array<number>(size).fill(0) }));
  let state: Record<string, Tensor> = Object.fromEntries(
    plain.flatMap(({ value, m, v }, i) => [
      [`value${i}`, float32([value.length], value)],
      [`first${i}`, float32([m.length], m)],
      [`second${i}`, float32([v.length], v)],
    ]),
  );
  for (let t = 1; t <= 5; t++) {
    const gradients = SIZES.map((size) => draw(size).map((g) => Math.fround(g * scale)));
    const rate = Math.fround(0.1 / t);
    const { correction1, correction2 } = corrections(options, t);
    const scalars = { learningRate: float32([], [rate]), correction1: float32([], [correction1]), correction2: float32([], [correction2]) };
    const { norm: found, ...next } = await session.run({
      ...state,
      ...scalars,
      ...Object.fromEntries(gradients.map((g, i) => [`gradient${i}`, float32([g.length], g)])),
    });
    const expected = plainStep(plain, gradients, rate, t, options);
    expect(Math.abs(Number(found?.data[0]) / expected - 1)).toBeLessThan(1e-6);
    state = next;
    plain.forEach(({ value, m, v }, i) => {
      for (const [name, numbers] of [
        ['value', value],
        ['first', m],
        ['second', v],
      ] as const)
        numbers.forEach(
          (number, k) =>
            void expect(Math.abs(Number(next[`${name}${i}`]?.data[k]) - number), `${name}${i}[${k}] at step ${t}`).toBeLessThan(
              1e-6 * Math.max(1, Math.abs(number)),
            ),
        );
    });
  }
}

describe('AdamW', () => {
  it('follows the plain formula with clipping at work', () => follow({ ...ADAMW, weightDecay: 0.3, clip: 0.5 }, 1));
  it('leaves gradients below the limit alone', () => follow({ ...ADAMW, clip: 100 }, 1));
  it('does not clip at 0', () => follow({ ...ADAMW, clip: 0 }, 30));
  it('does not decay at 0', () => follow({ ...ADAMW, weightDecay: 0 }, 1));
  it('makes equal steps of gradients of any size but 0', async () => {
    const { updated } = drawAdamW(
      [
        {
          value: input('v', 'float32', [3]),
          gradient: input('g', 'float32', [3]),
          moment1: input('m', 'float32', [3]),
          moment2: input('s', 'float32', [3]),
          decay: false,
        },
      ],
      { ...ADAMW, clip: 0 },
    );
    const session = await referenceEngine().compile({ outputs: { v: (updated[0] as (typeof updated)[number]).value } }, new Map());
    const zero = float32([3], [0, 0, 0]);
    const { correction1, correction2 } = corrections(ADAMW, 1);
    const { v } = await session.run({
      v: zero,
      m: zero,
      s: zero,
      g: float32([3], [1e-3, -1e3, 0]),
      learningRate: float32([], [0.01]),
      correction1: float32([], [correction1]),
      correction2: float32([], [correction2]),
    });
    expect(Array.from(v?.data as Float64Array, (x) => Number(x.toFixed(5)))).toEqual([-0.01, 0.01, 0]);
  });
});
