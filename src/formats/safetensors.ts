import {
  bytesOf,
  bytesPerElement,
  type DType,
  type Files,
  fail,
  folderOf,
  invariant,
  joinPath,
  type Tensor,
  truncated,
  viewBytes,
} from '../base/index.ts';
import { compareCodePoints, isJsonObject, type Json, parseJson, readJson } from './json.ts';

/** Where a tensor's bytes lie. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Path of the file that holds the bytes. */
  readonly file: string;
  /** Absolute position of the first element in the file. */
  readonly offset: number;
  /** Bytes from the first element to the end of the last. */
  readonly byteLength: number;
  /** In elements, and only when the elements do not lie row-major one after the other (PyTorch files). */
  readonly strides?: readonly number[];
}

/** What a weight file or a set of shards holds, without the weights themselves. */
export interface TensorIndex {
  readonly path: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

export type SafetensorsIndex = TensorIndex;

/** By increasing alignment, the order of the reference implementation, which writes the widest types first. */
const DTYPE_NAMES: readonly (readonly [DType, string])[] = [
  ['bool', 'BOOL'],
  ['uint8', 'U8'],
  ['int8', 'I8'],
  ['int16', 'I16'],
  ['uint16', 'U16'],
  ['float16', 'F16'],
  ['bfloat16', 'BF16'],
  ['int32', 'I32'],
  ['uint32', 'U32'],
  ['float32', 'F32'],
  ['float64', 'F64'],
  ['int64', 'I64'],
  ['uint64', 'U64'],
];

const HEADER_LIMIT = 100_000_000;
const TENSOR_LIMIT = 2 ** 32;

/**
 * The header of a safetensors file, checked in full against the file's size; no weights are read.
 * Throws `file.truncated`, `file.too-large`, `file.syntax`, `file.duplicate-key`, `file.dtype`, `file.shape`, `file.offsets`.
 */
export async function readSafetensorsIndex(files: Files, path: string): Promise<SafetensorsIndex> {
  const size = await files.size(path);
  if (size < 8) truncated(path, 8, size);
  const prefix = await files.readRange(path, 0, 8);
  const headerLength = Number(new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true));
  if (headerLength > HEADER_LIMIT) {
    const next = 'Check that this is a safetensors file.';
    fail({ code: 'file.too-large', subject: path, found: `a header of ${headerLength} bytes`, expected: `at most ${HEADER_LIMIT}`, next });
  }
  const dataStart = 8 + headerLength;
  if (dataStart > size) truncated(path, dataStart, size);
  const header = parseHeader(await files.readRange(path, 8, dataStart), `${path} (header)`);

  const metadata: Record<string, string> = {};
  const entries: TensorEntry[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') Object.assign(metadata, readMetadata(value, `${path} (__metadata__)`));
    else entries.push(readEntry(name, value, path, dataStart));
  }
  checkLayout(entries, path, dataStart, size);
  return { path, metadata, tensors: new Map(entries.map((entry) => [entry.name, entry])) };
}

/**
 * The weights at `entry`; float16 and bfloat16 stay 16-bit words (`asFloat32` expands them).
 * Throws `file.truncated`, `file.too-large`.
 */
export async function readTensor(files: Files, entry: TensorEntry): Promise<Tensor> {
  const { name, dtype, shape, file, offset, byteLength, strides } = entry;
  const count = countElements(shape) ?? Number.POSITIVE_INFINITY;
  const largest = Math.max(byteLength, count * bytesPerElement(dtype));
  if (largest >= TENSOR_LIMIT) {
    fail({ code: 'file.too-large', subject: `${file}: ${name}`, found: `${largest} bytes`, expected: `less than ${TENSOR_LIMIT}` });
  }
  const data = viewBytes(dtype, await files.readRange(file, offset, offset + byteLength));
  if (strides === undefined) return { dtype, shape, data };

  const gathered = viewBytes(dtype, new Uint8Array(count * bytesPerElement(dtype)));
  const position = shape.map(() => 0);
  let source = 0;
  for (let i = 0; i < count; i++) {
    gathered[i] = data[source] as never;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const step = strides[axis] as number;
      position[axis] = (position[axis] as number) + 1;
      source += step;
      if ((position[axis] as number) < (shape[axis] as number)) break;
      source -= step * (shape[axis] as number);
      position[axis] = 0;
    }
  }
  return { dtype, shape, data: gathered };
}

