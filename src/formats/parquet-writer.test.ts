import { expect, it } from 'vitest';
import { readWritten } from '../../test/read-parquet.ts';
import { memoryFiles } from '../base/files.ts';
import { ParquetFile } from './parquet-writer.ts';

it('writes parts that are read as one table', async () => {
  const files = memoryFiles();
  const file = new ParquetFile(files, 'f.parquet', [
    { name: 'text', holds: 'text' },
    { name: 'whole', holds: 'integer' },
    { name: 'part', holds: 'number' },
    { name: 'vector', holds: 'vector' },
  ]);
  const rows = Array.from({ length: 5 }, (_, i) => [`né ${i}`, i - 2, i / 3, Float32Array.of(i, -i / 7)] as const);
  for (const part of [rows.slice(0, 3), rows.slice(3)]) await file.write([0, 1, 2, 3].map((column) => part.map((row) => row[column])));
  await expect(readWritten(files, 'f.parquet')).rejects.toThrow('footer');
  await file.finish();
  expect(await readWritten(files, 'f.parquet')).toEqual(
    rows.map(([text, whole, part, vector]) => ({ text, whole, part, vector: [...vector] })),
  );
});
