import { type Files, fail } from '../base/index.ts';
import type { InputRow } from './input-rows.ts';

/** Where vectors go, part by part. */
interface Sink {
  write(rows: readonly InputRow[], vectors: readonly Float32Array[]): Promise<void>;
  finish(): Promise<void>;
}

/** Rows under `partial`, in the form that the name `output` says. @throws task.row for ids of two types in a column of Parquet */
export async function fileSink(files: Files, partial: string, output: string, rows: readonly InputRow[]): Promise<Sink> {
  const id = idColumn(rows);
  await files.write(partial, '');
  if (!/\.parquet$/i.test(output)) return linesTo((text) => files.append(partial, text));
  if (id === 'mixed')
    return fail({
      code: 'task.row',
      subject: 'column "id"',
      found: 'texts and numbers',
      expected: 'one type, which a column of Parquet has',
      next: 'Write .jsonl.',
    });
  const { ParquetFile } = await import('../formats/parquet-writer.ts');
  const file = new ParquetFile(files, partial, [...(id ? [{ name: 'id', holds: id }] : []), { name: 'embedding', holds: 'vector' }]);
  return {
    write: (part, vectors) => file.write([...(id ? [part.map(({ value }) => idOf(value))] : []), vectors]),
    finish: () => file.finish(),
  };
}

export function linesTo(write: (text: string) => Promise<void>): Sink {
  return {
    write: (rows, vectors) => write(rows.map(({ value }, i) => `${lineOf(vectors[i] as Float32Array, idOf(value))}\n`).join('')),
    finish: async () => {},
  };
}

/** `id` is the row's own; numbers have the digits that tell float32 apart. */
function lineOf(vector: Float32Array, id: string | number | undefined): string {
  return JSON.stringify({ ...(id !== undefined && { id }), embedding: Array.from(vector, (x) => Number(x.toPrecision(9))) });
}

function idOf({ id }: InputRow['value']): string | number | undefined {
  return typeof id === 'string' || typeof id === 'number' ? id : undefined;
}

/** What a column of the ids that rows have would hold; undefined where none has one. */
function idColumn(rows: readonly InputRow[]): 'text' | 'integer' | 'number' | 'mixed' | undefined {
  const ids = rows.map(({ value }) => idOf(value)).filter((id) => id !== undefined);
  if (ids.length === 0) return undefined;
  const texts = ids.filter((id) => typeof id === 'string').length;
  if (texts === ids.length) return 'text';
  if (texts > 0) return 'mixed';
  return ids.every((id) => Number.isSafeInteger(id)) ? 'integer' : 'number';
}

/** @throws usage.value */
export function checkOutputName(output: string): void {
  if (output === '-' || /\.(jsonl|parquet)$/i.test(output)) return;
  fail({ code: 'usage.value', subject: '--output', found: output, expected: 'a file .jsonl or .parquet, or -' });
}
