import { MUL } from '../ops/elementwise.ts';
import { GEMM, gemm, MATMUL, matmul } from '../ops/products.ts';
import { TRANSPOSE, transpose } from '../ops/shape.ts';
import { isDrawnBy, scalarOf, type Value } from '../value.ts';
import type { Rule } from './rewrite.ts';

/** A transpose of the last two axes before a product becomes the product's own flag: nothing is copied. */
export const foldTranspose: Rule = (node) => {
  if (!isDrawnBy(MATMUL, node)) return undefined;
  const { transA = false, transB = false, alpha } = node.attributes;
  const [a, b] = node.inputs;
  const [bareA, bareB] = [swapped(a), swapped(b)];
  if (!bareA && !bareB) return undefined;
  return [
    matmul(bareA ?? a, bareB ?? b, {
      transA: transA !== (bareA !== undefined),
      transB: transB !== (bareB !== undefined),
      alpha,
    }),
  ];
};

/** The value under a transpose of the last two axes only. */
function swapped({ node }: Value): Value | undefined {
  if (!isDrawnBy(TRANSPOSE, node)) return undefined;
  const { perm } = node.attributes;
  const last = perm.length - 1;
  const swaps = perm[last] === last - 1 && perm[last - 1] === last && perm.slice(0, -2).every((axis, i) => axis === i);
  return swaps ? node.inputs[0] : undefined;
}

/**
 * Aᵀ·B under a transpose becomes Bᵀ·A under another one where A is the wider operand: the engine copies what it reads across
 * its rows, and so copies less. Attention's gradients by keys and values are such products.
 */
export const turnProduct: Rule = (node) => {
  if (!isDrawnBy(TRANSPOSE, node)) return undefined;
  const product = node.inputs[0].node;
  if (!isDrawnBy(MATMUL, product)) return undefined;
  const { transA, transB, alpha } = product.attributes;
  const [a, b] = product.inputs;
  const [wide, narrow] = [a.shape.at(-1), b.shape.at(-1)];
  if (!transA || transB || a.shape.length < 3 || typeof narrow !== 'number' || (typeof wide === 'number' && wide <= narrow))
    return undefined;
  const last = a.shape.length - 1;
  const swap = (axis: number) => (axis === last ? last - 1 : axis === last - 1 ? last : axis);
  return [transpose(matmul(b, a, { transA: true, alpha }), node.attributes.perm.map(swap))];
};

/** (a·b)·c for a constant c becomes the product's α. */
export const foldScale: Rule = (node) => {
  if (!isDrawnBy(MUL, node)) return undefined;
  const [x, c] = node.inputs;
  const factor = scalarOf(c);
  if (factor === undefined || !isDrawnBy(MATMUL, x.node) || c.shape.length !== 0) return undefined;
  const { transA, transB, alpha = 1 } = x.node.attributes;
  return [matmul(...x.node.inputs, { transA, transB, alpha: alpha * factor })];
};

/** (a·c)·b for a constant c becomes the product's α. */
export const foldOperandScale: Rule = (node) => {
  if (!isDrawnBy(MATMUL, node) && !isDrawnBy(GEMM, node)) return undefined;
  const { transA, transB, alpha = 1 } = node.attributes;
  const [a, b, bias] = node.inputs;
  const [left, right] = [scaled(a), scaled(b)];
  if (!left && !right) return undefined;
  const options = { transA, transB, alpha: alpha * (left?.factor ?? 1) * (right?.factor ?? 1) };
  return [bias ? gemm(left?.value ?? a, right?.value ?? b, bias, options) : matmul(left?.value ?? a, right?.value ?? b, options)];
};

/** A value and the constant number it is multiplied by. */
function scaled({ node, shape }: Value): { readonly value: Value; readonly factor: number } | undefined {
  const factor = node.op.name === 'Mul' && node.inputs[1]?.shape.length === 0 ? scalarOf(node.inputs[1]) : undefined;
  const [value] = node.inputs as [Value];
  return factor !== undefined && value.shape.length === shape.length ? { value, factor } : undefined;
}
