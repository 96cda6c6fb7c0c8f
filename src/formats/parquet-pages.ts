import { type ColumnMetaData, type SchemaTree, snappyUncompress } from 'hyparquet';
import { parquetHeader } from 'hyparquet/src/column.js';
import { readRleBitPackedHybrid } from 'hyparquet/src/encoding.js';
import { getMaxDefinitionLevel, getMaxRepetitionLevel } from 'hyparquet/src/schema.js';
import { fail } from '../base/index.ts';

/** Snappy writes at most 64 bytes for each 2 it reads. */
const SNAPPY_RATIO = 32;
const DEPTH_LIMIT = 16;
const FIXED_WIDTHS: Readonly<Record<string, number>> = { INT32: 4, INT64: 8, FLOAT: 4, DOUBLE: 8 };

/**
 * Checks the pages of one column chunk: sizes, counts, run lengths and dictionary indices, so that the decoder neither
 * reads beyond a page nor makes values out of nothing. Throws `file.syntax`, `file.offsets`, `file.too-large`, or whatever
 * the decoder's parts throw on damaged bytes.
 */
export function checkPages(bytes: Uint8Array, meta: ColumnMetaData, chain: SchemaTree[], rows: number, subject: string): void {
  const reader = { view: viewOf(bytes), offset: 0 };
  let values = 0;
  let records = 0;
  let dictionary: number | undefined;
  while (reader.offset < bytes.length - 1) {
    const start = reader.offset;
    const headerEnd = checkThrift(bytes.subarray(start), subject);
    const header = parquetHeader(reader);
    if (start + headerEnd !== reader.offset) broken('a page header', subject);
    const packed = whole(header.compressed_page_size, subject);
    const unpacked = whole(header.uncompressed_page_size, subject);
    if (reader.offset + packed > bytes.length) {
      fail({ code: 'file.offsets', subject, found: `a page of ${packed} bytes`, expected: `at most ${bytes.length - reader.offset}` });
    }
    if (header.type !== 'DICTIONARY_PAGE' && !(header.type === 'DATA_PAGE' && header.data_page_header)) {
      const next = 'Write it again with data_page_version="1.0".';
      fail({ code: 'file.syntax', subject, found: `a page of type ${header.type}`, expected: 'data pages of version 1', next });
    }
    const page = unpack(bytes.subarray(reader.offset, reader.offset + packed), unpacked, meta, subject);
    reader.offset += packed;
    if (header.type === 'DICTIONARY_PAGE') {
      const count = whole(header.dictionary_page_header?.num_values, subject);
      if (dictionary !== undefined || values > 0) broken('a second or late dictionary page', subject);
      checkPlain(page, 0, count, meta, subject);
      dictionary = count;
    } else if (header.data_page_header) {
      const { num_values, encoding } = header.data_page_header;
      const count = whole(num_values, subject);
      if (values + count > Number(meta.num_values)) broken(`a page of ${count} values`, subject);
      values += count;
      records += checkDataPage(page, count, encoding, dictionary, meta, chain, subject);
    }
  }
  if (values !== Number(meta.num_values) || records !== rows) broken(`${values} values in ${records} rows`, subject);
}

/** Returns how many rows begin in the page. */
function checkDataPage(
  page: Uint8Array,
  count: number,
  encoding: string,
  dictionary: number | undefined,
  meta: ColumnMetaData,
  chain: SchemaTree[],
  subject: string,
): number {
  let at = 0;
  let records = count;
  let present = count;
  const maxRepetition = getMaxRepetitionLevel(chain);
  const maxDefinition = getMaxDefinitionLevel(chain);
  if (maxRepetition > 0) records = readLevels(maxRepetition).filter((level) => level === 0).length;
  if (maxDefinition > 0) present = readLevels(maxDefinition).filter((level) => level === maxDefinition).length;

  if (encoding === 'PLAIN') checkPlain(page, at, present, meta, subject);
  else if (encoding === 'PLAIN_DICTIONARY' || encoding === 'RLE_DICTIONARY') {
    const width = present > 0 || at < page.length ? (page[at++] ?? 33) : 0;
    if (width > 32 || dictionary === undefined) return broken('dictionary indices', subject);
    const indices = width === 0 ? new Array<number>(Math.min(present, 1)).fill(0) : readRuns(at, page.length, width, present);
    if (indices.some((index) => index < 0 || index >= dictionary)) broken('an index beyond the dictionary', subject);
  } else if (encoding === 'RLE' && meta.type === 'BOOLEAN') readLevels(1, present);
  else {
    const next = 'Write it again with use_dictionary=True or plain encoding.';
    fail({ code: 'file.syntax', subject, found: `the encoding ${encoding}`, expected: 'plain or dictionary', next });
  }
  return records;

  function readLevels(max: number, needed = count): number[] {
    const length = viewOf(page).getUint32(at, true);
    const end = at + 4 + length;
    if (end > page.length) broken('levels beyond the page', subject);
    const levels = readRuns(at + 4, end, 32 - Math.clz32(max), needed);
    if (levels.some((level) => level > max)) broken(`a level above ${max}`, subject);
    at = end;
    return levels;
  }

  function readRuns(start: number, end: number, width: number, needed: number): number[] {
    checkRuns(page.subarray(start, end), width, needed, subject);
    const output = new Array<number>(needed);
    readRleBitPackedHybrid({ view: viewOf(page.subarray(start, end)), offset: 0 }, width, output, end - start);
    return output;
  }
}

