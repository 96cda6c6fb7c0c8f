import { fail } from '../../base/errors.ts';
import { addDims, broadcastShapes, type Dim, multiplyDims, normalizeAxis, type Shape, sameShape } from '../dim.ts';
import { broadcastReader, generate, nd, strides } from '../nd.ts';
import { apply1, type Nd, type Op, requireShape, type Value } from '../value.ts';

/** Operators that move elements without changing them. */

export const RESHAPE: Op = {
  name: 'Reshape',
  infer: ([x], { shape }) => {
    const [from, to] = [(x as Value).shape, shape as Shape];
    requireShape(multiplyDims(...from) === multiplyDims(...to), 'Reshape', [x as Value], `as many elements as [${to}]`);
    return [{ dtype: (x as Value).dtype, shape: to }];
  },
  gradient: ({ inputs: [x] }, [dy]) => [reshape(dy as Value, (x as Value).shape)],
  reference: ([x], _, [shape]) => [nd(shape as number[], (x as Nd).data)],
  emit: ({ inputs: [x], outputs: [y], attributes }, emitter) => {
    const target = reshapeTarget((x as Value).shape, attributes.shape as Shape);
    emitter.node('Reshape', [emitter.name(x as Value), emitter.shape(target)], [emitter.name(y as Value)]);
  },
};

/** Writes dimensions as 0 (copied) or one −1 (inferred) where ONNX allows it, so that most targets are plain constants. */
function reshapeTarget(from: Shape, to: Shape): Dim[] {
  const target = to.map((dim, axis) => (typeof dim === 'string' && dim === from[axis] ? 0 : dim));
  const open = target.findLastIndex((dim) => typeof dim === 'string');
  if (open >= 0) target[open] = -1;
  return target;
}

export const TRANSPOSE: Op = {
  name: 'Transpose',
  infer: ([x], { perm }) => {
    const order = perm as readonly number[];
    requireShape(
      [...order].sort((a, b) => a - b).every((axis, i) => axis === i) && order.length === (x as Value).shape.length,
      'Transpose',
      [x as Value],
      `a permutation of its axes, not [${order}]`,
    );
    return [{ dtype: (x as Value).dtype, shape: order.map((axis) => (x as Value).shape[axis] as Dim) }];
  },
  gradient: ({ attributes }, [dy]) => {
    const perm = attributes.perm as readonly number[];
    return [
      transpose(
        dy as Value,
        perm.map((_, axis) => perm.indexOf(axis)),
      ),
    ];
  },
  reference: ([x], { perm }, [shape]) => {
    const from = x as Nd;
    const step = strides(from.shape);
    const moved = (perm as readonly number[]).map((axis) => step[axis] as number);
    return [
      generate(shape as number[], (index) => from.data[index.reduce((at, i, axis) => at + i * (moved[axis] as number), 0)] as number),
    ];
  },
};

export const EXPAND: Op = {
  name: 'Expand',
  infer: ([x], { shape }) => {
    const to = shape as Shape;
    requireShape(
      sameShape(broadcastShapes('Expand', (x as Value).shape, to), to),
      'Expand',
      [x as Value],
      `something that broadcasts to [${to}]`,
    );
    return [{ dtype: (x as Value).dtype, shape: to }];
  },
  gradient: (_, [dy]) => [dy],
  reference: ([x], _, [shape]) => [generate(shape as number[], broadcastReader(x as Nd, (shape as number[]).length))],
  emit: ({ inputs: [x], outputs: [y], attributes }, emitter) =>
    emitter.node('Expand', [emitter.name(x as Value), emitter.shape(attributes.shape as Shape)], [emitter.name(y as Value)]),
};

export const CONCAT: Op = {
  name: 'Concat',
  infer: (inputs, { axis }) => {
    const [first, ...rest] = inputs as [Value, ...Value[]];
    const at = axis as number;
    for (const other of rest) {
      const fits = other.shape.length === first.shape.length && other.shape.every((dim, i) => i === at || dim === first.shape[i]);
      requireShape(fits && other.dtype === first.dtype, 'Concat', inputs, `equal dimensions but for axis ${at}`);
    }
    const total = inputs.map((value) => value.shape[at] as Dim).reduce(addDims);
    return [{ dtype: first.dtype, shape: first.shape.map((dim, i) => (i === at ? total : dim)) }];
  },
  gradient: ({ inputs, attributes }, [dy]) => {
    let start: Dim = 0;
    return inputs.map((value) => {
      const from = start;
      start = addDims(start, value.shape[attributes.axis as number] as Dim);
      return slice(dy as Value, attributes.axis as number, from, start);
    });
  },
  reference: (inputs, { axis }, [shape]) => {
    const at = axis as number;
    const starts = inputs.map((_, i) => inputs.slice(0, i).reduce((sum, one) => sum + (one.shape[at] as number), 0));
    return [
      generate(shape as number[], (index) => {
        const which = starts.findLastIndex((start, i) => start <= (index[at] as number) && (inputs[i] as Nd).shape[at] !== 0);
        const from = inputs[which] as Nd;
        const step = strides(from.shape);
        return from.data[
          index.reduce((sum, i, d) => sum + (d === at ? i - (starts[which] as number) : i) * (step[d] as number), 0)
        ] as number;
      }),
    ];
  },
};

