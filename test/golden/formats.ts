import { readFileSync } from 'node:fs';
import type { Files } from '../../src/base/files.ts';
import { memoryFiles } from '../../src/base/files.ts';
import type { Tensor } from '../../src/base/tensor.ts';

const FOLDER = new URL('./formats/', import.meta.url);

export interface GoldenTensor {
  readonly dtype: string;
  readonly shape: number[];
  readonly values: number[];
}

/** A file written by tools/golden/formats.py. */
export function goldenBytes(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(name, FOLDER)));
}

export function goldenFiles(...names: string[]): Files {
  return memoryFiles(Object.fromEntries(names.map((name) => [name, goldenBytes(name)])));
}

/** What formats.py says the file holds, in `list`; 16-bit floats as their bits. */
export function goldenValues<T = GoldenTensor>(name: string, list = 'formats.json'): Record<string, T> {
  const { files } = JSON.parse(new TextDecoder().decode(goldenBytes(list))) as { files: Record<string, Record<string, T>> };
  return files[name] as Record<string, T>;
}

export function plain(tensors: Iterable<readonly [string, Tensor]>): Record<string, GoldenTensor> {
  return Object.fromEntries(
    [...tensors].map(([name, { dtype, shape, data }]) => [
      name,
      { dtype, shape: [...shape], values: Array.from(data as Float32Array, Number) },
    ]),
  );
}