/** The whole file. Throws what {@link readSafetensorsIndex} and {@link readTensor} throw. */
export async function readSafetensors(
  files: Files,
  path: string,
): Promise<{ tensors: Map<string, Tensor>; metadata: Record<string, string> }> {
  const index = await readSafetensorsIndex(files, path);
  const tensors = new Map<string, Tensor>();
  for (const [name, entry] of index.tensors) tensors.set(name, await readTensor(files, entry));
  return { tensors, metadata: { ...index.metadata } };
}

/** The bytes the Python library writes for the same tensors (metadata in the order given). */
export function writeSafetensors(
  tensors: Iterable<readonly [string, Tensor]>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const rank = new Map(DTYPE_NAMES.map(([dtype], i) => [dtype, i]));
  const sorted = [...tensors].sort(
    ([nameA, a], [nameB, b]) => (rank.get(b.dtype) as number) - (rank.get(a.dtype) as number) || compareCodePoints(nameA, nameB),
  );
  const names = new Map(DTYPE_NAMES);
  const members: string[] = [];
  if (Object.keys(metadata).length > 0) members.push(`"__metadata__":${JSON.stringify(metadata)}`);
  let end = 0;
  for (const [name, value] of sorted) {
    invariant(name !== '__metadata__', 'a tensor named __metadata__');
    const start = end;
    end += value.data.byteLength;
    const entry = { dtype: names.get(value.dtype), shape: value.shape, data_offsets: [start, end] };
    members.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
  }
  invariant(new Set(sorted.map(([name]) => name)).size === sorted.length, 'tensor names must differ');
  const header = new TextEncoder().encode(`{${members.join(',')}}`);
  const headerLength = Math.ceil(header.length / 8) * 8;

  const bytes = new Uint8Array(8 + headerLength + end);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerLength), true);
  bytes.set(header, 8);
  bytes.fill(0x20, 8 + header.length, 8 + headerLength);
  let at = 8 + headerLength;
  for (const [, value] of sorted) {
    bytes.set(bytesOf(value), at);
    at += value.data.byteLength;
  }
  return bytes;
}

/** How many values are infinite or NaN; 0 for integers. */
export function countNonFinite({ dtype, data }: Tensor): number {
  let count = 0;
  if (data instanceof Float32Array || data instanceof Float64Array) {
    for (let i = 0; i < data.length; i++) if (!Number.isFinite(data[i])) count++;
  } else if (dtype === 'float16' || dtype === 'bfloat16') {
    const exponent = dtype === 'float16' ? 0x7c00 : 0x7f80;
    for (let i = 0; i < data.length; i++) if ((Number(data[i]) & exponent) === exponent) count++;
  }
  return count;
}

/**
 * One map over all shards named in a Hugging Face index (`model.safetensors.index.json`).
 * Throws `file.unsafe` when a shard lies outside the folder, `file.syntax` when a shard lacks what the index promises,
 * `file.duplicate-key` when two shards hold a tensor that the index does not place.
 */
export async function readShardedIndex(files: Files, folder: string): Promise<SafetensorsIndex> {
  return mergeShards(files, joinPath(folder, 'model.safetensors.index.json'), readSafetensorsIndex);
}

/** As {@link readShardedIndex}, for any index file and any reader of shards. */
export async function mergeShards(
  files: Files,
  indexPath: string,
  readShard: (files: Files, path: string) => Promise<TensorIndex>,
): Promise<TensorIndex> {
  const index = await readJson(files, indexPath);
  const weightMap = isJsonObject(index) ? index.weight_map : undefined;
  if (!isJsonObject(weightMap)) {
    return fail({ code: 'file.syntax', subject: indexPath, found: 'no object "weight_map"', expected: 'tensor names with their shards' });
  }
  const shards = new Map<string, TensorIndex>();
  for (const [name, shard] of Object.entries(weightMap)) {
    if (typeof shard !== 'string' || /[/\\\0]/.test(shard) || shard === '..' || shard === '.' || shard === '') {
      const expected = 'the plain name of a file in the same folder';
      return fail({ code: 'file.unsafe', subject: `${indexPath}: ${name}`, found: `the shard ${JSON.stringify(shard)}`, expected });
    }
    if (!shards.has(shard)) shards.set(shard, await readShard(files, joinPath(folderOf(indexPath), shard)));
  }
  const tensors = new Map<string, TensorEntry>();
  for (const [name, shard] of Object.entries(weightMap)) {
    const entry = shards.get(shard as string)?.tensors.get(name);
    if (!entry)
      return fail({ code: 'file.syntax', subject: indexPath, found: `no tensor ${name} in ${shard}`, expected: 'what the index says' });
    tensors.set(name, entry);
  }
  for (const shard of shards.values()) {
    for (const [name, entry] of shard.tensors) {
      if (Object.hasOwn(weightMap, name)) continue;
      if (tensors.has(name)) fail({ code: 'file.duplicate-key', subject: indexPath, found: `the tensor ${name} in two shards` });
      tensors.set(name, entry);
    }
  }
  return { path: indexPath, metadata: [...shards.values()][0]?.metadata ?? {}, tensors };
}

