import { fail, invariant } from './errors.ts';

/** Element types of values and files. float16 and bfloat16 exist in files only: they are expanded to float32 at load. */
export type DType =
  | 'float64'
  | 'float32'
  | 'float16'
  | 'bfloat16'
  | 'int64'
  | 'int32'
  | 'int16'
  | 'int8'
  | 'uint64'
  | 'uint32'
  | 'uint16'
  | 'uint8'
  | 'bool';

type TensorData =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array;

/** A dense row-major tensor in host memory. `data.length` is the product of `shape`; a scalar has shape []. */
export interface Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: TensorData;
}

const ARRAYS = {
  float64: Float64Array,
  float32: Float32Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int16: Int16Array,
  int8: Int8Array,
  uint64: BigUint64Array,
  uint32: Uint32Array,
  uint16: Uint16Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const;

export function bytesPerElement(dtype: DType): number {
  return ARRAYS[dtype].BYTES_PER_ELEMENT;
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** How many numbers several tensors, or parameters, have together. */
export function totalElements(all: Iterable<{ readonly shape: readonly number[] }>): number {
  let total = 0;
  for (const { shape } of all) total += elementCount(shape);
  return total;
}

export function allocate(dtype: DType, length: number): TensorData {
  return new ARRAYS[dtype](length);
}

/** A tensor over `data` (kept, not copied). Throws `internal.invariant` when the lengths disagree. */
export function tensor(dtype: DType, shape: readonly number[], data: TensorData): Tensor {
  invariant(data.length === elementCount(shape), `tensor of shape [${shape}] over ${data.length} elements`);
  return { dtype, shape, data };
}

export function zeros(dtype: DType, shape: readonly number[]): Tensor {
  return { dtype, shape, data: allocate(dtype, elementCount(shape)) };
}

export function float32(shape: readonly number[], values: ArrayLike<number>): Tensor {
  return tensor('float32', shape, values instanceof Float32Array ? values : Float32Array.from(values));
}

export function int32(shape: readonly number[], values: ArrayLike<number>): Tensor {
  return tensor('int32', shape, values instanceof Int32Array ? values : Int32Array.from(values));
}

/** A typed view of little-endian bytes; copies only when the start is not aligned to the element size. */
export function viewBytes(dtype: DType, bytes: Uint8Array): TensorData {
  const size = bytesPerElement(dtype);
  invariant(bytes.byteLength % size === 0, `${bytes.byteLength} bytes seen as ${dtype}`);
  // A Buffer's slice would be no copy.
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return new ARRAYS[dtype](aligned.buffer as ArrayBuffer, aligned.byteOffset, bytes.byteLength / size);
}

/** The little-endian bytes of a tensor, without a copy. */
export function bytesOf({ data }: Tensor): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** The values as float32 (a view when they are already). Throws `file.dtype` for integers: weights are floating point. */
export function asFloat32(value: Tensor, subject: string): Float32Array {
  const { dtype, data } = value;
  if (data instanceof Float32Array) return data;
  if (data instanceof Float64Array) return Float32Array.from(data);
  if (dtype === 'float16' && data instanceof Uint16Array) return expandFloat16(data);
  if (dtype === 'bfloat16' && data instanceof Uint16Array) return expandBfloat16(data);
  return fail({ code: 'file.dtype', subject, found: dtype, expected: 'a floating-point type' });
}

function expandBfloat16(bits: Uint16Array): Float32Array {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = (bits[i] as number) << 16;
  return new Float32Array(words.buffer);
}

/** IEEE 754 binary16 → binary32, subnormals, infinities and NaN included. */
function expandFloat16(bits: Uint16Array): Float32Array {
  const out = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const h = bits[i] as number;
    const sign = h & 0x8000 ? -1 : 1;
    const exponent = (h >> 10) & 0x1f;
    const fraction = h & 0x3ff;
    if (exponent === 0) out[i] = sign * fraction * 2 ** -24;
    else if (exponent === 31) out[i] = fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
    else out[i] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return out;
}

/** binary32 → binary16, rounding to nearest even; overflow becomes infinity. */
export function toFloat16(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const word = words[i] as number;
    const sign = (word >>> 16) & 0x8000;
    const exponent = ((word >>> 23) & 0xff) - 127;
    const fraction = word & 0x7fffff;
    if (exponent === 128) out[i] = sign | 0x7c00 | (fraction ? 0x200 : 0);
    else if (exponent > 15) out[i] = sign | 0x7c00;
    else if (exponent >= -14) out[i] = sign + roundShift(((exponent + 15) << 23) | fraction, 13);
    else if (exponent >= -25) out[i] = sign + roundShift(fraction | 0x800000, -exponent - 1);
    else out[i] = sign;
  }
  return out;
}

function roundShift(value: number, shift: number): number {
  const kept = value >>> shift;
  const rest = value & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return kept + (rest > half || (rest === half && kept & 1) ? 1 : 0);
}
