import type { ColumnMetaData, FileMetaData, SchemaTree } from 'hyparquet';
import { parquetMetadata, parquetReadObjects, parquetSchema } from 'hyparquet';
import { type Files, fail, MultigraftError, truncated } from '../base/index.ts';
import { checkPages, checkThrift } from './parquet-pages.ts';

const MAGIC = 0x31524150;
const FOOTER_LIMIT = 64 * 2 ** 20;

/**
 * The rows of a Parquet file whose columns hold text, numbers, booleans or lists of these (64-bit integers become numbers),
 * uncompressed or with snappy. hyparquet does the decoding and trusts the file, so metadata, page headers and run lengths
 * are checked before it sees them.
 * Throws `file.truncated`, `file.too-large`, `file.syntax`, `file.offsets`, `file.dtype`, `file.duplicate-key` (columns),
 * `file.unsafe` (data in another file).
 */
export async function readParquet(files: Files, path: string): Promise<{ line: number; value: Record<string, unknown> }[]> {
  const size = await files.size(path);
  const { metadata, dataEnd } = await readFooter(files, path, size);
  try {
    const columns = checkSchema(metadata, path);
    await checkChunks(files, path, metadata, columns, dataEnd, size);
    const slice = async (start: number, end = size) => exactBuffer(await files.readRange(path, start, end));
    const rows = await parquetReadObjects({ file: { byteLength: size, slice }, metadata });
    return rows.map((row, i) => ({ line: i + 1, value: convertRow(row, columns, `${path}: row ${i + 1}`) }));
  } catch (cause) {
    return damaged(cause, path);
  }
}

async function readFooter(files: Files, path: string, size: number): Promise<{ metadata: FileMetaData; dataEnd: number }> {
  if (size < 12) truncated(path, 12, size);
  const magic = new DataView(exactBuffer(await files.readRange(path, 0, 4))).getUint32(0, true);
  const tail = new DataView(exactBuffer(await files.readRange(path, size - 8, size)));
  const length = tail.getUint32(0, true);
  if (magic !== MAGIC) return fail({ code: 'file.syntax', subject: path, found: 'no PAR1 at the start', expected: 'a Parquet file' });
  if (tail.getUint32(4, true) !== MAGIC) {
    const next = 'The file is incomplete: copy or download it again.';
    return fail({ code: 'file.truncated', subject: path, found: 'no PAR1 at the end', expected: 'a complete Parquet file', next });
  }
  if (length > FOOTER_LIMIT) return fail({ code: 'file.too-large', subject: path, found: `a footer of ${length} bytes` });
  const dataEnd = size - 8 - length;
  if (dataEnd < 4) return fail({ code: 'file.offsets', subject: path, found: `a footer of ${length} bytes in a file of ${size}` });
  const footer = await files.readRange(path, dataEnd, size);
  try {
    checkThrift(footer.subarray(0, length), `${path} (footer)`);
    return { metadata: parquetMetadata(footer, { geoparquet: false }), dataEnd };
  } catch (cause) {
    return damaged(cause, path);
  }
}

/** The columns by path, each a leaf or a list of leaves. */
function checkSchema(metadata: FileMetaData, path: string): Map<string, SchemaTree[]> {
  const root = parquetSchema(metadata);
  const columns = new Map<string, SchemaTree[]>();
  for (const child of root.children) {
    const name = child.element.name;
    if (columns.has(name)) fail({ code: 'file.duplicate-key', subject: path, found: `the column ${name} a second time` });
    const chain = [root, child];
    for (let node = child; node.children.length === 1; ) {
      node = node.children[0] as SchemaTree;
      chain.push(node);
    }
    const isList = child.element.converted_type === 'LIST' || child.element.logical_type?.type === 'LIST';
    const leaf = chain.at(-1) as SchemaTree;
    if (leaf.children.length > 0 || chain.length > 4 || (chain.length > 2 && !isList)) {
      fail({ code: 'file.dtype', subject: `${path}: ${name}`, found: 'a nested column', expected: 'values or lists of values' });
    }
    const { type, converted_type: converted, logical_type: logical } = leaf.element;
    const kind = logical?.type ?? converted ?? '';
    const fine =
      (type === 'BOOLEAN' && kind === '') ||
      ((type === 'INT32' || type === 'INT64') && /^$|^U?INT(_|EGER|$)/.test(kind)) ||
      ((type === 'FLOAT' || type === 'DOUBLE') && kind === '') ||
      (type === 'BYTE_ARRAY' && /^$|^UTF8$|^STRING$|^ENUM$/.test(kind));
    if (!fine) {
      const found = [type ?? 'no type', kind].filter(Boolean).join(' as ');
      fail({ code: 'file.dtype', subject: `${path}: ${name}`, found, expected: 'text, numbers or booleans', next: 'Convert the column.' });
    }
    columns.set(name, chain);
  }
  return columns;
}

