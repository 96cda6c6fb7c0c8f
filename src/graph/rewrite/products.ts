import { MATMUL, matmul } from '../ops/products.ts';
import type { Value } from '../value.ts';
import { scalarOf } from '../value.ts';
import type { Rule } from './rewrite.ts';

/** A transpose of the last two axes before a product becomes the product's own flag: nothing is copied. */
export const foldTranspose: Rule = (node) => {
  if (node.op !== MATMUL) return undefined;
  const { transA, transB, alpha } = node.attributes as { transA?: boolean; transB?: boolean; alpha?: number };
  const [a, b] = node.inputs as [Value, Value];
  const [bareA, bareB] = [swapped(a), swapped(b)];
  if (!bareA && !bareB) return undefined;
  return [
    matmul(bareA ?? a, bareB ?? b, {
      transA: (transA ?? false) !== (bareA !== undefined),
      transB: (transB ?? false) !== (bareB !== undefined),
      alpha,
    }),
  ];
};

/** The value under a transpose of the last two axes only. */
function swapped(value: Value): Value | undefined {
  if (value.node.op.name !== 'Transpose') return undefined;
  const perm = value.node.attributes.perm as readonly number[];
  const last = perm.length - 1;
  const swaps = perm[last] === last - 1 && perm[last - 1] === last && perm.slice(0, -2).every((axis, i) => axis === i);
  return swaps ? (value.node.inputs[0] as Value) : undefined;
}

/** (a·b)·c for a constant c becomes the product's α. */
export const foldScale: Rule = ({ op, inputs: [x, c] }) => {
  const factor = op.name === 'Mul' ? scalarOf(c as Value) : undefined;
  if (factor === undefined || x?.node.op !== MATMUL || (c as Value).shape.length !== 0) return undefined;
  const { transA, transB, alpha } = x.node.attributes as { transA?: boolean; transB?: boolean; alpha?: number };
  const [a, b] = x.node.inputs as [Value, Value];
  return [matmul(a, b, { transA, transB, alpha: (alpha ?? 1) * factor })];
};
