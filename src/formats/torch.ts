import { type Zippable, zipSync } from 'fflate';
import { bytesOf, bytesPerElement, type DType, type Files, fail, invariant, joinPath, type Tensor } from '../base/index.ts';
import { isDict, isGlobal, isTuple, type PickleRules, type PickleValue, readPickle } from './pickle.ts';
import { countElements, mergeShards, readTensor, type TensorEntry, type TensorIndex } from './safetensors.ts';
import { type FindStorage, isLegacy, LEGACY_START, readLegacy, type StoragePlace } from './torch-legacy.ts';
import { readStoredZip, type ZipEntry } from './zip.ts';

export interface TorchIndex extends TensorIndex {
  /** Top-level keys that hold a plain number, text, boolean or None in place of a tensor. */
  readonly skipped: readonly string[];
}

const STORAGES: Readonly<Record<string, DType>> = {
  'torch.DoubleStorage': 'float64',
  'torch.FloatStorage': 'float32',
  'torch.HalfStorage': 'float16',
  'torch.BFloat16Storage': 'bfloat16',
  'torch.LongStorage': 'int64',
  'torch.IntStorage': 'int32',
  'torch.ShortStorage': 'int16',
  'torch.CharStorage': 'int8',
  'torch.ByteStorage': 'uint8',
  'torch.BoolStorage': 'bool',
};
const ORDERED_DICT = 'collections.OrderedDict';
const REBUILD_TENSORS = ['torch._utils._rebuild_tensor', 'torch._utils._rebuild_tensor_v2'];
const REBUILD_TENSOR = 'torch._utils._rebuild_tensor_v2';
const REBUILD_PARAMETER = 'torch._utils._rebuild_parameter';
const PICKLE_LIMIT = 100_000_000;
/** PyTorch's own limit. */
const RANK_LIMIT = 64;