async function checkChunks(
  files: Files,
  path: string,
  metadata: FileMetaData,
  columns: ReadonlyMap<string, SchemaTree[]>,
  dataEnd: number,
  size: number,
): Promise<void> {
  // Dictionaries let a short file hold many values; real ones stay far below this.
  const limit = 1_000_000 + 100 * size;
  let cells = 0;
  let rows = 0;
  for (const group of metadata.row_groups) {
    const groupRows = whole(group.num_rows, path, 'rows');
    rows += groupRows;
    if (group.columns.length !== columns.size)
      damaged(new Error(`${group.columns.length} of ${columns.size} columns in a row group`), path);
    const seen = new Set<string>();
    for (const { meta_data: meta, file_path: elsewhere } of group.columns) {
      if (!meta) return damaged(new Error('column without metadata'), path);
      const name = meta.path_in_schema[0] ?? '';
      const subject = `${path}: ${name}`;
      const chain = columns.get(name);
      if (!chain || seen.has(name) || chain.length !== meta.path_in_schema.length + 1) return damaged(new Error(`column ${name}`), path);
      seen.add(name);
      if (elsewhere) fail({ code: 'file.unsafe', subject, found: `data in the file ${elsewhere}`, expected: 'data in this file' });
      if ((chain.at(-1) as SchemaTree).element.type !== meta.type) damaged(new Error(`two types for the column ${name}`), path);
      checkCodec(meta, subject);
      cells += Math.max(groupRows, whole(meta.num_values, path, 'values'));
      if (cells > limit)
        fail({ code: 'file.too-large', subject: path, found: `${cells} values`, expected: `at most ${limit} in ${size} bytes` });
      const dataStart = whole(meta.data_page_offset, path, 'an offset');
      const start = whole(meta.dictionary_page_offset, path, 'an offset') || dataStart;
      const end = start + whole(meta.total_compressed_size, path, 'bytes');
      if (start < 4 || end > dataEnd || dataStart < start || dataStart >= end) {
        fail({ code: 'file.offsets', subject, found: `bytes ${start} to ${end}`, expected: `within 4 to ${dataEnd}` });
      }
      checkPages(await files.readRange(path, start, end), meta, chain, groupRows, subject);
    }
  }
  if (rows !== whole(metadata.num_rows, path, 'rows')) damaged(new Error(`${rows} rows in groups, ${metadata.num_rows} in all`), path);
}

function checkCodec({ codec }: ColumnMetaData, subject: string): void {
  if (codec === 'UNCOMPRESSED' || codec === 'SNAPPY') return;
  const next = 'Write the file again with compression="snappy".';
  fail({ code: 'file.syntax', subject, found: `compression ${codec}`, expected: 'snappy or none', next });
}

function convertRow(row: Record<string, unknown>, columns: ReadonlyMap<string, SchemaTree[]>, subject: string): Record<string, unknown> {
  return Object.fromEntries(
    [...columns].map(([name, chain]) => {
      const isList = chain.length > 2;
      // The decoder gives undefined for a list that is null.
      const cell = isList && row[name] === undefined ? null : row[name];
      return [name, convertCell(cell, `${subject}, ${name}`)];
    }),
  );
}

function convertCell(cell: unknown, subject: string): unknown {
  if (cell === null || typeof cell === 'string' || typeof cell === 'number' || typeof cell === 'boolean') return cell;
  if (typeof cell === 'bigint') {
    const value = Number(cell);
    if (Number.isSafeInteger(value)) return value;
    return fail({ code: 'file.dtype', subject, found: `the integer ${cell}`, expected: 'at most 2^53 in size' });
  }
  if (Array.isArray(cell)) return cell.map((item) => convertCell(item, subject));
  return fail({
    code: 'file.syntax',
    subject,
    found: cell === undefined ? 'no value' : typeof cell,
    expected: 'a value of the column’s type',
  });
}

function whole(value: bigint | number | undefined, path: string, what: string): number {
  const result = Number(value ?? 0);
  if (!Number.isSafeInteger(result) || result < 0) damaged(new Error(`${value} ${what}`), path);
  return result;
}

function exactBuffer(bytes: Uint8Array): ArrayBuffer {
  const whole = bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength;
  return (whole ? bytes : bytes.slice()).buffer as ArrayBuffer;
}

function damaged(cause: unknown, subject: string): never {
  if (cause instanceof MultigraftError) throw cause;
  const found = cause instanceof Error ? cause.message : String(cause);
  return fail({
    code: 'file.syntax',
    subject,
    found,
    expected: 'a Parquet file',
    next: 'The file is damaged: copy or write it again.',
    cause,
  });
}
