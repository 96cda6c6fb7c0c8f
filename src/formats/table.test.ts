import { describe, expect, it } from 'vitest';
import { goldenFiles, goldenValues } from '../../test/golden/formats.ts';
import { memoryFiles } from '../base/files.ts';
import { readJsonLines } from './jsonl.ts';
import { readTable } from './table.ts';

const read = (name: string, text: string) => readTable(memoryFiles({ [name]: text }), name);

describe('CSV', () => {
  it('is quoted, may end a line in CRLF, and knows where a row starts', async () => {
    expect(await read('a.csv', '\ufefftext,label\r\n"one, ""two""\nthree",1\r\nfour,2')).toEqual([
      { line: 2, value: { text: 'one, "two"\nthree', label: '1' } },
      { line: 4, value: { text: 'four', label: '2' } },
    ]);
  });

  it('may hold a column named __proto__', async () => {
    const [row] = await read('a.csv', '__proto__,b\nx,y\n');
    expect(Object.entries(row?.value ?? {})).toEqual([
      ['__proto__', 'x'],
      ['b', 'y'],
    ]);
  });

  it.each([
    ['a,b\n1,2\n3\n', 'file.syntax', /a\.csv:3: found 1 columns; expected 2 \(a, b\)/],
    ['a,b\n1,2\n3,"4\n', 'file.syntax', /a\.csv:3/],
    ['a,b\n1,x"y\n', 'file.syntax', /a\.csv:2/],
    ['a,a\n', 'file.duplicate-key', /"a"/],
    ['', 'file.syntax', /an empty file/],
  ])('%j is refused', async (text, code, message) => {
    await expect(read('a.csv', text)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });
});

describe('TSV', () => {
  it('takes quotes and commas as they are', async () => {
    expect(await read('a.tsv', 'text\tlabel\n"one, two\t"\n')).toEqual([{ line: 2, value: { text: '"one, two', label: '"' } }]);
  });

  it('refuses ragged rows', async () => {
    await expect(read('a.tsv', 'a\tb\n1\n')).rejects.toThrow(/a\.tsv:2: found 1 columns/);
  });
});

describe('JSON lines', () => {
  it('tolerate a byte-order mark, CRLF and blank lines at the end', async () => {
    const files = memoryFiles({ 'a.jsonl': '\ufeff{"a": 1}\r\n[2]\r\n\r\n' });
    expect(await readJsonLines(files, 'a.jsonl')).toEqual([
      { line: 1, value: { a: 1 } },
      { line: 2, value: [2] },
    ]);
  });

  it.each([
    ['{"a": 1}\n\n{"a": 2}\n', 'file.syntax', /a\.jsonl:2: found a blank line/],
    ['{"a": 1}\n{"a": }\n', 'file.syntax', /a\.jsonl:2:7: found "}"/],
    ['{"a": 1}\n[1]\n', 'file.syntax', /a\.jsonl:2: found a list/],
    ['{"a": 1, "a": 2}', 'file.duplicate-key', /a\.jsonl:1:10/],
  ])('%j is refused', async (text, code, message) => {
    await expect(read('a.jsonl', text)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });
});

describe('Parquet', () => {
  it.each([
    ['rows.parquet', 4],
    ['plain.parquet', 4],
  ])('%s is read as pyarrow wrote it', async (name, count) => {
    const columns = goldenValues<unknown[]>(name);
    const rows = await readTable(goldenFiles(name), name);
    expect(rows.map((row) => row.line)).toEqual([1, 2, 3, 4]);
    expect(Object.keys(rows[0]?.value ?? {})).toEqual(Object.keys(columns));
    for (const [column, values] of Object.entries(columns)) expect(rows.map((row) => row.value[column])).toEqual(values);
    expect(rows).toHaveLength(count);
  });

  it.each([
    ['rows_zstd.parquet', 'file.syntax', /compression ZSTD.*snappy/],
    ['version2.parquet', 'file.syntax', /DATA_PAGE_V2.*data_page_version/],
    ['dates.parquet', 'file.dtype', /when: found INT64 as TIMESTAMP/],
    ['nested.parquet', 'file.dtype', /deep: found a nested column/],
    ['wide.parquet', 'file.dtype', /row 1, wide: found the integer 1152921504606846976/],
  ])('%s is refused', async (name, code, message) => {
    await expect(readTable(goldenFiles(name), name)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });
});

it('refuses other extensions', async () => {
  await expect(read('a.xlsx', '')).rejects.toThrow(/the extension \.xlsx; expected \.jsonl, \.csv, \.tsv or \.parquet/);
});
