import type { Files } from '../../src/base/files.ts';
import { nodeFiles } from '../../src/base/files-node.ts';

const read = new Map<string, Promise<Uint8Array>>();

/** The golden folders, each file read once: tests load the same encoders again and again, tensor by tensor. For reading alone. */
export const goldenFiles: Files = {
  ...nodeFiles,
  read: (path) => whole(path),
  readRange: async (path, start, end) => {
    const bytes = await whole(path);
    return end <= bytes.length ? bytes.slice(start, end) : nodeFiles.readRange(path, start, end);
  },
};

function whole(path: string): Promise<Uint8Array> {
  const known = read.get(path) ?? nodeFiles.read(path);
  read.set(path, known);
  return known;
}