interface Storage {
  readonly dtype: DType;
  readonly place: StoragePlace;
  readonly length: number;
}
interface View {
  readonly storage: Storage;
  readonly start: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/**
 * What a file of `torch.save({name: tensor})` holds, without reading the weights and without running any of its code.
 * Tensors that lie row-major in the file have no `strides` and can be used in place.
 * Throws `file.unsafe` (names the global), `file.syntax` (also compressed and big-endian files), `file.truncated`,
 * `file.offsets`, `file.shape`, `file.duplicate-key`, `file.too-large`.
 */
export async function readTorchIndex(files: Files, path: string): Promise<TorchIndex> {
  const root = await readRoot(files, path);
  if (!isDict(root)) return fail({ code: 'file.syntax', subject: path, found: kindOf(root), expected: 'a dictionary of tensors' });
  const tensors = new Map<string, TensorEntry>();
  const skipped: string[] = [];
  for (const [name, value] of root.dict) {
    if (typeof name !== 'string')
      return fail({ code: 'file.syntax', subject: path, found: `a key that is ${kindOf(name)}`, expected: 'text' });
    if (isView(value)) tensors.set(name, locate(name, value.opaque, path));
    else if (value === null || typeof value !== 'object') skipped.push(name);
    else return fail({ code: 'file.syntax', subject: `${path}: ${name}`, found: kindOf(value), expected: 'a tensor' });
  }
  return { path, metadata: {}, tensors, skipped };
}

/**
 * All tensors of a `torch.save` file; aliases of the same view share their data.
 * Throws what {@link readTorchIndex} throws, and `file.too-large` when views swell to many times the file.
 */
export async function readTorch(files: Files, path: string): Promise<{ tensors: Map<string, Tensor>; skipped: readonly string[] }> {
  const index = await readTorchIndex(files, path);
  const limit = 16 * (await files.size(path)) + 2 ** 24;
  const known = new Map<string, Tensor>();
  const tensors = new Map<string, Tensor>();
  let total = 0;
  for (const [name, entry] of index.tensors) {
    const { dtype, shape, offset, strides } = entry;
    const key = JSON.stringify([dtype, shape, offset, strides]);
    let value = known.get(key);
    if (!value) {
      total += Math.max(entry.byteLength, (countElements(shape) as number) * bytesPerElement(dtype));
      if (total > limit)
        fail({ code: 'file.too-large', subject: `${path}: ${name}`, found: `views of ${total} bytes`, expected: `at most ${limit}` });
      value = await readTensor(files, entry);
      known.set(key, value);
    }
    tensors.set(name, value);
  }
  return { tensors, skipped: index.skipped };
}

/** One map over the shards of `pytorch_model.bin.index.json`; throws as `readShardedIndex` does. */
export async function readShardedTorchIndex(files: Files, folder: string): Promise<TensorIndex> {
  return mergeShards(files, joinPath(folder, 'pytorch_model.bin.index.json'), readTorchIndex);
}

/**
 * A file that `torch.load(weights_only=True)` reads as a dictionary of tensors in this order.
 * Throws `file.dtype` for uint16, uint32 and uint64, which that form of file does not have.
 */
export function writeTorch(tensors: Iterable<readonly [string, Tensor]>): Uint8Array {
  const all = [...tensors];
  const contents: [string, Uint8Array][] = [
    ['archive/data.pkl', writePickle(all)],
    ['archive/byteorder', new TextEncoder().encode('little')],
    ...all.map(([, value], i): [string, Uint8Array] => [`archive/data/${i}`, bytesOf(value)]),
    ['archive/version', new TextEncoder().encode('3\n')],
  ];
  const zip: Zippable = {};
  let end = 0;
  for (const [name, bytes] of contents) {
    const bare = end + 30 + name.length + 4;
    const padding = (64 - (bare % 64)) % 64;
    zip[name] = [bytes, { level: 0, extra: { 16966: new Uint8Array(padding).fill(0x5a) }, mtime: new Date(1980, 0, 1) }];
    end = bare + padding + bytes.length;
  }
  invariant(end < 2 ** 32, 'a torch file of 4 GB or more');
  return zipSync(zip);
}

/** The value that was saved, its tensors as views of storages that stay in the file. */
async function readRoot(files: Files, path: string): Promise<PickleValue> {
  const size = await files.size(path);
  const start = await files.readRange(path, 0, Math.min(LEGACY_START, size));
  if (isLegacy(start)) return readLegacy(files, path, PICKLE_LIMIT, (find) => tensorRules(path, find));
  if (start.length < 4 || new DataView(start.buffer, start.byteOffset).getUint32(0, true) !== 0x04034b50) {
    const next = 'In Python, load it and save it again with torch.save or safetensors.';
    fail({ code: 'file.syntax', subject: path, found: 'no zip file', expected: 'a file written by torch.save', next });
  }
  const zip = await readStoredZip(files, path);
  const pickleName = [...zip.keys()].find((name) => /^[^/]*\/data\.pkl$/.test(name));
  if (pickleName === undefined) {
    return fail({ code: 'file.syntax', subject: path, found: 'no data.pkl', expected: 'a file written by torch.save' });
  }
  const folder = pickleName.slice(0, -'data.pkl'.length);
  await checkByteOrder(files, path, zip.get(`${folder}byteorder`));
  const { offset, size: length } = zip.get(pickleName) as ZipEntry;
  if (length > PICKLE_LIMIT) fail({ code: 'file.too-large', subject: `${path}: ${pickleName}`, found: `${length} bytes` });
  const find: FindStorage = (key, dtype, count) => {
    const entry = zip.get(`${folder}data/${key}`);
    if (!entry) return fail({ code: 'file.offsets', subject: path, found: `no storage ${JSON.stringify(key)}`, expected: 'its zip entry' });
    if (entry.size === count * bytesPerElement(dtype)) return entry;
    return fail({
      code: 'file.shape',
      subject: path,
      found: `${entry.size} bytes in storage ${key}`,
      expected: `${count} elements of ${dtype}`,
    });
  };
  return readPickle(await files.readRange(path, offset, offset + length), `${path}: ${pickleName}`, tensorRules(path, find));
}

async function checkByteOrder(files: Files, path: string, entry: ZipEntry | undefined): Promise<void> {
  if (!entry) return;
  const found = new TextDecoder().decode(await files.readRange(path, entry.offset, entry.offset + Math.min(entry.size, 16)));
  if (found === 'little') return;
  fail({
    code: 'file.syntax',
    subject: path,
    found: `byte order ${JSON.stringify(found)}`,
    expected: 'little',
    next: 'Save it again as safetensors.',
  });
}

function tensorRules(path: string, find: FindStorage): PickleRules {
  return {
    allowed: (global) =>
      global === ORDERED_DICT || REBUILD_TENSORS.includes(global) || global === REBUILD_PARAMETER || Object.hasOwn(STORAGES, global),
    persistent: (id) => ({ opaque: storage(id) }),
    call(global, args) {
      if (global === ORDERED_DICT && args.length === 0) return { dict: new Map() };
      if (global === REBUILD_PARAMETER && isView(args[0])) return args[0];
      if (REBUILD_TENSORS.includes(global)) return { opaque: view(args) };
      return wrong(`a call of ${global} with ${args.length} arguments`);
    },
  };

  function storage(id: PickleValue): Storage {
    const [tag, type, key, , length, part] = isTuple(id) ? id.tuple : [];
    const dtype = isGlobal(type) ? STORAGES[type.global] : undefined;
    if (tag !== 'storage' || !dtype || typeof key !== 'string' || !isSize(length)) return wrong('a storage of unknown form');
    const place = find(key, dtype, length, part);
    return { dtype, place, length: place.size / bytesPerElement(dtype) };
  }

  function view(args: readonly PickleValue[]): View {
    const [from, start, size, stride] = args;
    if (isTuple(size) && size.tuple.length > RANK_LIMIT) return wrong(`a tensor of ${size.tuple.length} dimensions`);
    const shape = isTuple(size) ? size.tuple : undefined;
    const strides = isTuple(stride) ? stride.tuple : undefined;
    if (!isStorage(from) || !isSize(start) || !shape?.every(isSize) || !strides?.every(isSize) || strides.length !== shape.length) {
      return wrong('a tensor of unknown form');
    }
    const count = countElements(shape);
    const last = count === 0 ? -1 : shape.reduce((sum, n, axis) => sum + (n - 1) * (strides[axis] as number), start);
    if (count === undefined || last >= from.opaque.length || start > from.opaque.length) {
      const found = `shape [${shape.slice(0, 16)}] with strides [${strides.slice(0, 16)}] from element ${start}`;
      return fail({ code: 'file.shape', subject: path, found, expected: `elements within a storage of ${from.opaque.length}` });
    }
    return { storage: from.opaque, start, shape, strides };
  }

  function wrong(found: string): never {
    return fail({ code: 'file.syntax', subject: path, found, expected: 'tensors as torch.save writes them' });
  }
}

function locate(name: string, { storage, start, shape, strides }: View, file: string): TensorEntry {
  const { dtype, place } = storage;
  const width = bytesPerElement(dtype);
  const count = countElements(shape) as number;
  const offset = place.offset + start * width;
  let expected = 1;
  let contiguous = true;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) contiguous = false;
    expected *= shape[axis] as number;
  }
  if (contiguous || count === 0) return { name, dtype, shape, file, offset, byteLength: count * width };
  const span = shape.reduce((sum, n, axis) => sum + (n - 1) * (strides[axis] as number), 1);
  return { name, dtype, shape, file, offset, byteLength: span * width, strides };
}

