import { broadcastShapes, sameShape } from '../dim.ts';
import { add, DIV, mul, neg, sub } from '../ops/elementwise.ts';
import { apply1, scalar, scalarOf, type Value } from '../value.ts';
import type { Rule } from './rewrite.ts';

/** Algebra that holds but for rounding: constants folded, neutral elements dropped, widenings that broadcasting does anyway removed. */

const BINARY: Readonly<Record<string, (a: number, b: number) => number>> = {
  Add: (a, b) => a + b,
  Sub: (a, b) => a - b,
  Mul: (a, b) => a * b,
  Div: (a, b) => a / b,
};

/** Scalars of scalars are computed now. */
const foldConstants: Rule = (node) => {
  const f = BINARY[node.op.name];
  const [a, b] = node.inputs.map(scalarOf);
  const isScalar = node.outputs[0].shape.length === 0 && node.outputs[0].dtype === 'float32';
  return f && a !== undefined && b !== undefined && isScalar ? [scalar(f(a, b))] : undefined;
};

/** x+0, x−0, x·1, x/1, −(−x), (x·a)·b, a·x → x·a. */
const dropNeutral: Rule = ({ op, inputs, outputs }) => {
  if ((!(op.name in BINARY) && op.name !== 'Neg') || outputs[0].dtype !== 'float32') return undefined;
  const [a, b] = inputs as [Value, Value];
  const keeps = (x: Value) => sameShape(x.shape, outputs[0].shape);
  const [left, right] = [scalarOf(a), b && scalarOf(b)];
  if (op.name === 'Neg' && a.node.op.name === 'Neg') return [a.node.inputs[0] as Value];
  if ((op.name === 'Add' || op.name === 'Sub') && right === 0 && keeps(a)) return [a];
  if (op.name === 'Add' && left === 0 && keeps(b)) return [b];
  if ((op.name === 'Mul' || op.name === 'Div') && right === 1 && keeps(a)) return [a];
  if (op.name === 'Mul' && left !== undefined && right === undefined) return [mul(b, a)];
  if (op.name === 'Mul' && right !== undefined && a.node.op.name === 'Mul') {
    const inner = scalarOf(a.node.inputs[1] as Value);
    if (inner !== undefined && keeps(a.node.inputs[0] as Value) && b.shape.length === 0)
      return [mul(a.node.inputs[0] as Value, scalar(inner * right))];
  }
  return undefined;
};

/** a + (−b) → a − b; a − (−b) → a + b; (−a)·b stays. */
const foldNegation: Rule = ({ op, inputs }) => {
  if (!(op.name in BINARY)) return undefined;
  const [a, b] = inputs as [Value, Value];
  const inner = b?.node.op.name === 'Neg' ? (b.node.inputs[0] as Value) : undefined;
  if (op.name === 'Add' && inner) return [sub(a, inner)];
  if (op.name === 'Sub' && inner) return [add(a, inner)];
  if (op.name === 'Mul' && a.dtype === 'float32' && b.shape.length === 0 && scalarOf(b) === -1) return [neg(a)];
  return undefined;
};

/** An element-wise operator broadcasts by itself: an Expand before it is dropped when the other operand already has the shape. */
const foldExpand: Rule = (node) => {
  if (!(node.op.name in BINARY)) return undefined;
  const bare = node.inputs.map((value) => (value.node.op.name === 'Expand' ? (value.node.inputs[0] as Value) : value));
  const { shape } = node.outputs[0];
  for (const candidate of [bare, [bare[0], node.inputs[1]], [node.inputs[0], bare[1]]] as [Value, Value][]) {
    const changed = candidate.some((value, i) => value !== node.inputs[i]);
    if (changed && sameShape(broadcastShapes('foldExpand', candidate[0].shape, candidate[1].shape), shape))
      return [apply1(node.op, candidate)];
  }
  return undefined;
};

/** 1/x·y and y/c for a constant c become products. */
const divideByConstant: Rule = ({ op, inputs }) => {
  const divisor = op === DIV ? scalarOf(inputs[1] as Value) : undefined;
  return divisor !== undefined && divisor !== 0 && inputs[1]?.shape.length === 0
    ? [mul(inputs[0] as Value, scalar(1 / divisor))]
    : undefined;
};

export const SIMPLIFICATIONS: readonly Rule[] = [foldConstants, divideByConstant, foldNegation, dropNeutral, foldExpand];
