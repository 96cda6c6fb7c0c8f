import { type Dim, normalizeAxis } from '../dim.ts';
import { broadcast, nd } from '../nd.ts';
import { apply1, type Node, type Op, requireDtype, requireShape, scalar, type Value } from '../value.ts';
import { cast, div, equal, mul } from './elementwise.ts';
import { expand } from './shape.ts';

/** Reductions over `axes`, kept as dimensions of 1 (`keepdims` is always 1; reshape drops them where needed). */

type Reduced = { readonly axes: readonly number[] };

function reduction(
  name: string,
  start: number,
  step: (sum: number, x: number) => number,
  end: (sum: number, n: number) => number,
  gradient: (node: Node<[Value], Reduced>, dy: Value) => Value,
): Op<[Value], Reduced> {
  return {
    name,
    infer: ([x], { axes }) => {
      requireDtype(name, x, 'float32');
      requireShape(axes.length > 0, name, [x], 'at least one axis to reduce');
      const reduced = fromStart(axes, x.shape.length);
      return [{ dtype: 'float32', shape: x.shape.map((dim, axis) => (reduced.includes(axis) ? 1 : dim)) }];
    },
    gradient: (node, [dy]) => [gradient(node, dy)],
    reference: ([x], _, [shape]) => {
      const out = nd(shape);
      out.data.fill(start);
      const at = broadcast({ shape, data: Float64Array.from(out.data, (_, i) => i) }, x.shape);
      for (const [i, value] of x.data.entries()) out.data[at[i] as number] = step(out.data[at[i] as number] as number, value);
      const n = x.data.length / out.data.length;
      const ended = out.data.map((sum) => end(sum, n));
      return [nd(shape, ended)];
    },
    // Since opset 18 all reductions take their axes as an input.
    emit: ({ inputs: [x], outputs: [y], attributes: { axes } }, emitter) =>
      emitter.node(name, [emitter.name(x), emitter.integers(axes)], [emitter.name(y)], { keepdims: 1 }),
  };
}

function fromStart(axes: readonly number[], rank: number): number[] {
  return axes.map((axis) => normalizeAxis(axis, rank));
}

const same = (sum: number) => sum;

export const REDUCE_SUM = reduction(
  'ReduceSum',
  0,
  (sum, x) => sum + x,
  same,
  ({ inputs: [x] }, dy) => expand(dy, x.shape),
);
export const REDUCE_MEAN = reduction(
  'ReduceMean',
  0,
  (sum, x) => sum + x,
  (sum, n) => sum / n,
  ({ inputs: [{ shape }], attributes: { axes } }, dy) => {
    const counts = fromStart(axes, shape.length).map((axis) => shape[axis] as Dim);
    if (counts.every((n) => typeof n === 'number')) return expand(mul(dy, scalar(1 / counts.reduce((a, b) => a * b, 1))), shape);
    const n = reduceSum(expand(scalar(1), shape), axes);
    return expand(div(dy, n), shape);
  },
);
/** Ties share the gradient equally. */
export const REDUCE_MAX = reduction(
  'ReduceMax',
  Number.NEGATIVE_INFINITY,
  Math.max,
  same,
  ({ inputs: [x], outputs: [y], attributes: { axes } }, dy) => {
    const hit = cast(equal(x, y), 'float32');
    return mul(hit, div(dy, reduceSum(hit, axes)));
  },
);

export const reduceSum = (x: Value, axes: readonly number[]) => apply1(REDUCE_SUM, [x], { axes });
export const reduceMean = (x: Value, axes: readonly number[]) => apply1(REDUCE_MEAN, [x], { axes });
export const reduceMax = (x: Value, axes: readonly number[]) => apply1(REDUCE_MAX, [x], { axes });

export const REDUCTIONS = [REDUCE_SUM, REDUCE_MEAN, REDUCE_MAX];
