import { elementCount } from '../../base/index.ts';
import { broadcastShapes, type Dim, type Shape } from '../dim.ts';
import { broadcast, broadcastMap, nd } from '../nd.ts';
import { apply1, type Nd, type Op, requireShape, type Value } from '../value.ts';

/** Matrix products. */

/** What is left at its default is absent, so that equal products have equal attributes. */
export type ProductAttributes = { readonly transA?: true; readonly transB?: true; readonly alpha?: number };

/**
 * α·op(a)·op(b) over the last two axes, leading axes broadcast; op transposes when its flag is set.
 * Without flags this is ONNX MatMul; with them com.microsoft FusedMatMul, which reads the operands as they lie.
 */
export const MATMUL: Op<[Value, Value], ProductAttributes> = {
  name: 'MatMul',
  infer: (inputs, { transA, transB }) => {
    const [a, b] = inputs;
    requireShape(a.shape.length >= 2 && b.shape.length >= 2, 'MatMul', inputs, 'at least two axes each');
    const [rows, inner] = matrix(a.shape, transA === true);
    const [innerB, columns] = matrix(b.shape, transB === true);
    requireShape(
      inner === innerB,
      'MatMul',
      inputs,
      `equal inner dimensions${transA || transB ? ` (transA ${transA ?? false}, transB ${transB ?? false})` : ''}`,
    );
    return [{ dtype: 'float32', shape: [...broadcastShapes('MatMul', a.shape.slice(0, -2), b.shape.slice(0, -2)), rows, columns] }];
  },
  gradient: ({ inputs: [a, b], attributes }, [dy]) => factorGradients(a, b, attributes, dy),
  reference: ([a, b], { transA, transB, alpha }, [shape]) => {
    const [rows, columns] = shape.slice(-2) as [number, number];
    const inner = a.shape.at(transA ? -2 : -1) as number;
    const out = nd(shape);
    const [left, right] = [a.data, b.data];
    const [startA, startB] = [matrixStarts(a, shape), matrixStarts(b, shape)];
    // Where the next row, the next column and the next factor of a sum lie.
    const [rowA, nextA] = transA ? [1, rows] : [inner, 1];
    const [columnB, nextB] = transB ? [inner, 1] : [1, columns];
    let position = 0;
    for (const [i, fromA] of startA.entries())
      for (let row = 0; row < rows; row++)
        for (let column = 0; column < columns; column++) {
          const [atA, atB] = [fromA + row * rowA, (startB[i] as number) + column * columnB];
          let sum = 0;
          for (let k = 0; k < inner; k++) sum += (left[atA + k * nextA] as number) * (right[atB + k * nextB] as number);
          out.data[position++] = sum * (alpha ?? 1);
        }
    return [out];
  },
  emit: ({ inputs, outputs, attributes: { transA, transB, alpha } }, emitter) => {
    const names = inputs.map((value) => emitter.name(value));
    const out = [emitter.name(outputs[0])];
    if (!transA && !transB && (alpha ?? 1) === 1) emitter.node('MatMul', names, out);
    else emitter.node('FusedMatMul', names, out, { transA: transA ? 1 : 0, transB: transB ? 1 : 0, alpha: alpha ?? 1 }, 'com.microsoft');
  },
};

/** The gradients by a and b of α·op(a)·op(b). */
function factorGradients(a: Value, b: Value, { transA = false, transB = false, alpha }: ProductOptions, dy: Value): [Value, Value] {
  return [
    transA ? matmul(b, dy, { transA: transB, transB: true, alpha }) : matmul(dy, b, { transB: !transB, alpha }),
    transB ? matmul(dy, a, { transA: true, transB: transA, alpha }) : matmul(a, dy, { transA: !transA, alpha }),
  ];
}

/** Where each matrix of a product of this shape begins in a factor, whose leading axes broadcast. */
function matrixStarts({ shape: own }: Nd, shape: readonly number[]): number[] {
  const leading = own.slice(0, -2);
  const size = (own.at(-2) as number) * (own.at(-1) as number);
  const starts = { shape: leading, data: Float64Array.from({ length: elementCount(leading) }, (_, i) => i * size) };
  return Array.from(broadcast(starts, shape.slice(0, -2)));
}

function matrix(shape: Shape, transposed: boolean): [Dim, Dim] {
  const [rows, columns] = shape.slice(-2) as [Dim, Dim];
  return transposed ? [columns, rows] : [rows, columns];
}

/** α·op(a)·op(b) + c for two-dimensional a and b and c [N] or [M, N]: a linear layer in one node. */
export const GEMM: Op<[Value, Value, Value], ProductAttributes> = {
  name: 'Gemm',
  infer: (inputs, { transA, transB }) => {
    const [a, b, c] = inputs;
    requireShape(a.shape.length === 2 && b.shape.length === 2, 'Gemm', inputs, 'two axes each');
    const [rows, inner] = matrix(a.shape, transA === true);
    const [innerB, columns] = matrix(b.shape, transB === true);
    requireShape(inner === innerB, 'Gemm', inputs, 'equal inner dimensions');
    const fits =
      c.shape.at(-1) === columns && (c.shape.length === 1 || (c.shape.length === 2 && (c.shape[0] === 1 || c.shape[0] === rows)));
    requireShape(fits, 'Gemm', inputs, `a third operand of [${columns}], [1,${columns}] or [${rows},${columns}]`);
    return [{ dtype: 'float32', shape: [rows, columns] }];
  },
  gradient: ({ inputs: [a, b], attributes }, [dy]) => [...factorGradients(a, b, attributes, dy), dy],
  reference: ([a, b, c], attributes, [shape], size) => {
    const [product] = MATMUL.reference([a, b], attributes, [shape], size) as [Nd];
    return [broadcastMap(shape, [product, c], (x, y) => x + y)];
  },
  emit: ({ inputs, outputs, attributes: { transA, transB, alpha } }, emitter) =>
    emitter.node(
      'Gemm',
      inputs.map((value) => emitter.name(value)),
      [emitter.name(outputs[0])],
      { transA: transA ? 1 : 0, transB: transB ? 1 : 0, alpha: alpha ?? 1 },
    ),
};

interface ProductOptions {
  readonly transA?: boolean | undefined;
  readonly transB?: boolean | undefined;
  readonly alpha?: number | undefined;
}

export function matmul(a: Value, b: Value, { transA, transB, alpha }: ProductOptions = {}): Value {
  return apply1(MATMUL, [a, b], attributesOf({ transA, transB, alpha }));
}

export function gemm(a: Value, b: Value, c: Value, options: ProductOptions = {}): Value {
  return apply1(GEMM, [a, b, c], attributesOf(options));
}

function attributesOf({ transA, transB, alpha }: ProductOptions): ProductAttributes {
  return { ...(transA && { transA }), ...(transB && { transB }), ...(alpha !== undefined && alpha !== 1 && { alpha }) };
}

export const PRODUCTS = [MATMUL, GEMM];
