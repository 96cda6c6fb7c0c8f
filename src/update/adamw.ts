import { invariant, type Tensor } from '../base/index.ts';
import type { ParameterStore } from './store.ts';

/** AdamW (Loshchilov & Hutter 2019) in the order of PyTorch: decay first, epsilon after the bias correction. */
export interface AdamW {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Largest global norm of the gradients; 0 switches clipping off. */
  readonly clip: number;
}

export const ADAMW: AdamW = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, clip: 1 };

export type Gradients = ReadonlyMap<string, Tensor>;

interface Stride {
  readonly learningRate: number;
  /** Steps so far, this one included. */
  readonly t: number;
  /** Global norm of the gradients. */
  readonly norm: number;
  /** Parameters that keep their values and moments. */
  readonly frozen?: ReadonlySet<string>;
}

/**
 * One update of all parameters and their moments, in place. It is not drawn as a part of the program: there every operation is a
 * pass over memory of its own (docs/decisions.md).
 */
export function updateAdamW(
  store: ParameterStore,
  gradients: Gradients,
  { beta1, beta2, epsilon, weightDecay, clip }: AdamW,
  { learningRate, t, norm, frozen }: Stride,
): void {
  const rates = {
    ...{ beta1, beta2, epsilon },
    factor: clip > 0 ? Math.min(clip / (norm + 1e-6), 1) : 1,
    stride: learningRate / (1 - beta1 ** t),
    correction: 1 / Math.sqrt(1 - beta2 ** t),
  };
  for (const { name, decay } of store.specs) {
    if (frozen?.has(name)) continue;
    const { value, moment1, moment2 } = store.numbers(name);
    const gradient = dataOf(gradients, name);
    invariant(gradient.length === value.length, `a gradient of ${gradient.length} numbers for '${name}'`);
    updateNumbers(value, moment1, moment2, gradient, { ...rates, kept: decay ? 1 - learningRate * weightDecay : 1 });
  }
}

/** √Σ‖g‖² over all gradients. */
export function globalNorm(gradients: Gradients): number {
  let sum = 0;
  for (const name of gradients.keys()) sum += sumOfSquares(dataOf(gradients, name));
  return Math.sqrt(sum);
}

/** Adds gradients of another part of a batch, in place. */
export function addGradients(sums: Gradients, more: Gradients): void {
  for (const name of more.keys()) {
    const [sum, one] = [dataOf(sums, name), dataOf(more, name)];
    for (let i = 0; i < sum.length; i++) (sum[i] as number) += one[i] as number;
  }
}

/** Moments below it become 0: soon they would be denormals of float32, which processors compute with a hundred times as long. */
const NOTHING = 1e-36;

interface Rates extends Pick<AdamW, 'beta1' | 'beta2' | 'epsilon'> {
  readonly factor: number;
  readonly stride: number;
  readonly correction: number;
  readonly kept: number;
}

function updateNumbers(
  value: Float32Array,
  moment1: Float32Array,
  moment2: Float32Array,
  gradient: Float32Array,
  { beta1, beta2, epsilon, factor, stride, correction, kept }: Rates,
): void {
  const [rest1, rest2] = [1 - beta1, 1 - beta2];
  for (let i = 0; i < value.length; i++) {
    const g = (gradient[i] as number) * factor;
    const first = beta1 * (moment1[i] as number) + rest1 * g;
    const second = beta2 * (moment2[i] as number) + rest2 * g * g;
    moment1[i] = Math.abs(first) < NOTHING ? 0 : first;
    moment2[i] = second < NOTHING ? 0 : second;
    value[i] = kept * (value[i] as number) - (stride * first) / (Math.sqrt(second) * correction + epsilon);
  }
}

/** Four sums: one would wait for each addition. */
function sumOfSquares(data: Float32Array): number {
  let [a, b, c, d] = [0, 0, 0, 0];
  const end = data.length - (data.length % 4);
  for (let i = 0; i < end; i += 4) {
    a += (data[i] as number) ** 2;
    b += (data[i + 1] as number) ** 2;
    c += (data[i + 2] as number) ** 2;
    d += (data[i + 3] as number) ** 2;
  }
  for (let i = end; i < data.length; i++) a += (data[i] as number) ** 2;
  return a + b + (c + d);
}

function dataOf(gradients: Gradients, name: string): Float32Array {
  const gradient = gradients.get(name);
  invariant(gradient, `no gradient of '${name}'`);
  return gradient.data as Float32Array;
}
