import { expect, it } from 'vitest';
import { type Files, memoryFiles } from '../../src/base/files.ts';
import { parseJson } from '../../src/formats/json.ts';
import { readJsonLines } from '../../src/formats/jsonl.ts';
import { readTable } from '../../src/formats/table.ts';
import { goldenBytes } from '../golden/formats.ts';
import { attack, patch, refuseAll, splice } from './mutate.ts';

const utf8 = (text: string) => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array) => new TextDecoder('utf-8', { fatal: true }).decode(bytes);
const enormous: Files = { ...memoryFiles({}), size: async () => 2 ** 40 };
const JSON_TEXT = '{"text": "one \\u00e9 \\"two\\"", "label": [1, -2.5e3, true, null], "deep": {"a": {"b": []}}, "n": 12}';

it('400 broken JSON texts', async () => {
  let agreed = 0;
  const tally = await attack(
    [utf8(JSON_TEXT)],
    400,
    4,
    async (bytes) => {
      const text = new TextDecoder().decode(bytes);
      try {
        return parseJson(text, 'x');
      } catch (error) {
        // Whatever is refused as syntax must be wrong for JSON.parse too.
        if ((error as { code?: string }).code === 'file.syntax') expect(() => JSON.parse(text)).toThrow(SyntaxError);
        agreed++;
        throw error;
      }
    },
    (value, bytes) => expect(value).toEqual(JSON.parse(new TextDecoder().decode(bytes))),
  );
  expect([tally.tried, tally.refused]).toEqual([400, agreed]);
  expect(tally.refused).toBeGreaterThan(100);

  const codes = await refuseAll([
    ['syntax', 'file.syntax', () => parseJson('{', 'x')],
    ['twice', 'file.duplicate-key', () => parseJson('{"a":1,"\\u0061":2}', 'x')],
    ['deep', 'file.too-large', () => parseJson('[{"a":'.repeat(1e5), 'x')],
    ['long', 'file.too-large', () => parseJson('[1,2,3]', 'x', { length: 3 })],
  ]);
  expect(new Set([...codes, ...tally.codes])).toEqual(codes);
});

it('300 broken files of JSON lines', async () => {
  const source = utf8(`${JSON_TEXT}\n${JSON_TEXT}\r\n{"a": 3}\n`);
  const tally = await attack(
    [source],
    300,
    5,
    (bytes) => readJsonLines(memoryFiles({ x: bytes }), 'x'),
    (rows, bytes) => {
      const lines = decode(bytes).replace(/\s*$/, '').split('\n');
      expect(rows.map((row) => row.value)).toEqual(lines.filter(() => rows.length > 0).map((line) => JSON.parse(line)));
    },
  );
  expect(tally.tried).toBe(300);
  expect(tally.refused).toBeGreaterThan(80);

  const read = (text: string | Uint8Array) => () => readTable(memoryFiles({ 'x.jsonl': text }), 'x.jsonl');
  const codes = await refuseAll([
    ['blank', 'file.syntax', read('1\n\n2')],
    ['no UTF-8', 'file.syntax', read(Uint8Array.of(0x22, 0xff, 0x22))],
    ['no object', 'file.syntax', read('1')],
    ['twice', 'file.duplicate-key', read('{"a":1,"a":1}')],
    ['deep', 'file.too-large', read('['.repeat(1000))],
    ['enormous', 'file.too-large', () => readTable(enormous, 'x.jsonl')],
  ]);
  expect(new Set([...codes, ...tally.codes])).toEqual(codes);
});

it('300 broken CSV files', async () => {
  const sources = [utf8('text,label\n"one, ""two""\nthree",1\r\nfour,2\nfive é,3\n'), utf8('a,b,c\n1,2,3\n4,5,6\n7,8,9\n')];
  const tally = await attack(
    sources,
    300,
    6,
    (bytes) => readTable(memoryFiles({ 'x.csv': bytes }), 'x.csv'),
    async (rows, bytes) => {
      const text = decode(bytes);
      if (!text.includes('"')) expect(rows.map((row) => row.value)).toEqual(splitRows(text, ','));
      if (rows.length === 0) return;
      const quote = (cell: unknown) => `"${String(cell).replaceAll('"', '""')}"`;
      const lines = [Object.keys(rows[0]?.value ?? {}), ...rows.map((row) => Object.values(row.value))];
      const copy = memoryFiles({ 'x.csv': lines.map((cells) => cells.map(quote).join(',')).join('\n') });
      expect((await readTable(copy, 'x.csv')).map((row) => row.value)).toEqual(rows.map((row) => row.value));
    },
  );
  expect(tally.tried).toBe(300);
  expect(tally.refused).toBeGreaterThan(60);
  expect(new Set([...(await separatedCodes('csv', ',')), ...tally.codes])).toEqual(await separatedCodes('csv', ','));
});

