import { type Files, fail } from '../base/index.ts';
import { isJsonObject } from './json.ts';
import { readJsonLines, readLongText } from './jsonl.ts';

export interface TableRow {
  /** In text files the line the row starts at, counted from 1; in Parquet the row's number from 1. */
  readonly line: number;
  readonly value: Record<string, unknown>;
}

/**
 * The rows of a .jsonl, .csv, .tsv or .parquet file, by column name. CSV and TSV begin with a header row and hold text
 * only. CSV is quoted as in RFC 4180; in TSV every character but tab and newline is literal, quotes too, as NLP data
 * sets (GLUE and its kin) are written.
 * The libraries for CSV and Parquet are loaded when such a file is read, to keep the start of a command short.
 * Throws `file.syntax`, `file.duplicate-key`, `file.truncated`, `file.dtype`, `file.too-large` with file and line.
 */
export async function readTable(files: Files, path: string): Promise<TableRow[]> {
  const extension = /\.([a-z]+)$/i.exec(path)?.[1]?.toLowerCase();
  if (extension === 'jsonl') return readObjects(files, path);
  if (extension === 'csv') return readSeparated(files, path, ',');
  if (extension === 'tsv') return readSeparated(files, path, '\t');
  if (extension === 'parquet') return (await import('./parquet.ts')).readParquet(files, path);
  const found = extension ? `the extension .${extension}` : 'no extension';
  return fail({ code: 'file.syntax', subject: path, found, expected: '.jsonl, .csv, .tsv or .parquet' });
}

async function readObjects(files: Files, path: string): Promise<TableRow[]> {
  return (await readJsonLines(files, path)).map(({ line, value }) => {
    if (isJsonObject(value)) return { line, value };
    const found = Array.isArray(value) ? 'a list' : value === null ? 'null' : typeof value;
    return fail({ code: 'file.syntax', subject: `${path}:${line}`, found, expected: 'an object {"column": value}' });
  });
}

async function readSeparated(files: Files, path: string, delimiter: ',' | '\t'): Promise<TableRow[]> {
  const records = await parseRecords(await readLongText(files, path), path, delimiter);
  while (records.at(-1)?.cells.join('') === '' && records.at(-1)?.cells.length === 1) records.pop();
  const header = records[0]?.cells;
  if (!header) return fail({ code: 'file.syntax', subject: path, found: 'an empty file', expected: 'a header row' });
  header.forEach((name, i) => {
    if (header.indexOf(name) < i) {
      fail({ code: 'file.duplicate-key', subject: `${path}:1`, found: `the column ${JSON.stringify(name)} a second time` });
    }
  });
  return records.slice(1).map(({ line, cells }) => {
    if (cells.length !== header.length) {
      const expected = `${header.length} (${header.slice(0, 8).join(', ')})`;
      fail({ code: 'file.syntax', subject: `${path}:${line}`, found: `${cells.length} columns`, expected });
    }
    return { line, value: Object.fromEntries(cells.map((cell, i) => [header[i] as string, cell])) };
  });
}

async function parseRecords(text: string, path: string, delimiter: ',' | '\t'): Promise<{ line: number; cells: string[] }[]> {
  const { CsvError, parse } = await import('csv-parse/sync');
  const records: { line: number; cells: string[] }[] = [];
  let line = 1;
  try {
    parse(text, {
      delimiter,
      quote: delimiter === ',' ? '"' : false,
      record_delimiter: ['\r\n', '\n'],
      relax_column_count: true,
      on_record(cells: string[], { lines }) {
        records.push({ line, cells });
        line = lines + 1;
        return null;
      },
    });
  } catch (cause) {
    if (!(cause instanceof CsvError)) throw cause;
    const next = 'A field with quotes is written "like ""this""".';
    return fail({
      code: 'file.syntax',
      subject: `${path}:${line}`,
      found: cause.code === 'CSV_QUOTE_NOT_CLOSED' ? 'a quote that is never closed' : 'a quote in the wrong place',
      expected: 'fields quoted as in RFC 4180',
      next,
      cause,
    });
  }
  return records;
}
