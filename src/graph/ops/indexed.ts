import { elementCount } from '../../base/tensor.ts';
import type { Dim, Shape } from '../dim.ts';
import { generate, nd, rowAt } from '../nd.ts';
import { apply1, type Nd, type Op, requireDtype, requireShape, type Value } from '../value.ts';

/** Operators that read or write at places given by other values. */

/** Rows of `table` (along axis 0): table [N, …], indices [i…] (int32 or int64) → [i…, …]. */
export const GATHER: Op = {
  name: 'Gather',
  infer: ([table, indices]) => {
    requireDtype('Gather', indices as Value, 'int32', 'int64');
    return [{ dtype: (table as Value).dtype, shape: [...(indices as Value).shape, ...(table as Value).shape.slice(1)] }];
  },
  gradient: ({ inputs: [table, indices] }, [dy]) => [scatterRows(dy as Value, indices as Value, (table as Value).shape), undefined],
  reference: ([table, indices], _, [shape]) => {
    const [from, at] = [table as Nd, indices as Nd];
    const width = elementCount(from.shape.slice(1));
    const out = nd(shape as number[]);
    at.data.forEach((index, i) => {
      const start = rowAt(index, from.shape[0] as number) * width;
      out.data.set(from.data.subarray(start, start + width), i * width);
    });
    return [out];
  },
};

/**
 * Adds rows of `updates` [i…, …] into zeros [N, …] at `indices` [i…]: the gradient of {@link GATHER}.
 * Written as ScatterElements with reduction 'add'; ScatterND loses sums when indices repeat and threads meet.
 */
export const SCATTER_ROWS: Op = {
  name: 'ScatterElements',
  infer: ([updates, indices], { shape }) => {
    const rank = (indices as Value).shape.length;
    requireShape(
      (updates as Value).shape.length === rank + (shape as Shape).length - 1,
      'ScatterElements',
      [updates as Value, indices as Value],
      `rows of [${shape}]`,
    );
    return [{ dtype: 'float32', shape: shape as Shape }];
  },
  gradient: ({ inputs: [, indices] }, [dy]) => [gather(dy as Value, indices as Value), undefined],
  reference: ([updates, indices], _, [shape]) => {
    const out = nd(shape as number[]);
    const width = elementCount((shape as number[]).slice(1));
    (indices as Nd).data.forEach((index, i) => {
      const row = rowAt(index, (shape as number[])[0] as number);
      for (let j = 0; j < width; j++)
        out.data[row * width + j] = (out.data[row * width + j] as number) + ((updates as Nd).data[i * width + j] as number);
    });
    return [out];
  },
  emit: ({ inputs: [updates, indices], outputs: [y], attributes }, emitter) => {
    const shape = attributes.shape as Shape;
    const [zeros, flat, wide, at, spread] = ['zeros', 'rows', 'wide', 'at', 'spread'].map((hint) => emitter.fresh(hint)) as [
      string,
      string,
      string,
      string,
      string,
    ];
    emitter.node('ConstantOfShape', [emitter.shape(shape)], [zeros]);
    emitter.node('Reshape', [emitter.name(updates as Value), emitter.shape([-1, ...shape.slice(1)])], [flat]);
    emitter.node('Reshape', [emitter.name(indices as Value), emitter.integers([-1, ...shape.slice(1).map(() => 1)])], [at]);
    emitter.node('Shape', [flat], [wide]);
    emitter.node('Expand', [at, wide], [spread]);
    emitter.node('ScatterElements', [zeros, spread, flat], [emitter.name(y as Value)], { axis: 0, reduction: 'add' });
  },
};

/** Picks one element per row: x [N, C], indices [N] → [N]. Written as GatherElements. */
export const PICK: Op = {
  name: 'GatherElements',
  infer: ([x, indices]) => {
    requireDtype('GatherElements', indices as Value, 'int32', 'int64');
    requireShape(
      (x as Value).shape.length === 2 && (indices as Value).shape.length === 1,
      'GatherElements',
      [x as Value, indices as Value],
      '[N, C] and [N]',
    );
    return [{ dtype: (x as Value).dtype, shape: [(x as Value).shape[0] as Dim] }];
  },
  gradient: ({ inputs: [x, indices] }, [dy]) => [
    apply1(UNPICK, [dy as Value, indices as Value], { width: (x as Value).shape[1] as Dim }),
    undefined,
  ],
  reference: ([x, indices], _, [shape]) => {
    const width = (x as Nd).shape[1] as number;
    return [
      generate(
        shape as number[],
        ([row]) => (x as Nd).data[(row as number) * width + rowAt((indices as Nd).data[row as number] as number, width)] as number,
      ),
    ];
  },
  emit: ({ inputs: [x, indices], outputs: [y] }, emitter) => {
    const [column, picked] = [emitter.fresh('column'), emitter.fresh('picked')];
    emitter.node('Reshape', [emitter.name(indices as Value), emitter.integers([-1, 1])], [column]);
    emitter.node('GatherElements', [emitter.name(x as Value), column], [picked], { axis: 1 });
    emitter.node('Reshape', [picked, emitter.integers([-1])], [emitter.name(y as Value)]);
  },
};

/** x [N], indices [N] → [N, width], zero but for x at the index of each row: the gradient of {@link PICK}. Written as OneHot. */
const UNPICK: Op = {
  name: 'OneHot',
  infer: ([x], { width }) => [{ dtype: 'float32', shape: [(x as Value).shape[0] as Dim, width as Dim] }],
  gradient: ({ inputs: [, indices] }, [dy]) => [pick(dy as Value, indices as Value), undefined],
  reference: ([x, indices], _, [shape]) => {
    const out = nd(shape as number[]);
    const width = (shape as number[])[1] as number;
    (x as Nd).data.forEach((value, row) => {
      out.data[row * width + rowAt((indices as Nd).data[row] as number, width)] = value;
    });
    return [out];
  },
  emit: ({ inputs: [x, indices], outputs: [y], attributes }, emitter) => {
    const [hot, column] = [emitter.fresh('hot'), emitter.fresh('column')];
    const [values, wide] = [emitter.fresh('onOff'), emitter.fresh('wide')];
    // ONNX Runtime has no kernel for int32 indices with an int64 depth.
    emitter.node('Cast', [emitter.name(indices as Value)], [wide], { to: 'int64' });
    emitter.node('Cast', [emitter.integers([0, 1])], [values], { to: 'float32' });
    emitter.node('OneHot', [wide, emitter.shape([attributes.width as Dim]), values], [hot], { axis: -1 });
    emitter.node('Reshape', [emitter.name(x as Value), emitter.integers([-1, 1])], [column]);
    emitter.node('Mul', [hot, column], [emitter.name(y as Value)]);
  },
};

export const gather = (table: Value, indices: Value) => apply1(GATHER, [table, indices]);
export const pick = (x: Value, indices: Value) => apply1(PICK, [x, indices]);

function scatterRows(updates: Value, indices: Value, shape: Shape): Value {
  return apply1(SCATTER_ROWS, [updates, indices], { shape });
}

export const INDEXED = [GATHER, SCATTER_ROWS, PICK, UNPICK];
