import { elementCount, fail } from '../../base/index.ts';
import { addDims, broadcastShapes, type Dim, multiplyDims, normalizeAxis, type Shape, sameShape } from '../dim.ts';
import { broadcast, nd, strided, strides } from '../nd.ts';
import { apply1, type Op, requireShape, type Value } from '../value.ts';

/** Operators that move elements without changing them. */

export const RESHAPE: Op<[Value], { readonly shape: Shape }> = {
  name: 'Reshape',
  infer: ([x], { shape }) => {
    requireShape(multiplyDims(...x.shape) === multiplyDims(...shape), 'Reshape', [x], `as many elements as [${shape}]`);
    return [{ dtype: x.dtype, shape }];
  },
  gradient: ({ inputs: [x] }, [dy]) => [reshape(dy, x.shape)],
  reference: ([x], _, [shape]) => [nd(shape, x.data)],
  emit: ({ inputs: [x], outputs: [y], attributes }, emitter) => {
    const target = reshapeTarget(x.shape, attributes.shape);
    emitter.node('Reshape', [emitter.name(x), emitter.shape(target)], [emitter.name(y)]);
  },
};

/** Writes dimensions as 0 (copied) or one −1 (inferred) where ONNX allows it, so that most targets are plain constants. */
function reshapeTarget(from: Shape, to: Shape): Dim[] {
  const target = to.map((dim, axis) => (typeof dim === 'string' && dim === from[axis] ? 0 : dim));
  const open = target.findLastIndex((dim) => typeof dim === 'string');
  if (open >= 0) target[open] = -1;
  return target;
}

export const TRANSPOSE: Op<[Value], { readonly perm: readonly number[] }> = {
  name: 'Transpose',
  infer: ([x], { perm }) => {
    const fits = [...perm].sort((a, b) => a - b).every((axis, i) => axis === i) && perm.length === x.shape.length;
    requireShape(fits, 'Transpose', [x], `a permutation of its axes, not [${perm}]`);
    return [{ dtype: x.dtype, shape: perm.map((axis) => x.shape[axis] as Dim) }];
  },
  gradient: ({ attributes: { perm } }, [dy]) => {
    const inverse = perm.map((_, axis) => perm.indexOf(axis));
    return [transpose(dy, inverse)];
  },
  reference: ([x], { perm }, [shape]) => {
    const step = strides(x.shape);
    const moved = perm.map((axis) => step[axis] as number);
    return [{ shape, data: strided(x.data, shape, moved) }];
  },
};

export const EXPAND: Op<[Value], { readonly shape: Shape }> = {
  name: 'Expand',
  infer: ([x], { shape }) => {
    requireShape(sameShape(broadcastShapes('Expand', x.shape, shape), shape), 'Expand', [x], `something that broadcasts to [${shape}]`);
    return [{ dtype: x.dtype, shape }];
  },
  gradient: (_, [dy]) => [dy],
  reference: ([x], _, [shape]) => [{ shape, data: broadcast(x, shape) }],
  emit: ({ inputs: [x], outputs: [y], attributes }, emitter) =>
    emitter.node('Expand', [emitter.name(x), emitter.shape(attributes.shape)], [emitter.name(y)]),
};

export const CONCAT: Op<[Value, ...Value[]], { readonly axis: number }> = {
  name: 'Concat',
  infer: (inputs, { axis }) => {
    const [first, ...rest] = inputs;
    for (const other of rest) {
      const fits = other.shape.length === first.shape.length && other.shape.every((dim, i) => i === axis || dim === first.shape[i]);
      requireShape(fits && other.dtype === first.dtype, 'Concat', inputs, `equal dimensions but for axis ${axis}`);
    }
    const total = inputs.map((value) => value.shape[axis] as Dim).reduce(addDims);
    return [{ dtype: first.dtype, shape: first.shape.map((dim, i) => (i === axis ? total : dim)) }];
  },
  gradient: ({ inputs, attributes: { axis } }, [dy]) => {
    let end: Dim = 0;
    return inputs.map((value) => {
      const start = end;
      end = addDims(start, value.shape[axis] as Dim);
      return slice(dy, axis, start, end);
    });
  },
  reference: (inputs, { axis }, [shape]) => {
    const out = nd(shape);
    const outer = elementCount(shape.slice(0, axis));
    let position = 0;
    for (let i = 0; i < outer; i++)
      for (const { data } of inputs) {
        const block = data.length / outer;
        out.data.set(data.subarray(i * block, (i + 1) * block), position);
        position += block;
      }
    return [out];
  },
};