function writePickle(tensors: readonly (readonly [string, Tensor])[]): Uint8Array {
  const storageNames = new Map(Object.entries(STORAGES).map(([name, dtype]) => [dtype, name]));
  const out: number[] = [0x80, 2, 0x7d, 0x28];
  const global = (name: string) => {
    const cut = name.lastIndexOf('.');
    out.push(0x63, ...new TextEncoder().encode(`${name.slice(0, cut)}\n${name.slice(cut + 1)}\n`));
  };
  const integer = (value: number) => {
    if (value < 2 ** 31) out.push(0x4a, value & 255, (value >> 8) & 255, (value >> 16) & 255, value >> 24);
    else out.push(0x8a, 8, ...new Uint8Array(BigInt64Array.of(BigInt(value)).buffer));
  };
  const text = (value: string) => {
    const bytes = new TextEncoder().encode(value);
    out.push(0x58, ...new Uint8Array(Uint32Array.of(bytes.length).buffer), ...bytes);
  };
  const tuple = (values: readonly number[]) => {
    out.push(0x28);
    values.forEach(integer);
    out.push(0x74);
  };
  for (const [i, [name, { dtype, shape, data }]] of tensors.entries()) {
    const storage = storageNames.get(dtype);
    if (!storage) return fail({ code: 'file.dtype', subject: name, found: dtype, expected: 'a type that PyTorch has a storage for' });
    text(name);
    global(REBUILD_TENSOR);
    out.push(0x28, 0x28);
    text('storage');
    global(storage);
    text(String(i));
    text('cpu');
    integer(data.length);
    out.push(0x74, 0x51);
    integer(0);
    tuple(shape);
    tuple(shape.map((_, axis) => shape.slice(axis + 1).reduce((product, n) => product * Math.max(n, 1), 1)));
    out.push(0x89);
    global(ORDERED_DICT);
    out.push(0x29, 0x52, 0x74, 0x52);
  }
  out.push(0x75, 0x2e);
  return Uint8Array.from(out);
}

function isView(value: PickleValue | undefined): value is { opaque: View } {
  return typeof value === 'object' && value !== null && 'opaque' in value && 'storage' in (value.opaque as object);
}

function isStorage(value: PickleValue | undefined): value is { opaque: Storage } {
  return typeof value === 'object' && value !== null && 'opaque' in value && 'place' in (value.opaque as object);
}

function isSize(value: PickleValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function kindOf(value: PickleValue): string {
  if (value === null) return 'None';
  if (typeof value !== 'object') return typeof value;
  return isDict(value)
    ? 'a dictionary'
    : isTuple(value)
      ? 'a tuple'
      : isGlobal(value)
        ? value.global
        : isView(value)
          ? 'a tensor'
          : 'a list';
}
