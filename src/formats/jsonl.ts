import { type Files, fail, readText } from '../base/index.ts';
import { type Json, parseJson } from './json.ts';

/** JavaScript strings end near 2^29 units. */
const TEXT_LIMIT = 500_000_000;

interface JsonLine {
  /** Counted from 1. */
  readonly line: number;
  readonly value: Json;
}

/**
 * One JSON value a line (LF or CRLF, a byte-order mark and a missing last newline are fine). Blank lines are allowed at
 * the end only. Throws `file.syntax`, `file.duplicate-key`, `file.too-large`, each with file:line:column.
 */
export async function readJsonLines(files: Files, path: string): Promise<JsonLine[]> {
  const lines = (await readLongText(files, path)).split(/\r?\n/);
  while (lines.at(-1)?.trim() === '') lines.pop();
  return lines.map((text, i) => {
    if (text.trim() === '') {
      fail({ code: 'file.syntax', subject: `${path}:${i + 1}`, found: 'a blank line', expected: 'a JSON value', next: 'Remove the line.' });
    }
    return { line: i + 1, value: parseJson(text, path, { line: i + 1 }) };
  });
}

/** As `readText`, and `file.too-large` for what no string can hold. */
export async function readLongText(files: Files, path: string): Promise<string> {
  const size = await files.size(path);
  if (size > TEXT_LIMIT) {
    const next = 'Split the file, or use Parquet.';
    fail({ code: 'file.too-large', subject: path, found: `${size} bytes of text`, expected: `at most ${TEXT_LIMIT}`, next });
  }
  return readText(files, path);
}