/** Elements [start, end) along one axis. Dimensions may be symbolic. */
export const SLICE: Op<[Value], { readonly axis: number; readonly start: Dim; readonly end: Dim }> = {
  name: 'Slice',
  infer: ([x], { axis, start, end }) => {
    const { shape, dtype } = x;
    const length = addDims(end, negate(start));
    requireShape(typeof length !== 'number' || length >= 0, 'Slice', [x], `start ${start} before end ${end}`);
    const beyond = addDims(shape[axis] as Dim, negate(end));
    requireShape(
      !(typeof start === 'number' && start < 0) && !(typeof beyond === 'number' && beyond < 0),
      'Slice',
      [x],
      `elements ${start} to ${end} on axis ${axis}`,
    );
    return [{ dtype, shape: shape.map((dim, i) => (i === axis ? length : dim)) }];
  },
  gradient: ({ inputs: [x], attributes: { axis, start, end } }, [dy]) => {
    const after = addDims(x.shape[axis] as Dim, negate(end));
    return [pad(dy, axis, start, after)];
  },
  reference: ([x], { axis, start, end }, [shape], size) => {
    const step = strides(x.shape);
    const length = x.shape[axis] as number;
    const [first, last] = [size(start), size(end)];
    if (first < 0 || last > length)
      fail({
        code: 'session.run',
        subject: 'Slice',
        found: `elements ${first} to ${last}`,
        expected: `a range within the ${length} there are`,
      });
    return [{ shape, data: strided(x.data, shape, step, first * (step[axis] as number)) }];
  },
  emit: ({ inputs: [x], outputs: [y], attributes: { axis, start, end } }, emitter) =>
    emitter.node('Slice', [emitter.name(x), emitter.shape([start]), emitter.shape([end]), emitter.integers([axis])], [emitter.name(y)]),
};

function negate(dim: Dim): Dim {
  return typeof dim === 'number' ? -dim : multiplyDims(-1, dim);
}

/** Zeros before and after along one axis. */
export const PAD: Op<[Value], { readonly axis: number; readonly before: Dim; readonly after: Dim }> = {
  name: 'Pad',
  infer: ([x], { axis, before, after }) => [
    { dtype: x.dtype, shape: x.shape.map((dim, i) => (i === axis ? addDims(addDims(dim, before), after) : dim)) },
  ],
  gradient: ({ inputs: [x], attributes: { axis, before } }, [dy]) => [slice(dy, axis, before, addDims(before, x.shape[axis] as Dim))],
  reference: ([x], { axis, before }, [shape], size) => {
    const out = nd(shape);
    const outer = elementCount(shape.slice(0, axis));
    const [block, padded] = [x.data.length / outer, out.data.length / outer];
    const shift = size(before) * elementCount(shape.slice(axis + 1));
    for (let i = 0; i < outer; i++) out.data.set(x.data.subarray(i * block, (i + 1) * block), i * padded + shift);
    return [out];
  },
  emit: ({ inputs: [x], outputs: [y], attributes: { axis, before, after } }, emitter) =>
    emitter.node('Pad', [emitter.name(x), emitter.shape([before, after]), '', emitter.integers([axis])], [emitter.name(y)]),
};

export function reshape(x: Value, shape: Shape): Value {
  return sameShape(x.shape, shape) ? x : apply1(RESHAPE, [x], { shape });
}

export const transpose = (x: Value, perm: readonly number[]) => apply1(TRANSPOSE, [x], { perm });

export function expand(x: Value, shape: Shape): Value {
  return sameShape(x.shape, shape) ? x : apply1(EXPAND, [x], { shape });
}

export function concat(values: readonly Value[], axis: number): Value {
  const [first, ...rest] = values;
  if (first === undefined) return fail({ code: 'graph.shape', subject: 'Concat', found: 'no inputs', expected: 'at least one' });
  return rest.length === 0 ? first : apply1(CONCAT, [first, ...rest], { axis: normalizeAxis(axis, first.shape.length) });
}

export function slice(x: Value, axis: number, start: Dim, end: Dim): Value {
  const at = normalizeAxis(axis, x.shape.length);
  return start === 0 && end === x.shape[at] ? x : apply1(SLICE, [x], { axis: at, start, end });
}

function pad(x: Value, axis: number, before: Dim, after: Dim): Value {
  return apply1(PAD, [x], { axis, before, after });
}

export const SHAPES = [RESHAPE, TRANSPOSE, EXPAND, CONCAT, SLICE, PAD];
