import type { Tensor } from '../base/index.ts';
import { type LinearName, type LinearSite, linearPlace, matrixPath } from '../encoders/index.ts';
import { add, div, matmul, mul, reduceSum, reshape, sqrt, type Value } from '../graph/index.ts';
import type { ParameterSpec } from '../nn/index.ts';
import type { Act } from './act.ts';
import type { MethodContext } from './context.ts';
import { loraPath, type ReadParameter } from './method.ts';

/**
 * The magnitude of DoRA (Liu et al. 2024): what a linear W with a low-rank update ΔW gives, rescaled row by row,
 *
 *   y = m / ‖W + ΔW‖ ⊙ (W x + b + u)
 *
 * u is the update ΔW x as scaled or gated; the norm, of each row, is that of the unscaled one, and gradients flow through it, as in
 * Python. m [out, 1] starts as the norms of W's rows: where ΔW starts at zero, nothing changes.
 */
export function magnitudeParameter(context: MethodContext, linear: LinearName, module: number | undefined): ParameterSpec {
  const { family, encoder } = context;
  const { out, partOf } = linearPlace(family, linear);
  const rows = out(encoder);
  const first = (partOf?.parts?.indexOf(linear) ?? 0) * rows;
  return {
    name: magnitudeName(context, linear, module),
    shape: [rows, 1],
    init: {
      kind: 'derived',
      reads: [`${matrixPath(family, linear, module)}.weight`],
      make: ([weight]) => rowNorms(weight as Tensor, first, rows),
    },
    decay: true,
  };
}

/** An act whose end is rescaled; `halves` of ΔW = up·down. No fusion can open it: the product is no longer of low rank. */
export function withMagnitude(
  { apply, close }: Act<'linear'>,
  halves: () => { readonly down: Value; readonly up: Value },
  context: MethodContext,
  read: ReadParameter,
  { name, module, y, weight }: LinearSite,
): Act<'linear'> {
  return {
    apply,
    close(state, otherwise) {
      const { down, up } = halves();
      const whole = add(weight, matmul(up, down));
      const norms = sqrt(reduceSum(mul(whole, whole), [1]));
      const magnitude = read(magnitudeName(context, name, module));
      const factors = div(reshape(magnitude, [magnitude.shape[0] as number]), reshape(norms, [weight.shape[0] as number]));
      return mul(close?.(state, otherwise) ?? y, factors);
    },
  };
}

function magnitudeName(context: MethodContext, linear: LinearName, module: number | undefined): string {
  return `${loraPath(context, linear, module)}.m.weight`;
}

/** Norms of `count` rows of [n, width], from row `first` on. */
function rowNorms({ shape, data }: Tensor, first: number, count: number): Float32Array {
  const width = shape[1] as number;
  return Float32Array.from({ length: count }, (_, row) => {
    const start = (first + row) * width;
    let sum = 0;
    for (let i = start; i < start + width; i++) sum += (data[i] as number) ** 2;
    return Math.sqrt(sum);
  });
}
