import { appendFile, mkdir, open, readdir, readFile, realpath, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { fail } from './errors.ts';
import { type Files, truncated } from './files.ts';

/** The real file system of Node. */
export const nodeFiles: Files = {
  read: (path) => guard(path, () => readFile(path)),
  readRange: (path, start, end) =>
    guard(path, async () => {
      const handle = await open(path, 'r');
      try {
        const bytes = new Uint8Array(end - start);
        let done = 0;
        while (done < bytes.length) {
          const { bytesRead } = await handle.read(bytes, done, Math.min(bytes.length - done, 2 ** 30), start + done);
          if (bytesRead === 0) truncated(path, end, start + done);
          done += bytesRead;
        }
        return bytes;
      } finally {
        await handle.close();
      }
    }),
  size: (path) => guard(path, async () => (await stat(path)).size),
  async kind(path) {
    try {
      return (await stat(path)).isDirectory() ? 'folder' : 'file';
    } catch {
      return 'none';
    }
  },
  list: (path) => guard(path, async () => (await readdir(path)).sort()),
  write: (path, bytes) =>
    guard(path, async () => {
      await makeFolder(dirname(path));
      // Renaming onto a device or a pipe, or a link in /dev to what is redirected, would put a plain file in its place.
      if (dirname(resolve(path)) === '/dev' || (await isNoPlainFile(path))) return writeFile(path, bytes);
      const temporary = `${path}.${process.pid}.partial`;
      const handle = await open(temporary, 'w');
      try {
        await handle.writeFile(bytes);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(temporary, path);
    }),
  append: (path, bytes) =>
    guard(path, async () => {
      await makeFolder(dirname(path));
      await appendFile(path, bytes);
    }),
  rename: (from, to) => guard(to, () => rename(from, to)),
  truncate: (path, length) => guard(path, () => truncate(path, length)),
  remove: (path) => guard(path, () => rm(path, { recursive: true, force: true })),
  realPath: (path) => guard(path, () => realpath(path)),
};

async function guard<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === undefined) throw cause;
    if (code === 'ENOENT')
      fail({ code: 'file.missing', subject: path, found: 'nothing', expected: 'a file or folder', next: 'Check the path.', cause });
    const [found, expected, next] = REFUSALS[code] ?? [code, 'a file that can be read and written', 'Check the path and its permissions.'];
    return fail({ code: 'file.unreadable', subject: path, found, expected, next, cause });
  }
}

const NOT_A_FOLDER = ['a file on the way', 'folders only', 'Choose a path that does not lead through a file.'] as const;
const NO_PERMISSION = ['no permission', 'the right to read or write it', 'Change its permissions, or choose another place.'] as const;

/** What the usual refusals of a file system mean. */
const REFUSALS: Readonly<Record<string, readonly [found: string, expected: string, next: string]>> = {
  EISDIR: ['a folder', 'a file', 'Give the path of a file.'],
  ENOTDIR: NOT_A_FOLDER,
  EEXIST: NOT_A_FOLDER,
  EACCES: NO_PERMISSION,
  EPERM: NO_PERMISSION,
  EROFS: ['a file system that cannot be written', 'one that can', 'Choose another place.'],
  ENOSPC: ['no space left', 'room for the file', 'Free some space, or choose another place.'],
};

async function isNoPlainFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => !found.isFile() && !found.isDirectory(),
    () => false,
  );
}

/** Node's own recursive mkdir never returns where the system refuses a folder although its parent is there (as /proc does). */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || dirname(path) === path || (await exists(dirname(path)))) throw cause;
    await makeFolder(dirname(path));
    await mkdir(path).catch((again: NodeJS.ErrnoException) => {
      if (again.code !== 'EEXIST') throw again;
    });
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
