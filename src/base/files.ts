import { fail } from './errors.ts';

/**
 * What readers and writers need of a file system. Paths use `/`. Only `files-node.ts` touches the real one,
 * so every reader also works on memory, on a browser's storage or on an archive.
 */
export interface Files {
  /** Whole file. Throws `file.missing`, `file.unreadable`. */
  read(path: string): Promise<Uint8Array>;
  /** Bytes [start, end). Throws `file.truncated` when the file is shorter than `end`. */
  readRange(path: string, start: number, end: number): Promise<Uint8Array>;
  size(path: string): Promise<number>;
  kind(path: string): Promise<'file' | 'folder' | 'none'>;
  /** Names (not paths) in a folder, sorted. Throws `file.missing`. */
  list(path: string): Promise<string[]>;
  /** Replaces a file atomically: after a crash it holds the old bytes or the new ones. Makes missing folders. */
  write(path: string, bytes: Uint8Array | string): Promise<void>;
  append(path: string, bytes: Uint8Array | string): Promise<void>;
  /** Gives a file another place; what was there before is replaced. */
  rename(from: string, to: string): Promise<void>;
  /** Shortens a file to `length` bytes. */
  truncate(path: string, length: number): Promise<void>;
  /** Removes a file or a folder with all it holds; nothing happens when it is absent. */
  remove(path: string): Promise<void>;
  /** Where the bytes really lie, symbolic links resolved (native readers refuse links that leave a folder). */
  realPath(path: string): Promise<string>;
}

export function joinPath(...parts: string[]): string {
  return parts
    .filter((part) => part !== '')
    .join('/')
    .replaceAll(/\/{2,}/g, '/');
}

export function baseName(path: string): string {
  return path.replace(/\/+$/, '').split('/').at(-1) ?? path;
}

export function folderOf(path: string): string {
  const cut = path.replace(/\/+$/, '').lastIndexOf('/');
  return cut < 0 ? '.' : path.slice(0, Math.max(cut, 1));
}

export async function readText(files: Files, path: string): Promise<string> {
  const bytes = await files.read(path);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    return fail({
      code: 'file.syntax',
      subject: path,
      found: 'bytes that are not UTF-8',
      expected: 'UTF-8 text',
      next: 'Save the file as UTF-8.',
      cause,
    });
  }
}

/** Files in memory: for tests and for platforms without a disk. */
export function memoryFiles(initial: Record<string, Uint8Array | string> = {}): Files {
  const store = new Map<string, Uint8Array>();
  const encode = (bytes: Uint8Array | string) => (typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes);
  const clean = (path: string) => joinPath(path).replace(/^\.\//, '').replace(/\/$/, '');
  for (const [path, bytes] of Object.entries(initial)) store.set(clean(path), encode(bytes));
  const get = (path: string) => store.get(clean(path)) ?? fail({ code: 'file.missing', subject: path });
  return {
    read: async (path) => get(path).slice(),
    async readRange(path, start, end) {
      const bytes = get(path);
      if (end > bytes.length) truncated(path, end, bytes.length);
      return bytes.slice(start, end);
    },
    size: async (path) => get(path).length,
    async kind(path) {
      if (store.has(clean(path))) return 'file';
      for (const key of store.keys()) if (key.startsWith(`${clean(path)}/`)) return 'folder';
      return 'none';
    },
    async list(path) {
      const prefix = clean(path) === '.' ? '' : `${clean(path)}/`;
      const names = new Set<string>();
      for (const key of store.keys()) if (key.startsWith(prefix)) names.add(key.slice(prefix.length).split('/')[0] as string);
      if (names.size === 0) fail({ code: 'file.missing', subject: path });
      return [...names].sort();
    },
    write: async (path, bytes) => void store.set(clean(path), encode(bytes).slice()),
    async append(path, bytes) {
      const old = store.get(clean(path)) ?? new Uint8Array();
      const more = encode(bytes);
      const all = new Uint8Array(old.length + more.length);
      all.set(old);
      all.set(more, old.length);
      store.set(clean(path), all);
    },
    async rename(from, to) {
      store.set(clean(to), get(from));
      store.delete(clean(from));
    },
    truncate: async (path, length) => void store.set(clean(path), get(path).slice(0, length)),
    async remove(path) {
      for (const key of [...store.keys()]) if (key === clean(path) || key.startsWith(`${clean(path)}/`)) store.delete(key);
    },
    realPath: async (path) => path,
  };
}

export function truncated(path: string, wanted: number, length: number): never {
  return fail({
    code: 'file.truncated',
    subject: path,
    found: `${length} bytes`,
    expected: `at least ${wanted}`,
    next: 'The file is incomplete: copy or download it again.',
  });
}