function parseHeader(bytes: Uint8Array, subject: string): { [key: string]: Json } {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    return fail({ code: 'file.syntax', subject, found: 'bytes that are not UTF-8', expected: 'JSON in UTF-8', cause });
  }
  if (!text.startsWith('{')) return fail({ code: 'file.syntax', subject, found: JSON.stringify(text.slice(0, 1)), expected: '"{"' });
  return parseJson(text, subject, { depth: 8 }) as { [key: string]: Json };
}

function readMetadata(value: Json, subject: string): Record<string, string> {
  if (!isJsonObject(value)) return fail({ code: 'file.syntax', subject, found: typeof value, expected: 'an object of strings' });
  for (const [key, item] of Object.entries(value)) {
    if (typeof item !== 'string') fail({ code: 'file.syntax', subject, found: `${typeof item} under ${key}`, expected: 'a string' });
  }
  return value as Record<string, string>;
}

function readEntry(name: string, value: Json, path: string, dataStart: number): TensorEntry {
  const subject = `${path}: ${name}`;
  if (!isJsonObject(value)) return fail({ code: 'file.syntax', subject, found: typeof value, expected: 'dtype, shape and data_offsets' });
  for (const key of Object.keys(value)) {
    if (!['dtype', 'shape', 'data_offsets'].includes(key)) {
      fail({ code: 'file.syntax', subject, found: `the key ${JSON.stringify(key)}`, expected: 'dtype, shape and data_offsets' });
    }
  }
  const dtype = DTYPE_NAMES.find(([, name]) => name === value.dtype)?.[0];
  if (dtype === undefined) {
    const expected = `one of ${DTYPE_NAMES.map(([, name]) => name).join(' ')}`;
    return fail({ code: 'file.dtype', subject, found: `dtype ${JSON.stringify(value.dtype)}`, expected });
  }
  const { shape, data_offsets: offsets } = value;
  if (!isSizes(shape)) return fail({ code: 'file.shape', subject, found: show(shape), expected: 'a list of whole numbers from 0' });
  const count = countElements(shape);
  if (count === undefined) return fail({ code: 'file.shape', subject, found: show(shape), expected: 'a size below 2^53 elements' });
  if (!isSizes(offsets) || offsets.length !== 2) {
    return fail({ code: 'file.offsets', subject, found: `data_offsets ${show(offsets)}`, expected: '[start, end]' });
  }
  const [start, end] = offsets as [number, number];
  const byteLength = count * bytesPerElement(dtype);
  if (end < start) return fail({ code: 'file.offsets', subject, found: `data_offsets ${show(offsets)}`, expected: 'start <= end' });
  if (end - start !== byteLength) {
    return fail({ code: 'file.shape', subject, found: `${end - start} bytes`, expected: `${byteLength} for ${dtype} ${show(shape)}` });
  }
  return { name, dtype, shape, file: path, offset: dataStart + start, byteLength };
}

function checkLayout(entries: readonly TensorEntry[], path: string, dataStart: number, size: number): void {
  let end = dataStart;
  for (const entry of [...entries].sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength)) {
    if (entry.offset !== end) {
      const what = entry.offset < end ? 'the end of another tensor, which it overlaps,' : 'a gap';
      fail({
        code: 'file.offsets',
        subject: `${path}: ${entry.name}`,
        found: `${what} before byte ${end}`,
        expected: 'tensors side by side',
      });
    }
    end = entry.offset + entry.byteLength;
  }
  if (end > size) truncated(path, end, size);
  if (end < size) fail({ code: 'file.offsets', subject: path, found: `${size - end} bytes after the last tensor`, expected: 'none' });
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0 && !Object.is(n, -0));
}

/** The product of `shape`; undefined when it, or a product on the way to it, is not exact in float64. */
export function countElements(shape: readonly number[]): number | undefined {
  let count = 1;
  for (const n of shape) {
    count *= n;
    if (!Number.isSafeInteger(count)) return undefined;
  }
  return count;
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
