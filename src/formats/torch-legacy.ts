import { bytesPerElement, type DType, type Files, fail, MultigraftError } from '../base/index.ts';
import { isDict, isList, isTuple, type PickleRules, type PickleValue, readPickleAt } from './pickle.ts';

/** Where a storage lies: bytes [offset, offset + size) of the file. */
export interface StoragePlace {
  readonly offset: number;
  readonly size: number;
}

/** Finds a storage by what its persistent id says; `view` is the part of another storage that it is, if any. */
export type FindStorage = (key: string, dtype: DType, length: number, view: PickleValue | undefined) => StoragePlace;

/** 0x1950a86a20f9469cfc6c as a pickle of its own. */
const MAGIC = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e];
const PROTOCOL = 1001;
const FIRST_WINDOW = 2 ** 20;
const NOTHING: PickleRules = { allowed: () => false, call: () => null, persistent: () => null };

export function isLegacy(start: Uint8Array): boolean {
  return MAGIC.every((byte, i) => start[i] === byte);
}

export const LEGACY_START = MAGIC.length;

/**
 * What `torch.save` wrote before PyTorch 1.6: pickles of a magic number, the version of the form, facts of the machine, the value and
 * the keys of its storages, then each storage, its number of elements before it. Only the value's pickle may name anything, and what
 * `rules` allows of that. Storages stay in the file. @throws file.unsafe, file.syntax, file.truncated, file.offsets, file.too-large
 */
export async function readLegacy(
  files: Files,
  path: string,
  limit: number,
  rulesOf: (find: FindStorage) => PickleRules,
): Promise<PickleValue> {
  const size = await files.size(path);
  for (let window = Math.min(FIRST_WINDOW, size); ; window = Math.min(4 * window, size, limit)) {
    const bytes = await files.readRange(path, 0, window);
    const read = attempt(() => readPickles(bytes, path, rulesOf), window < size);
    if (read) {
      await placeStorages(files, path, read, size);
      return read.value;
    }
    if (window >= limit) fail({ code: 'file.too-large', subject: path, found: `pickles of more than ${limit} bytes` });
  }
}

/** Undefined where pickles do not end in what was read of the file, if there is more of it. */
function attempt<T>(read: () => T, more: boolean): T | undefined {
  try {
    return read();
  } catch (error) {
    if (more && error instanceof MultigraftError && error.code === 'file.truncated') return undefined;
    throw error;
  }
}

/** A storage that the value names; where it lies is known once the pickles end. */
interface Root {
  readonly dtype: DType;
  readonly length: number;
  offset: number;
}

interface Pickles {
  readonly value: PickleValue;
  readonly keys: readonly string[];
  readonly roots: ReadonlyMap<string, Root>;
  readonly end: number;
}

function readPickles(bytes: Uint8Array, path: string, rulesOf: (find: FindStorage) => PickleRules): Pickles {
  let end = MAGIC.length;
  const next = (rules: PickleRules): PickleValue => {
    const read = readPickleAt(bytes, end, path, rules);
    end = read.end;
    return read.value;
  };
  const version = next(NOTHING);
  if (version !== PROTOCOL)
    fail({
      code: 'file.syntax',
      subject: path,
      found: `version ${JSON.stringify(version)} of PyTorch's old form`,
      expected: `${PROTOCOL}`,
    });
  const machine = next(NOTHING);
  if (!isDict(machine) || machine.dict.get('little_endian') !== true)
    fail({ code: 'file.syntax', subject: path, found: 'another byte order', expected: 'little', next: 'Save it again as safetensors.' });
  const roots = new Map<string, Root>();
  const value = next(rulesOf(finder(path, roots)));
  const keys = next(NOTHING);
  if (!isList(keys) || !keys.list.every((key) => typeof key === 'string'))
    return fail({ code: 'file.syntax', subject: path, found: 'no list of storages', expected: 'a file that torch.save wrote' });
  return { value, keys: keys.list as string[], roots, end };
}

/** Older versions also saved parts of storages: [key, first element, number of elements]. */
function finder(path: string, roots: Map<string, Root>): FindStorage {
  return (key, dtype, length, view = null) => {
    const known = roots.get(key);
    const root = known ?? { dtype, length, offset: Number.NaN };
    roots.set(key, root);
    const [, first, count] = view === null ? [key, 0, length] : isTuple(view) && view.tuple.length === 3 ? view.tuple : [];
    const whole = (n: unknown): n is number => Number.isSafeInteger(n) && (n as number) >= 0;
    if (root.dtype !== dtype || root.length !== length || !whole(first) || !whole(count) || first + count > length)
      return fail({ code: 'file.syntax', subject: path, found: `storage ${JSON.stringify(key)} of two forms`, expected: 'one' });
    const width = bytesPerElement(dtype);
    return {
      size: count * width,
      get offset() {
        return root.offset + first * width;
      },
    };
  };
}

async function placeStorages(files: Files, path: string, { keys, roots, end: start }: Pickles, size: number): Promise<void> {
  if (new Set(keys).size < keys.length || keys.length !== roots.size || !keys.every((key) => roots.has(key)))
    fail({ code: 'file.offsets', subject: path, found: `${keys.length} storages`, expected: `the ${roots.size} that its tensors name` });
  let at = start;
  for (const key of keys) {
    const root = roots.get(key) as Root;
    const end = at + 8 + root.length * bytesPerElement(root.dtype);
    if (end > size) fail({ code: 'file.truncated', subject: path, found: `${size} bytes`, expected: `at least ${end}` });
    const head = await files.readRange(path, at, at + 8);
    const length = new DataView(head.buffer, head.byteOffset, 8).getBigInt64(0, true);
    if (length !== BigInt(root.length))
      fail({ code: 'file.shape', subject: path, found: `${length} elements in storage ${key}`, expected: `${root.length}` });
    root.offset = at + 8;
    at = end;
  }
  if (at !== size) fail({ code: 'file.offsets', subject: path, found: `${size - at} bytes after the last storage`, expected: 'none' });
}
