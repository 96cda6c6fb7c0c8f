import { parquetReadObjects } from 'hyparquet';
import type { Files } from '../src/base/index.ts';

/** The rows of a Parquet file that was written here, whole numbers as numbers: its pages are of a version that `readTable` leaves to others. */
export async function readWritten(files: Files, path: string): Promise<Record<string, unknown>[]> {
  const bytes = await files.read(path);
  const rows = await parquetReadObjects({ file: bytes.slice().buffer as ArrayBuffer });
  return rows.map((row) =>
    Object.fromEntries(Object.entries(row).map(([name, value]) => [name, typeof value === 'bigint' ? Number(value) : value])),
  );
}
