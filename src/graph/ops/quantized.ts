import type { Dim } from '../dim.ts';
import { generate, nd } from '../nd.ts';
import { apply1, constant, type Op, requireDtype, requireShape, scalar, type Value } from '../value.ts';
import { max, mul, neg } from './elementwise.ts';
import { reduceMax } from './reduce.ts';
import { reshape, transpose } from './shape.ts';

/** Products of 8-bit integers, for programs that no gradient goes through. */

/** Rounds to the nearest integer, halves to the even one, as ONNX does. */
function round(x: number): number {
  const nearest = Math.round(x);
  return Math.abs(x % 1) === 0.5 && nearest % 2 !== 0 ? nearest - 1 : nearest;
}

const clamp = (x: number, least: number, most: number) => Math.min(most, Math.max(least, x));

/** x [n, ...] float32, scale [n] float32, zero [n] int8 → int8: the elements of row i divided by scale i, rounded, plus zero i. */
export const QUANTIZE: Op<[Value, Value, Value]> = {
  name: 'QuantizeLinear',
  infer: (inputs) => {
    const [x, scale, zero] = inputs;
    requireDtype('QuantizeLinear', zero, 'int8');
    const fits = x.shape.length > 0 && [scale, zero].every(({ shape }) => shape.length === 1 && shape[0] === x.shape[0]);
    requireShape(fits, 'QuantizeLinear', inputs, `a scale and a zero point of [${x.shape[0]}]`);
    return [{ dtype: 'int8', shape: x.shape }];
  },
  gradient: { none: 'rounding is constant between its steps, and has no slope on them' },
  reference: ([x, scale, zero], _, [shape]) => {
    const width = x.data.length / (x.shape[0] as number);
    const row = (position: number) => Math.floor(position / width);
    return [
      nd(
        shape,
        x.data.map((v, i) => clamp(round(v / (scale.data[row(i)] as number)) + (zero.data[row(i)] as number), -128, 127)),
      ),
    ];
  },
  emit: ({ inputs, outputs }, emitter) =>
    emitter.node(
      'QuantizeLinear',
      inputs.map((value) => emitter.name(value)),
      [emitter.name(outputs[0])],
      { axis: 0 },
    ),
};

/**
 * x [M, K] float32 times w [K, N] int8, whose column j is scaled by scale [N], plus c [N] → [M, N] float32. x is rounded to
 * 256 steps from min(0, x) to max(0, x), then the product is exact: com.microsoft DynamicQuantizeMatMul.
 */
export const INT8_PRODUCT: Op<[Value, Value, Value, Value]> = {
  name: 'DynamicQuantizeMatMul',
  domain: 'com.microsoft',
  infer: (inputs) => {
    const [x, w, scale, c] = inputs;
    requireDtype('DynamicQuantizeMatMul', w, 'int8');
    requireShape(x.shape.length === 2 && w.shape.length === 2, 'DynamicQuantizeMatMul', inputs, 'two axes each');
    const [rows, inner] = x.shape as [Dim, Dim];
    const [innerB, columns] = w.shape as [Dim, Dim];
    requireShape(inner === innerB, 'DynamicQuantizeMatMul', inputs, 'equal inner dimensions');
    const fits = [scale, c].every(({ shape }) => shape.length === 1 && shape[0] === columns);
    requireShape(fits, 'DynamicQuantizeMatMul', inputs, `scales and a bias of [${columns}]`);
    return [{ dtype: 'float32', shape: [rows, columns] }];
  },
  gradient: { none: 'it rounds what it multiplies: differentiate the product of floats, and quantise the program that no gradient needs' },
  reference: ([x, w, scale, c], _, [shape]) => {
    const [inner, columns] = w.shape as [number, number];
    const least = x.data.reduce((a, b) => Math.min(a, b), 0);
    const most = x.data.reduce((a, b) => Math.max(a, b), 0);
    const step = (most - least) / 255 || 1;
    const zero = clamp(round(-least / step), 0, 255);
    const steps = x.data.map((v) => clamp(round(v / step) + zero, 0, 255) - zero);
    return [
      generate(shape, ([row, column]) => {
        let sum = 0;
        for (let k = 0; k < inner; k++)
          sum += (steps[(row as number) * inner + k] as number) * (w.data[k * columns + (column as number)] as number);
        return sum * step * (scale.data[column as number] as number) + (c.data[column as number] as number);
      }),
    ];
  },
  emit: ({ inputs, outputs }, emitter) => {
    const [x, w, scale, c] = inputs.map((value) => emitter.name(value)) as [string, string, string, string];
    emitter.node('DynamicQuantizeMatMul', [x, w, scale, '', c], [emitter.name(outputs[0])], {}, 'com.microsoft');
  },
};

/** 7 bits, sign included: with 8, processors without VNNI overflow where they add two products in 16 bits. */
const STEPS = 63;
const TINY = 2 ** -100;

/**
 * x [M, K], w [N, K], c [N] → about x·wᵀ + c, by a product of 8-bit integers: each row of w is rounded to ±63 steps of its
 * largest absolute value, x as a whole to 256 steps. ONNX Runtime rounds a frozen w once, when the program is compiled.
 */
export function int8Linear(x: Value, w: Value, c: Value): Value {
  const [columns] = w.shape as [number, number];
  const largest = reshape(reduceMax(max(w, neg(w)), [1]), [columns]);
  // A row of zeros has no scale.
  const scale = max(mul(largest, scalar(1 / STEPS)), scalar(TINY));
  const zero = constant({ dtype: 'int8', shape: [columns], data: new Int8Array(columns) });
  const steps = transpose(apply1(QUANTIZE, [w, scale, zero]), [1, 0]);
  return apply1(INT8_PRODUCT, [x, steps, scale, c]);
}

export const QUANTIZED = [QUANTIZE, INT8_PRODUCT];
