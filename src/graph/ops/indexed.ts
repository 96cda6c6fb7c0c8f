import { elementCount } from '../../base/index.ts';
import { type Dim, type Shape, sameShape } from '../dim.ts';
import { generate, nd, rowAt } from '../nd.ts';
import { apply1, type Op, requireDtype, requireShape, type Value } from '../value.ts';

/** Operators that read or write at places given by other values. */

/** Rows of `table` (along axis 0): table [N, …], indices [i…] (int32 or int64) → [i…, …]. */
export const GATHER: Op<[Value, Value]> = {
  name: 'Gather',
  infer: ([table, indices]) => {
    requireDtype('Gather', indices, 'int32', 'int64');
    return [{ dtype: table.dtype, shape: [...indices.shape, ...table.shape.slice(1)] }];
  },
  gradient: ({ inputs: [table, indices] }, [dy]) => [scatterRows(dy, indices, table.shape), undefined],
  reference: ([table, indices], _, [shape]) => {
    const width = elementCount(table.shape.slice(1));
    const out = nd(shape);
    indices.data.forEach((index, i) => {
      const start = rowAt(index, table.shape[0] as number) * width;
      out.data.set(table.data.subarray(start, start + width), i * width);
    });
    return [out];
  },
};

/**
 * Adds rows of `updates` [i…, …] into zeros [N, …] at `indices` [i…]: the gradient of {@link GATHER}.
 * Written as ScatterElements with reduction 'add'; ScatterND loses sums when indices repeat and threads meet.
 */
export const SCATTER_ROWS: Op<[Value, Value], { readonly shape: Shape }> = {
  name: 'ScatterElements',
  infer: ([updates, indices], { shape }) => {
    const rank = indices.shape.length;
    requireShape(updates.shape.length === rank + shape.length - 1, 'ScatterElements', [updates, indices], `rows of [${shape}]`);
    return [{ dtype: 'float32', shape }];
  },
  gradient: ({ inputs: [, indices] }, [dy]) => [gather(dy, indices), undefined],
  reference: ([updates, indices], _, [shape]) => {
    const out = nd(shape);
    const width = elementCount(shape.slice(1));
    indices.data.forEach((index, i) => {
      const row = rowAt(index, shape[0] as number);
      for (let j = 0; j < width; j++)
        out.data[row * width + j] = (out.data[row * width + j] as number) + (updates.data[i * width + j] as number);
    });
    return [out];
  },
  emit: ({ inputs: [updates, indices], outputs: [y], attributes: { shape } }, emitter) => {
    const [zeros, flat, wide] = [emitter.fresh('zeros'), emitter.fresh('rows'), emitter.fresh('wide')];
    const [at, spread] = [emitter.fresh('at'), emitter.fresh('spread')];
    emitter.node('ConstantOfShape', [emitter.shape(shape)], [zeros]);
    emitter.node('Reshape', [emitter.name(updates), emitter.shape([-1, ...shape.slice(1)])], [flat]);
    emitter.node('Reshape', [emitter.name(indices), emitter.integers([-1, ...shape.slice(1).map(() => 1)])], [at]);
    emitter.node('Shape', [flat], [wide]);
    emitter.node('Expand', [at, wide], [spread]);
    emitter.node('ScatterElements', [zeros, spread, flat], [emitter.name(y)], { axis: 0, reduction: 'add' });
  },
};

