import { elementCount, fail } from '../base/index.ts';
import type { Nd } from './value.ts';

/** Helpers of the reference kernels: short and plain rather than fast. */

export function nd(shape: readonly number[], data?: ArrayLike<number>): Nd {
  return { shape, data: data ? Float64Array.from(data) : new Float64Array(elementCount(shape)) };
}

export function strides(shape: readonly number[]): number[] {
  const out = new Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--) out[axis] = (out[axis + 1] as number) * (shape[axis + 1] as number);
  return out;
}

/** Calls `visit` with every multi-index of `shape` (one array, changed in place) and its row-major position. */
export function forEachIndex(shape: readonly number[], visit: (index: readonly number[], position: number) => void): void {
  const count = elementCount(shape);
  const index = new Array<number>(shape.length).fill(0);
  for (let position = 0; position < count; position++) {
    visit(index, position);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis] = (index[axis] as number) + 1;
      if ((index[axis] as number) < (shape[axis] as number)) break;
      index[axis] = 0;
    }
  }
}

/** A tensor of `shape` whose elements are read by multi-index. */
export function generate(shape: readonly number[], read: (index: readonly number[]) => number): Nd {
  const out = nd(shape);
  forEachIndex(shape, (index, position) => {
    out.data[position] = read(index);
  });
  return out;
}

/** Elements of `data`, one for each index of `shape`: an axis steps over `step[axis]` of them, and the first is at `start`. */
export function strided(data: Float64Array, shape: readonly number[], step: readonly number[], start = 0): Float64Array {
  const out = new Float64Array(elementCount(shape));
  const width = shape.at(-1) ?? 1;
  const stride = step.at(-1) ?? 0;
  let position = 0;
  if (width > 0)
    forEachIndex(shape.slice(0, -1), (index) => {
      let at = start;
      for (let axis = 0; axis < index.length; axis++) at += (index[axis] as number) * (step[axis] as number);
      for (let i = 0; i < width; i++, at += stride) out[position++] = data[at] as number;
    });
  return out;
}

/** The elements of `from` at each index of a shape it broadcasts to. */
export function broadcast(from: Nd, shape: readonly number[]): Float64Array {
  if (from.data.length === elementCount(shape)) return from.data;
  const own = strides(from.shape).map((step, axis) => (from.shape[axis] === 1 ? 0 : step));
  return strided(from.data, shape, [...new Array<number>(shape.length - own.length).fill(0), ...own]);
}

export function broadcastMap(shape: readonly number[], inputs: readonly Nd[], f: (...values: number[]) => number): Nd {
  const out = nd(shape);
  const [a, b, c] = inputs.map((one) => broadcast(one, shape)) as [Float64Array, Float64Array?, Float64Array?];
  // Arguments one by one: a call that spreads an array costs ten times as much.
  for (let i = 0; i < out.data.length; i++) {
    const first = a[i] as number;
    if (b === undefined) out.data[i] = f(first);
    else out.data[i] = c === undefined ? f(first, b[i] as number) : f(first, b[i] as number, c[i] as number);
  }
  return out;
}

/** The row that `index` means: negative ones count from the end. Throws `session.run` outside of `rows`. */
export function rowAt(index: number, rows: number): number {
  const row = index < 0 ? index + rows : index;
  if (row < 0 || row >= rows) fail({ code: 'session.run', subject: `index ${index}`, expected: `one of ${rows} rows` });
  return row;
}

/** The error function: a series of positive terms for small, a continued fraction for large arguments; relative error < 1e-14. */
export function erf(x: number): number {
  const z = Math.abs(x);
  if (z > 6) return Math.sign(x);
  if (z < 2.5) {
    let term = z;
    let sum = z;
    for (let n = 1; term > 1e-18 * sum; n++) {
      term *= (2 * z * z) / (2 * n + 1);
      sum += term;
    }
    return (Math.sign(x) * 2 * sum * Math.exp(-z * z)) / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let n = 120; n >= 1; n--) fraction = n / 2 / (z + fraction);
  return Math.sign(x) * (1 - Math.exp(-z * z) / (Math.sqrt(Math.PI) * (z + fraction)));
}
