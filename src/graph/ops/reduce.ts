import { type Dim, normalizeAxis } from '../dim.ts';
import { forEachIndex, nd, strides } from '../nd.ts';
import { type Attributes, apply1, type Emitter, type Node, type Op, requireDtype, requireShape, scalar, type Value } from '../value.ts';
import { cast, div, equal, mul } from './elementwise.ts';
import { expand } from './shape.ts';

/** Reductions over `axes`, kept as dimensions of 1 (`keepdims` is always 1; reshape drops them where needed). */

function reduction(
  name: string,
  start: number,
  step: (sum: number, x: number) => number,
  end: (sum: number, n: number) => number,
  gradient: (node: Node, dy: Value) => Value,
): Op {
  return {
    name,
    infer: ([x], attributes) => {
      requireDtype(name, x as Value, 'float32');
      const axes = axesOf(attributes, (x as Value).shape.length);
      requireShape(axes.length > 0, name, [x as Value], 'at least one axis to reduce');
      return [{ dtype: 'float32', shape: (x as Value).shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim)) }];
    },
    gradient: (node, [dy]) => [gradient(node, dy as Value)],
    reference: ([x], _, [shape]) => {
      const [from, to] = [x as { shape: number[]; data: Float64Array }, shape as number[]];
      const out = nd(to);
      out.data.fill(start);
      const outStrides = strides(to);
      forEachIndex(from.shape, (index, position) => {
        let at = 0;
        for (let axis = 0; axis < to.length; axis++) if (to[axis] !== 1) at += (index[axis] as number) * (outStrides[axis] as number);
        out.data[at] = step(out.data[at] as number, from.data[position] as number);
      });
      const n = from.data.length / out.data.length;
      return [
        nd(
          to,
          out.data.map((sum) => end(sum, n)),
        ),
      ];
    },
    emit: (node, emitter) => emitReduction(name, node, emitter),
  };
}

function axesOf({ axes }: Attributes, rank: number): number[] {
  return (axes as readonly number[]).map((axis) => normalizeAxis(axis, rank));
}

/** Since opset 18 all reductions take their axes as an input. */
function emitReduction(name: string, node: Node, emitter: Emitter): void {
  const axes = emitter.integers(node.attributes.axes as readonly number[]);
  emitter.node(name, [emitter.name(node.inputs[0] as Value), axes], [emitter.name(node.outputs[0] as Value)], { keepdims: 1 });
}

const same = (sum: number) => sum;
const shapeOf = (node: Node) => (node.inputs[0] as Value).shape;

export const REDUCE_SUM = reduction(
  'ReduceSum',
  0,
  (sum, x) => sum + x,
  same,
  (node, dy) => expand(dy, shapeOf(node)),
);
export const REDUCE_MEAN = reduction(
  'ReduceMean',
  0,
  (sum, x) => sum + x,
  (sum, n) => sum / n,
  (node, dy) => {
    const shape = shapeOf(node);
    const counts = axesOf(node.attributes, shape.length).map((axis) => shape[axis] as Dim);
    if (counts.every((n) => typeof n === 'number'))
      return expand(mul(dy, scalar(1 / (counts as number[]).reduce((a, b) => a * b, 1))), shape);
    const n = reduceSum(expand(scalar(1), shape), node.attributes.axes as number[]);
    return expand(div(dy, n), shape);
  },
);
/** Ties share the gradient equally. */
export const REDUCE_MAX = reduction('ReduceMax', Number.NEGATIVE_INFINITY, Math.max, same, (node, dy) => {
  const hit = cast(equal(node.inputs[0] as Value, node.outputs[0] as Value), 'float32');
  return mul(hit, div(dy, reduceSum(hit, node.attributes.axes as number[])));
});

export const reduceSum = (x: Value, axes: readonly number[]) => apply1(REDUCE_SUM, [x], { axes });
export const reduceMean = (x: Value, axes: readonly number[]) => apply1(REDUCE_MEAN, [x], { axes });
export const reduceMax = (x: Value, axes: readonly number[]) => apply1(REDUCE_MAX, [x], { axes });

export const REDUCTIONS = [REDUCE_SUM, REDUCE_MEAN, REDUCE_MAX];