/** Runs of the RLE/bit-packed hybrid must make up `needed` values and stay within their bytes. */
function checkRuns(bytes: Uint8Array, width: number, needed: number, subject: string): void {
  let at = 0;
  let seen = 0;
  while (seen < needed) {
    const [header, next] = readVarint(bytes, at, subject);
    const count = header % 2 === 1 ? Math.floor(header / 2) * 8 : header / 2;
    at = next + (header % 2 === 1 ? (count / 8) * width : Math.ceil(width / 8));
    if (at > bytes.length || (header % 2 === 0 && seen + count > needed)) broken(`a run of ${count} values`, subject);
    seen += count;
  }
}

function checkPlain(page: Uint8Array, start: number, count: number, { type }: ColumnMetaData, subject: string): void {
  let end = start;
  if (type === 'BYTE_ARRAY') {
    const view = viewOf(page);
    for (let i = 0; i < count; i++) {
      if (end + 4 > page.length) broken('text beyond the page', subject);
      end += 4 + view.getUint32(end, true);
    }
  } else end += type === 'BOOLEAN' ? Math.ceil(count / 8) : count * (FIXED_WIDTHS[type] ?? broken(`the type ${type}`, subject));
  if (end > page.length) broken('values beyond the page', subject);
}

function unpack(packed: Uint8Array, size: number, { codec }: ColumnMetaData, subject: string): Uint8Array {
  if (codec === 'UNCOMPRESSED') return packed.length === size ? packed : broken('two sizes of a page', subject);
  if (size > SNAPPY_RATIO * packed.length) {
    return fail({ code: 'file.too-large', subject, found: `${packed.length} bytes that swell to ${size}`, expected: 'snappy data' });
  }
  const page = new Uint8Array(size);
  if (readVarint(packed, 0, subject)[0] !== size) broken('two sizes of a page', subject);
  snappyUncompress(packed, page);
  return page;
}

/**
 * Walks a structure of Thrift's compact protocol without building it: lists cannot be longer than their bytes, nesting
 * is bounded. Returns where it ends. Throws `file.syntax`, `file.too-large`.
 */
export function checkThrift(bytes: Uint8Array, subject: string): number {
  return struct(0, 0);

  function struct(start: number, depth: number): number {
    if (depth > DEPTH_LIMIT) fail({ code: 'file.too-large', subject, found: `structures nested deeper than ${DEPTH_LIMIT}` });
    let at = start;
    for (;;) {
      const field = byte(at++);
      if ((field & 15) === 0) return at;
      if (field >> 4 === 0) at = readVarint(bytes, at, subject)[1];
      at = element(at, field & 15, depth);
    }
  }

  function element(at: number, type: number, depth: number): number {
    if (type === 1 || type === 2) return at;
    if (type === 3) return at + 1;
    if (type >= 4 && type <= 6) return varintEnd(at);
    if (type === 7) return at + 8;
    if (type === 12) return struct(at, depth + 1);
    if (type === 8) {
      const [length, start] = readVarint(bytes, at, subject);
      if (start + length > bytes.length) broken('text beyond the end', subject);
      return start + length;
    }
    if (type !== 9) return broken(`the Thrift type ${type}`, subject);
    const head = byte(at);
    const [size, start] = head >> 4 === 15 ? readVarint(bytes, at + 1, subject) : [head >> 4, at + 1];
    if (start + size > bytes.length) {
      fail({ code: 'file.too-large', subject, found: `a list of ${size}`, expected: `at most ${bytes.length - start}` });
    }
    if (depth >= DEPTH_LIMIT) fail({ code: 'file.too-large', subject, found: `lists nested deeper than ${DEPTH_LIMIT}` });
    let end = start;
    for (let i = 0; i < size; i++) end = (head & 15) < 3 ? end + 1 : element(end, head & 15, depth + 1);
    return end;
  }

  function varintEnd(start: number): number {
    let at = start;
    while (byte(at++) >= 128) if (at - start > 10) broken('a number of more than 64 bits', subject);
    return at;
  }

  function byte(at: number): number {
    return bytes[at] ?? broken('the end within a structure', subject);
  }
}

function readVarint(bytes: Uint8Array, start: number, subject: string): [value: number, end: number] {
  let value = 0;
  for (let at = start; at < start + 5; at++) {
    const byte = bytes[at] ?? broken('the end within a number', subject);
    value += (byte & 127) * 2 ** (7 * (at - start));
    // The decoder works on 31 bits.
    if (byte < 128) return value < 2 ** 31 ? [value, at + 1] : broken(`the number ${value}`, subject);
  }
  return broken('a number of more than 32 bits', subject);
}

function whole(value: unknown, subject: string): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : broken(`${value} as a count`, subject);
}

function viewOf(bytes: Uint8Array): DataView<ArrayBuffer> {
  return new DataView(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength);
}

function broken(found: string, subject: string): never {
  return fail({ code: 'file.syntax', subject, found, expected: 'a Parquet file', next: 'The file is damaged: copy or write it again.' });
}