/** Elements [start, end) along one axis. Dimensions may be symbolic. */
export const SLICE: Op = {
  name: 'Slice',
  infer: ([x], { axis, start, end }) => {
    const { shape, dtype } = x as Value;
    const length = addDims(end as Dim, negate(start as Dim));
    requireShape(typeof length !== 'number' || length >= 0, 'Slice', [x as Value], `start ${start} before end ${end}`);
    const beyond = addDims(shape[axis as number] as Dim, negate(end as Dim));
    requireShape(
      !(typeof start === 'number' && start < 0) && !(typeof beyond === 'number' && beyond < 0),
      'Slice',
      [x as Value],
      `elements ${start} to ${end} on axis ${axis}`,
    );
    return [{ dtype, shape: shape.map((dim, i) => (i === axis ? length : dim)) }];
  },
  gradient: ({ inputs: [x], attributes }, [dy]) => {
    const axis = attributes.axis as number;
    const { shape } = x as Value;
    const after = addDims(shape[axis] as Dim, negate(attributes.end as Dim));
    return [pad(dy as Value, axis, attributes.start as Dim, after)];
  },
  reference: ([x], { axis, start, end }, [shape], size) => {
    const from = x as Nd;
    const step = strides(from.shape);
    const length = from.shape[axis as number] as number;
    const [first, last] = [size(start as Dim), size(end as Dim)];
    if (first < 0 || last > length)
      fail({
        code: 'session.run',
        subject: 'Slice',
        found: `elements ${first} to ${last}`,
        expected: `a range within the ${length} there are`,
      });
    const shift = first * (step[axis as number] as number);
    return [generate(shape as number[], (index) => from.data[index.reduce((at, i, d) => at + i * (step[d] as number), shift)] as number)];
  },
  emit: ({ inputs: [x], outputs: [y], attributes: { axis, start, end } }, emitter) =>
    emitter.node(
      'Slice',
      [emitter.name(x as Value), emitter.shape([start as Dim]), emitter.shape([end as Dim]), emitter.integers([axis as number])],
      [emitter.name(y as Value)],
    ),
};

function negate(dim: Dim): Dim {
  return typeof dim === 'number' ? -dim : multiplyDims(-1, dim);
}

/** Zeros before and after along one axis. */
export const PAD: Op = {
  name: 'Pad',
  infer: ([x], { axis, before, after }) => [
    {
      dtype: (x as Value).dtype,
      shape: (x as Value).shape.map((dim, i) => (i === axis ? addDims(addDims(dim, before as Dim), after as Dim) : dim)),
    },
  ],
  gradient: ({ inputs: [x], attributes }, [dy]) => {
    const axis = attributes.axis as number;
    const before = attributes.before as Dim;
    return [slice(dy as Value, axis, before, addDims(before, (x as Value).shape[axis] as Dim))];
  },
  reference: ([x], { axis, before }, [shape], size) => {
    const from = x as Nd;
    const step = strides(from.shape);
    const at = axis as number;
    const shift = size(before as Dim);
    return [
      generate(shape as number[], (index) => {
        const i = (index[at] as number) - shift;
        if (i < 0 || i >= (from.shape[at] as number)) return 0;
        return from.data[index.reduce((sum, k, d) => sum + (d === at ? i : k) * (step[d] as number), 0)] as number;
      }),
    ];
  },
  emit: ({ inputs: [x], outputs: [y], attributes: { axis, before, after } }, emitter) =>
    emitter.node(
      'Pad',
      [emitter.name(x as Value), emitter.shape([before as Dim, after as Dim]), '', emitter.integers([axis as number])],
      [emitter.name(y as Value)],
    ),
};

export function reshape(x: Value, shape: Shape): Value {
  return sameShape(x.shape, shape) ? x : apply1(RESHAPE, [x], { shape });
}

export const transpose = (x: Value, perm: readonly number[]) => apply1(TRANSPOSE, [x], { perm });

export function expand(x: Value, shape: Shape): Value {
  return sameShape(x.shape, shape) ? x : apply1(EXPAND, [x], { shape });
}

export function concat(values: readonly Value[], axis: number): Value {
  const [first] = values;
  if (first === undefined) return fail({ code: 'graph.shape', subject: 'Concat', found: 'no inputs', expected: 'at least one' });
  return values.length === 1 ? first : apply1(CONCAT, values, { axis: normalizeAxis(axis, first.shape.length) });
}

export function slice(x: Value, axis: number, start: Dim, end: Dim): Value {
  const at = normalizeAxis(axis, x.shape.length);
  return start === 0 && end === x.shape[at] ? x : apply1(SLICE, [x], { axis: at, start, end });
}

function pad(x: Value, axis: number, before: Dim, after: Dim): Value {
  return apply1(PAD, [x], { axis, before, after });
}

export const SHAPES = [RESHAPE, TRANSPOSE, EXPAND, CONCAT, SLICE, PAD];