it('300 broken TSV files', async () => {
  const tally = await attack(
    [utf8('text\tlabel\n"one, two\t1\nfour "\t2\r\nfive é\t3\n')],
    300,
    7,
    (bytes) => readTable(memoryFiles({ 'x.tsv': bytes }), 'x.tsv'),
    (rows, bytes) => expect(rows.map((row) => row.value)).toEqual(splitRows(decode(bytes), '\t')),
  );
  expect(tally.tried).toBe(300);
  expect(tally.refused).toBeGreaterThan(60);
  expect(new Set([...(await separatedCodes('tsv', '\t')), ...tally.codes])).toEqual(await separatedCodes('tsv', '\t'));
});

/** What a file without quotes holds, read the plain way. */
function splitRows(text: string, delimiter: string): Record<string, string>[] {
  const lines = text.split(/\r?\n/);
  while (lines.at(-1) === '') lines.pop();
  const [header, ...rows] = lines.map((line) => line.split(delimiter));
  return rows.map((cells) => Object.fromEntries(cells.map((cell, i) => [header?.[i] ?? '', cell])));
}

async function separatedCodes(extension: string, delimiter: string) {
  const name = `x.${extension}`;
  const read = (text: string) => () => readTable(memoryFiles({ [name]: text.replaceAll(',', delimiter) }), name);
  return refuseAll([
    ['ragged', 'file.syntax', read('a,b\n1')],
    ['twice', 'file.duplicate-key', read('a,a\n1,2')],
    ['enormous', 'file.too-large', () => readTable(enormous, name)],
  ]);
}

it('500 broken Parquet files', async () => {
  const names = ['rows.parquet', 'plain.parquet'];
  const columns: Record<string, RegExp> = {
    text: /^(string|null)$/,
    label: /^(number|null)$/,
    score: /^(number|null)$/,
    good: /^(boolean|null)$/,
    tokens: /^(list|null)$/,
    tags: /^(list|null)$/,
  };
  const kind = (cell: unknown) => (cell === null ? 'null' : Array.isArray(cell) ? 'list' : typeof cell);
  const tally = await attack(
    names.map(goldenBytes),
    500,
    8,
    (bytes) => readTable(memoryFiles({ 'x.parquet': bytes }), 'x.parquet'),
    (rows) => {
      expect(rows.length).toBeLessThanOrEqual(4);
      for (const { value } of rows) {
        for (const [column, cell] of Object.entries(value))
          expect(kind(cell)).toMatch(columns[column] ?? /string|number|boolean|list|null/);
        expect(JSON.parse(JSON.stringify(Object.values(value), (_, v) => (typeof v === 'number' ? 0 : v)))).toHaveLength(
          Object.keys(value).length,
        );
      }
    },
  );
  expect(tally.tried).toBe(500);
  expect(tally.refused).toBeGreaterThan(200);

  const golden = goldenBytes('plain.parquet');
  const read = (bytes: Uint8Array) => () => readTable(memoryFiles({ 'x.parquet': bytes }), 'x.parquet');
  const end = golden.length;
  const footer = new DataView(golden.buffer).getUint32(end - 8, true);
  const inFooter = (from: ArrayLike<number>, to: ArrayLike<number>) => {
    const wanted = Array.from(from).join();
    const at = golden.findIndex((_, i) => i >= end - 8 - footer && golden.slice(i, i + from.length).join() === wanted);
    expect(at).toBeGreaterThan(0);
    const changed = splice(golden, at, from.length, Uint8Array.from(to));
    const length = footer + to.length - from.length;
    return patch(changed, changed.length - 8, [length & 255, length >> 8]);
  };
  const codes = await refuseAll([
    ['short', 'file.truncated', read(golden.slice(0, 10))],
    ['cut', 'file.truncated', read(golden.slice(0, -1))],
    ['no magic', 'file.syntax', read(patch(golden, 0, [0]))],
    ['zstd', 'file.syntax', read(goldenBytes('rows_zstd.parquet'))],
    ['a footer longer than the file', 'file.offsets', read(patch(golden, end - 8, [end & 255, end >> 8, 0, 0]))],
    ['an absurd footer', 'file.too-large', read(patch(golden, end - 8, [0, 0, 0, 0x40]))],
    // A list of 2^28 things where the schema should be.
    ['an absurd list', 'file.too-large', read(patch(golden, end - 8 - footer, [0x19, 0xfc, 0x80, 0x80, 0x80, 0x80, 0x01]))],
    ['deep structures', 'file.too-large', read(patch(golden, end - 8 - footer, new Array(40).fill(0x1c)))],
    ['dates', 'file.dtype', read(goldenBytes('dates.parquet'))],
    ['two columns of one name', 'file.duplicate-key', read(inFooter(utf8('tags'), utf8('text')))],
    // The field file_path put before file_offset and meta_data of the first column chunk.
    ['data elsewhere', 'file.unsafe', read(inFooter([0x26, 0, 0x1c], [0x18, 1, 0x78, 0x16, 0, 0x1c]))],
  ]);
  expect(new Set([...codes, ...tally.codes])).toEqual(codes);
});
