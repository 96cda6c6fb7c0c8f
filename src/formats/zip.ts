import { type Files, fail } from '../base/index.ts';

/** One stored entry of a zip file: its bytes are the file's bytes [offset, offset + size). */
export interface ZipEntry {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

const END = 0x06054b50;
const END64 = 0x06064b50;
const END64_LOCATOR = 0x07064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const DIRECTORY_LIMIT = 64 * 2 ** 20;
const ENTRY_LIMIT = 65_536;

/**
 * The entries of a zip file that holds them uncompressed, by name (PKWARE APPNOTE, zip64 included). Nothing is unpacked,
 * so nothing can swell. Throws `file.syntax` (also for compressed entries), `file.truncated`, `file.offsets`,
 * `file.duplicate-key`, `file.too-large`.
 */
export async function readStoredZip(files: Files, path: string): Promise<Map<string, ZipEntry>> {
  const size = await files.size(path);
  const { count, start, length } = await findDirectory(files, path, size);
  if (length > DIRECTORY_LIMIT || count > ENTRY_LIMIT) {
    const expected = `at most ${ENTRY_LIMIT} in ${DIRECTORY_LIMIT} bytes`;
    fail({ code: 'file.too-large', subject: path, found: `a zip directory of ${count} entries in ${length} bytes`, expected });
  }
  if (start + length > size) outside(path, 'the zip directory', start + length, size);
  const records = readDirectory(await files.readRange(path, start, start + length), count, path);

  const entries = new Map<string, ZipEntry>();
  for (const { name, header, size: entrySize } of records) {
    if (entries.has(name)) fail({ code: 'file.duplicate-key', subject: path, found: `the zip entry ${name} a second time` });
    const offset = await dataOffset(files, path, name, header, start);
    if (offset + entrySize > start) outside(path, `the zip entry ${name}`, offset + entrySize, start);
    entries.set(name, { name, offset, size: entrySize });
  }
  const inOrder = [...entries.values()].sort((a, b) => a.offset - b.offset);
  inOrder.forEach((entry, i) => {
    const next = inOrder[i + 1];
    if (next && entry.offset + entry.size > next.offset) {
      fail({ code: 'file.offsets', subject: path, found: `the zip entries ${entry.name} and ${next.name} overlapping` });
    }
  });
  return entries;
}

async function findDirectory(files: Files, path: string, size: number): Promise<{ count: number; start: number; length: number }> {
  const tailStart = Math.max(0, size - 22 - 0xffff - 20);
  const tail = viewOf(await files.readRange(path, tailStart, size));
  for (let at = tail.byteLength - 22; at >= 0; at--) {
    if (tail.getUint32(at, true) !== END || tail.getUint16(at + 20, true) !== tail.byteLength - at - 22) continue;
    const record = { count: tail.getUint16(at + 10, true), length: tail.getUint32(at + 12, true), start: tail.getUint32(at + 16, true) };
    const zip64 = at >= 20 && tail.getUint32(at - 20, true) === END64_LOCATOR;
    if (!zip64) return record;
    const recordAt = safe(tail.getBigUint64(at - 12, true), path);
    if (recordAt + 56 > size) outside(path, 'the zip64 record', recordAt + 56, size);
    const wide = viewOf(await files.readRange(path, recordAt, recordAt + 56));
    if (wide.getUint32(0, true) !== END64) fail({ code: 'file.syntax', subject: path, found: 'no zip64 record where the file says it is' });
    const [entries, length, start] = [32, 40, 48].map((field) => safe(wide.getBigUint64(field, true), path)) as [number, number, number];
    return { count: entries, length, start };
  }
  const next = 'The file is incomplete or no zip file: copy or download it again.';
  return fail({ code: 'file.truncated', subject: path, found: 'no zip directory at the end', expected: 'a complete zip file', next });
}

function readDirectory(bytes: Uint8Array, count: number, path: string): { name: string; header: number; size: number }[] {
  const view = viewOf(bytes);
  const records = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > bytes.length || view.getUint32(at, true) !== CENTRAL) {
      return fail({ code: 'file.syntax', subject: path, found: `${i} records in the zip directory`, expected: String(count) });
    }
    const nameEnd = at + 46 + view.getUint16(at + 28, true);
    const extraEnd = nameEnd + view.getUint16(at + 30, true);
    const end = extraEnd + view.getUint16(at + 32, true);
    if (end > bytes.length) fail({ code: 'file.syntax', subject: path, found: 'a zip directory record longer than the directory' });
    const name = new TextDecoder().decode(bytes.subarray(at + 46, nameEnd));
    const method = view.getUint16(at + 10, true);
    const encrypted = view.getUint16(at + 8, true) & 1;
    if (method !== 0 || encrypted) {
      const found = encrypted ? 'an encrypted entry' : `compression method ${method}`;
      const next = 'Save it again with torch.save or as safetensors.';
      fail({ code: 'file.syntax', subject: `${path}: ${name}`, found, expected: 'stored entries, as torch.save writes them', next });
    }
    const record = {
      packed: view.getUint32(at + 20, true),
      size: view.getUint32(at + 24, true),
      header: view.getUint32(at + 42, true),
    };
    widen(record, view, nameEnd, extraEnd, path);
    if (record.packed !== record.size) {
      fail({ code: 'file.offsets', subject: `${path}: ${name}`, found: `two sizes, ${record.packed} and ${record.size}`, expected: 'one' });
    }
    records.push({ name, header: record.header, size: record.size });
    at = end;
  }
  if (at !== bytes.length) fail({ code: 'file.syntax', subject: path, found: 'bytes after the last record of the zip directory' });
  return records;
}

/** Fields of 0xffffffff stand in the zip64 extra field, in this order. */
function widen(record: { size: number; packed: number; header: number }, view: DataView, start: number, end: number, path: string): void {
  const wide = (['size', 'packed', 'header'] as const).filter((field) => record[field] === 0xffffffff);
  if (wide.length === 0) return;
  for (let at = start; at + 4 <= end; at += 4 + view.getUint16(at + 2, true)) {
    if (view.getUint16(at, true) !== 1) continue;
    const fieldEnd = at + 4 + view.getUint16(at + 2, true);
    if (fieldEnd > end || fieldEnd < at + 4 + 8 * wide.length) break;
    wide.forEach((field, i) => {
      record[field] = safe(view.getBigUint64(at + 4 + 8 * i, true), path);
    });
    return;
  }
  fail({ code: 'file.syntax', subject: path, found: 'a zip64 entry without its sizes' });
}

async function dataOffset(files: Files, path: string, name: string, header: number, end: number): Promise<number> {
  if (header + 30 > end) outside(path, `the header of the zip entry ${name}`, header + 30, end);
  const local = viewOf(await files.readRange(path, header, header + 30));
  if (local.getUint32(0, true) !== LOCAL) {
    fail({ code: 'file.offsets', subject: `${path}: ${name}`, found: `no zip entry at byte ${header}`, expected: 'its local header' });
  }
  if (local.getUint16(8, true) !== 0) {
    fail({ code: 'file.syntax', subject: `${path}: ${name}`, found: 'compression in the local header', expected: 'a stored entry' });
  }
  return header + 30 + local.getUint16(26, true) + local.getUint16(28, true);
}

function outside(path: string, what: string, end: number, limit: number): never {
  return fail({ code: 'file.offsets', subject: path, found: `${what} ending at byte ${end}`, expected: `at most ${limit}` });
}

function safe(value: bigint, path: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) fail({ code: 'file.offsets', subject: path, found: `the zip64 number ${value}` });
  return Number(value);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
