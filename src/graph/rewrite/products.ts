import { GEMM, gemm, MATMUL, matmul } from '../ops/products.ts';
import { transpose } from '../ops/shape.ts';
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

/**
 * Aᵀ·B under a transpose becomes Bᵀ·A under another one where A is the wider operand: the engine copies what it reads across
 * its rows, and so copies less. Attention's gradients by keys and values are such products.
 */
export const turnProduct: Rule = ({ op, inputs: [product], attributes: { perm } }) => {
  if (op.name !== 'Transpose' || product?.node.op !== MATMUL) return undefined;
  const { transA, transB, alpha } = product.node.attributes as { transA?: boolean; transB?: boolean; alpha?: number };
  const [a, b] = product.node.inputs as [Value, Value];
  const [wide, narrow] = [a.shape.at(-1), b.shape.at(-1)];
  if (!transA || transB || a.shape.length < 3 || typeof narrow !== 'number' || (typeof wide === 'number' && wide <= narrow))
    return undefined;
  const last = a.shape.length - 1;
  const swap = (axis: number) => (axis === last ? last - 1 : axis === last - 1 ? last : axis);
  return [transpose(matmul(b, a, { transA: true, alpha }), (perm as readonly number[]).map(swap))];
};

/** (a·b)·c for a constant c becomes the product's α. */
export const foldScale: Rule = ({ op, inputs: [x, c] }) => {
  const factor = op.name === 'Mul' ? scalarOf(c as Value) : undefined;
  if (factor === undefined || x?.node.op !== MATMUL || (c as Value).shape.length !== 0) return undefined;
  const { transA, transB, alpha } = x.node.attributes as { transA?: boolean; transB?: boolean; alpha?: number };
  const [a, b] = x.node.inputs as [Value, Value];
  return [matmul(a, b, { transA, transB, alpha: (alpha ?? 1) * factor })];
};

/** (a·c)·b for a constant c becomes the product's α. */
export const foldOperandScale: Rule = ({ op, inputs, attributes }) => {
  if (op !== MATMUL && op !== GEMM) return undefined;
  const { transA, transB, alpha } = attributes as { transA?: boolean; transB?: boolean; alpha?: number };
  const [a, b, bias] = inputs as [Value, Value, Value?];
  const [left, right] = [scaled(a), scaled(b)];
  if (!left && !right) return undefined;
  const options = { transA, transB, alpha: (alpha ?? 1) * (left?.factor ?? 1) * (right?.factor ?? 1) };
  return [bias ? gemm(left?.value ?? a, right?.value ?? b, bias, options) : matmul(left?.value ?? a, right?.value ?? b, options)];
};

/** A value and the constant number it is multiplied by. */
function scaled({ node, shape }: Value): { readonly value: Value; readonly factor: number } | undefined {
  const factor = node.op.name === 'Mul' && node.inputs[1]?.shape.length === 0 ? scalarOf(node.inputs[1]) : undefined;
  const [value] = node.inputs as [Value];
  return factor !== undefined && value.shape.length === shape.length ? { value, factor } : undefined;
}