/** Adds elements of `updates` [k, n] into zeros [k, N] at `indices` [k, n], in each row its own: {@link SCATTER_ROWS} for many at once. */
export const SCATTER_EACH: Op<[Value, Value], { readonly shape: Shape }> = {
  name: 'ScatterElements',
  infer: ([updates, indices], { shape }) => {
    requireDtype('ScatterElements', indices, 'int32', 'int64');
    requireShape(
      sameShape(updates.shape, indices.shape) && shape.length === 2,
      'ScatterElements',
      [updates, indices],
      `rows of [${shape}]`,
    );
    return [{ dtype: 'float32', shape }];
  },
  gradient: { none: 'it is drawn for predictions alone' },
  reference: ([updates, indices], _, [shape]) => {
    const out = nd(shape);
    const [count, width] = [updates.shape[1] as number, shape[1] as number];
    updates.data.forEach((value, i) => {
      const at = Math.floor(i / count) * width + rowAt(indices.data[i] as number, width);
      out.data[at] = (out.data[at] as number) + value;
    });
    return [out];
  },
  emit: ({ inputs: [updates, indices], outputs: [y], attributes: { shape } }, emitter) => {
    const zeros = emitter.fresh('zeros');
    emitter.node('ConstantOfShape', [emitter.shape(shape)], [zeros]);
    const names = [zeros, emitter.name(indices), emitter.name(updates)];
    emitter.node('ScatterElements', names, [emitter.name(y)], { axis: 1, reduction: 'add' });
  },
};

/** Picks one element per row: x [N, C], indices [N] → [N]. Written as GatherElements. */
export const PICK: Op<[Value, Value]> = {
  name: 'GatherElements',
  infer: ([x, indices]) => {
    requireDtype('GatherElements', indices, 'int32', 'int64');
    requireShape(x.shape.length === 2 && indices.shape.length === 1, 'GatherElements', [x, indices], '[N, C] and [N]');
    return [{ dtype: x.dtype, shape: [x.shape[0] as Dim] }];
  },
  gradient: ({ inputs: [x, indices] }, [dy]) => [apply1(UNPICK, [dy, indices], { width: x.shape[1] as Dim }), undefined],
  reference: ([x, indices], _, [shape]) => {
    const width = x.shape[1] as number;
    return [generate(shape, ([row]) => x.data[(row as number) * width + rowAt(indices.data[row as number] as number, width)] as number)];
  },
  emit: ({ inputs: [x, indices], outputs: [y] }, emitter) => {
    const [column, picked] = [emitter.fresh('column'), emitter.fresh('picked')];
    emitter.node('Reshape', [emitter.name(indices), emitter.integers([-1, 1])], [column]);
    emitter.node('GatherElements', [emitter.name(x), column], [picked], { axis: 1 });
    emitter.node('Reshape', [picked, emitter.integers([-1])], [emitter.name(y)]);
  },
};

/** x [N], indices [N] → [N, width], zero but for x at the index of each row: the gradient of {@link PICK}. Written as OneHot. */
const UNPICK: Op<[Value, Value], { readonly width: Dim }> = {
  name: 'OneHot',
  infer: ([x], { width }) => [{ dtype: 'float32', shape: [x.shape[0] as Dim, width] }],
  gradient: ({ inputs: [, indices] }, [dy]) => [pick(dy, indices), undefined],
  reference: ([x, indices], _, [shape]) => {
    const out = nd(shape);
    const width = shape[1] as number;
    x.data.forEach((value, row) => {
      out.data[row * width + rowAt(indices.data[row] as number, width)] = value;
    });
    return [out];
  },
  emit: ({ inputs: [x, indices], outputs: [y], attributes: { width } }, emitter) => {
    const [hot, column] = [emitter.fresh('hot'), emitter.fresh('column')];
    const [values, wide] = [emitter.fresh('onOff'), emitter.fresh('wide')];
    // ONNX Runtime has no kernel for int32 indices with an int64 depth.
    emitter.node('Cast', [emitter.name(indices)], [wide], { to: 'int64' });
    emitter.node('Cast', [emitter.integers([0, 1])], [values], { to: 'float32' });
    emitter.node('OneHot', [wide, emitter.shape([width]), values], [hot], { axis: -1 });
    emitter.node('Reshape', [emitter.name(x), emitter.integers([-1, 1])], [column]);
    emitter.node('Mul', [hot, column], [emitter.name(y)]);
  },
};

export const gather = (table: Value, indices: Value) => apply1(GATHER, [table, indices]);
export const pick = (x: Value, indices: Value) => apply1(PICK, [x, indices]);

export function scatterRows(updates: Value, indices: Value, shape: Shape): Value {
  return apply1(SCATTER_ROWS, [updates, indices], { shape });
}

export const INDEXED = [GATHER, SCATTER_ROWS, PICK, UNPICK];
