import { add, concat, div, input, min, mul, reduceSum, reduceSumSquare, reshape, scalar, sqrt, sub, type Value } from '../graph/index.ts';

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

/** A parameter with its gradient and moments, all of one shape. */
export interface Updatable {
  readonly value: Value;
  readonly gradient: Value;
  readonly moment1: Value;
  readonly moment2: Value;
  readonly decay: boolean;
}

export interface Updated {
  readonly value: Value;
  readonly moment1: Value;
  readonly moment2: Value;
}

/**
 * Draws one update of all parameters. Scalar inputs: `learningRate`, and `correction1`, `correction2`, which are
 * 1/(1−β₁ᵗ) and 1/√(1−β₂ᵗ) at step t from 1 ({@link corrections}). The norm is that of the gradients before clipping.
 */
export function drawAdamW(
  all: readonly Updatable[],
  { beta1, beta2, epsilon, weightDecay, clip }: AdamW,
): { norm: Value; updated: Updated[] } {
  const rate = input('learningRate', 'float32', []);
  const [correction1, correction2] = [input('correction1', 'float32', []), input('correction2', 'float32', [])];
  const norm = globalNorm(all.map((one) => one.gradient));
  const factor = clip > 0 ? min(div(scalar(clip), add(norm, scalar(1e-6))), scalar(1)) : undefined;
  const shrink = sub(scalar(1), mul(rate, scalar(weightDecay)));
  const stride = mul(rate, correction1);
  const updated = all.map(({ value, gradient, moment1, moment2, decay }) => {
    const g = factor ? mul(gradient, factor) : gradient;
    const first = add(mul(moment1, scalar(beta1)), mul(g, scalar(1 - beta1)));
    const second = add(mul(moment2, scalar(beta2)), mul(mul(g, g), scalar(1 - beta2)));
    const direction = div(first, add(mul(sqrt(second), correction2), scalar(epsilon)));
    const kept = decay && weightDecay > 0 ? mul(value, shrink) : value;
    return { value: sub(kept, mul(direction, stride)), moment1: first, moment2: second };
  });
  return { norm, updated };
}

/** √Σ‖g‖² over all gradients: a scalar. */
function globalNorm(gradients: readonly Value[]): Value {
  const squares = gradients.map((g) =>
    reshape(
      reduceSumSquare(
        g,
        g.shape.map((_, axis) => axis),
      ),
      [1],
    ),
  );
  return sqrt(reshape(reduceSum(concat(squares, 0), [0]), []));
}

/** The bias corrections of step t, counted from 1. */
export function corrections({ beta1, beta2 }: AdamW, t: number): { correction1: number; correction2: number } {
  return { correction1: 1 / (1 - beta1 ** t), correction2: 1 / Math.sqrt(1 - beta2 ** t) };
}
