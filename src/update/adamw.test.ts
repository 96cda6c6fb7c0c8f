import { describe, expect, it } from 'vitest';
import { createRandom } from '../base/random.ts';
import { float32, type Tensor } from '../base/tensor.ts';
import { ADAMW, type AdamW, addGradients, globalNorm, updateAdamW } from './adamw.ts';
import { ParameterStore } from './store.ts';

const SIZES = [5, 3, 1];
const DECAYS = [true, false, true];

function storeOf(values: readonly number[][]): ParameterStore {
  const init = { kind: 'constant', value: 0 } as const;
  const store = new ParameterStore(values.map((own, i) => ({ name: `p${i}`, shape: [own.length], init, decay: DECAYS[i] as boolean })));
  values.forEach((own, i) => void store.set(`p${i}`, Float32Array.from(own)));
  return store;
}

const gradientsOf = (values: readonly number[][]) =>
  new Map(values.map((own, i): [string, Tensor] => [`p${i}`, float32([own.length], own)]));

/** AdamW as algorithm 2 of Loshchilov & Hutter 2019 has it (decay times learning rate), with corrected moments written out. */
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

function follow(options: AdamW, scale: number): void {
  const random = createRandom(3);
  const draw = (n: number) => Array.from({ length: n }, () => Math.fround(random.normal()));
  const plain = SIZES.map((size) => ({ value: draw(size), m: new Array<number>(size).fill(0), v: new Array<number>(size).fill(0) }));
  const store = storeOf(plain.map(({ value }) => value));
  for (let t = 1; t <= 5; t++) {
    const gradients = SIZES.map((size) => draw(size).map((g) => Math.fround(g * scale)));
    const learningRate = 0.1 / t;
    const given = gradientsOf(gradients);
    const norm = globalNorm(given);
    updateAdamW(store, given, options, { learningRate, t, norm });
    const expected = plainStep(plain, gradients, learningRate, t, options);
    expect(Math.abs(norm / expected - 1)).toBeLessThan(1e-12);
    plain.forEach(({ value, m, v }, i) => {
      const ours = store.numbers(`p${i}`);
      for (const [name, found, numbers] of [
        ['value', ours.value, value],
        ['first', ours.moment1, m],
        ['second', ours.moment2, v],
      ] as const)
        numbers.forEach(
          (number, k) =>
            void expect(Math.abs((found[k] as number) - number), `${name}${i}[${k}] at step ${t}`).toBeLessThan(
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

  it('makes equal steps of gradients of any size but 0', () => {
    const store = storeOf([[0, 0, 0]]);
    const gradients = gradientsOf([[1e-3, -1e3, 0]]);
    updateAdamW(store, gradients, { ...ADAMW, clip: 0 }, { learningRate: 0.01, t: 1, norm: globalNorm(gradients) });
    expect(Array.from(store.get('p0').data as Float32Array, (x) => Number(x.toFixed(5)))).toEqual([-0.01, 0.01, 0]);
  });

  it('does not move what is frozen, nor its moments, though it decays otherwise', () => {
    const store = storeOf([[1, 2], [3], [4]]);
    const gradients = gradientsOf([[1, 1], [1], [1]]);
    updateAdamW(store, gradients, ADAMW, { learningRate: 0.1, t: 1, norm: 2, frozen: new Set(['p2']) });
    expect(store.numbers('p2')).toEqual({ value: Float32Array.of(4), moment1: Float32Array.of(0), moment2: Float32Array.of(0) });
    expect([...store.numbers('p0').value].map((x) => x.toFixed(3))).toEqual(['0.899', '1.898']);
    expect([...store.numbers('p1').moment1]).toEqual([expect.closeTo(0.05, 6)]);
  });

  it('leaves no denormals behind: moments that fade become 0', () => {
    const store = storeOf([[1, 1]]);
    const once = gradientsOf([[1e-3, 0]]);
    updateAdamW(store, once, { ...ADAMW, weightDecay: 0 }, { learningRate: 1e-3, t: 1, norm: 1e-3 });
    const none = gradientsOf([[0, 0]]);
    for (let t = 2; t < 1200; t++) updateAdamW(store, none, { ...ADAMW, weightDecay: 0 }, { learningRate: 1e-3, t, norm: 0 });
    const { value, moment1 } = store.numbers('p0');
    expect([...moment1]).toEqual([0, 0]);
    expect(value[0]).toBeLessThan(1);
    expect(value[1]).toBe(1);
  });
});

it('gradients of parts add up in place, and their norm is that of all numbers', () => {
  const sums = gradientsOf([[1, 2, 3, 4, 5], [6]]);
  addGradients(sums, gradientsOf([[1, 0, 0, 0, -5], [2]]));
  expect([...sums.values()].map(({ data }) => [...data])).toEqual([[2, 2, 3, 4, 0], [8]]);
  expect(globalNorm(sums)).toBeCloseTo(Math.sqrt(4 + 4 + 9 + 16 + 64), 12);
  expect(() => addGradients(sums, new Map([['other', float32([1], [1])]]))).toThrow("no gradient of 'other'");
});
