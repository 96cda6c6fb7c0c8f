import { fail } from '../base/index.ts';
import { createHeap } from './heap.ts';
import { flag, type Json, optionalText } from './json.ts';
import { type Model, readVocabulary, type WordTokens } from './model.ts';

/**
 * Byte-pair encoding (Sennrich et al. 2016): of all adjacent pairs the one learnt first is merged, the leftmost of equals,
 * until none is left. With `byteLevel` the symbols are UTF-8 bytes (Radford et al. 2019), otherwise characters.
 */
export function createBpe(json: Json, byteLevel: boolean): Model {
  const vocabulary = readVocabulary(json);
  const merges = readMerges(json, vocabulary);
  const unknownToken = optionalText(json, 'unk_token');
  const unknown = unknownToken === null ? undefined : vocabulary.get(unknownToken);
  const fuseUnknown = flag(json, 'fuse_unk', false);
  const byteFallback = flag(json, 'byte_fallback', false);
  const ignoreMerges = flag(json, 'ignore_merges', false);
  const prefix = optionalText(json, 'continuing_subword_prefix') ?? '';
  const suffix = optionalText(json, 'end_of_word_suffix') ?? '';
  const alphabet = byteAlphabet();
  const encoder = new TextEncoder();

  const split = (word: string): Symbols => {
    const symbols: Symbols = { ids: [], lengths: [] };
    const values = byteLevel ? Array.from(encoder.encode(word), (byte) => alphabet[byte] as string) : Array.from(word);
    let waiting = 0;
    const flush = () => {
      if (waiting > 0) add(symbols, unknown as number, waiting);
      waiting = 0;
    };
    values.forEach((value, i) => {
      const length = byteLevel ? 1 : encoder.encode(value).length;
      const symbol = (i > 0 ? prefix : '') + value + (i === values.length - 1 ? suffix : '');
      const id = vocabulary.get(symbol);
      const bytes = id === undefined && byteFallback ? bytesOfSymbol(symbol) : undefined;
      if (id !== undefined) {
        flush();
        add(symbols, id, length);
      } else if (bytes !== undefined) {
        for (const byte of bytes) add(symbols, byte, 1);
      } else if (unknown !== undefined) {
        if (!fuseUnknown) flush();
        waiting += length;
      }
    });
    flush();
    return symbols;
  };
  const bytesOfSymbol = (symbol: string): number[] | undefined => {
    const ids = Array.from(encoder.encode(symbol), (byte) => vocabulary.get(byteToken(byte)));
    return ids.every((id) => id !== undefined) ? ids : undefined;
  };

  return {
    vocabulary,
    unknownToken,
    tokenize(word) {
      const whole = ignoreMerges
        ? vocabulary.get(byteLevel ? Array.from(encoder.encode(word), (b) => alphabet[b]).join('') : word)
        : undefined;
      if (whole !== undefined) return { ids: [whole], starts: [0], ends: [word.length] };
      return withRanges(word, merge(split(word), merges));
    },
  };
}

export function byteToken(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
}

/** byte → the printable character that stands for it in a byte-level vocabulary (GPT-2's table). */
export function byteAlphabet(): string[] {
  const printable = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
}

interface Symbols {
  readonly ids: number[];
  /** In UTF-8 bytes. */
  readonly lengths: number[];
}

function add(symbols: Symbols, id: number, length: number): void {
  symbols.ids.push(id);
  symbols.lengths.push(length);
}

/** Left id → right id → [rank, merged id]. */
type Merges = Map<number, Map<number, readonly [rank: number, merged: number]>>;

function readMerges(json: Json, vocabulary: ReadonlyMap<string, number>): Merges {
  const list = json.merges;
  if (!Array.isArray(list)) return fail({ code: 'text.tokenizer', subject: 'tokenizer.json, model', found: 'no list of merges' });
  const prefix = optionalText(json, 'continuing_subword_prefix') ?? '';
  const merges: Merges = new Map();
  for (const [rank, entry] of list.entries()) {
    const [left, right]: unknown[] = typeof entry === 'string' ? entry.split(' ') : Array.isArray(entry) ? entry : [];
    const a = vocabulary.get(left as string);
    const b = vocabulary.get(right as string);
    const merged = vocabulary.get(`${left}${String(right).slice(prefix.length)}`);
    if (a === undefined || b === undefined || merged === undefined) {
      fail({
        code: 'text.tokenizer',
        subject: `tokenizer.json, merge ${rank}`,
        found: JSON.stringify(entry),
        expected: 'two tokens of the vocabulary whose union is one too',
      });
    }
    const row = merges.get(a) ?? new Map();
    merges.set(a, row);
    row.set(b, [rank, merged]);
  }
  return merges;
}

function merge(symbols: Symbols, merges: Merges): Symbols {
  const { ids, lengths } = symbols;
  const next = ids.map((_, i) => i + 1);
  const before = ids.map((_, i) => i - 1);
  const queue = createHeap<Candidate>((a, b) => a.rank < b.rank || (a.rank === b.rank && a.left < b.left));
  const offer = (left: number) => {
    const right = next[left] as number;
    if (left < 0 || right >= ids.length) return;
    const found = merges.get(ids[left] as number)?.get(ids[right] as number);
    if (found !== undefined) queue.push({ rank: found[0], merged: found[1], left, right, a: ids[left] as number, b: ids[right] as number });
  };
  for (let i = 0; i + 1 < ids.length; i++) offer(i);
  for (let top = queue.pop(); top !== undefined; top = queue.pop()) {
    const { left, right, merged } = top;
    const stale = lengths[left] === 0 || next[left] !== right || ids[left] !== top.a || ids[right] !== top.b;
    if (stale) continue;
    ids[left] = merged;
    lengths[left] = (lengths[left] as number) + (lengths[right] as number);
    lengths[right] = 0;
    const after = next[right] as number;
    next[left] = after;
    if (after < ids.length) before[after] = left;
    if ((before[left] as number) >= 0) offer(before[left] as number);
    offer(left);
  }
  const alive = ids.map((_, i) => i).filter((i) => lengths[i] !== 0);
  return { ids: alive.map((i) => ids[i] as number), lengths: alive.map((i) => lengths[i] as number) };
}

interface Candidate {
  readonly rank: number;
  readonly merged: number;
  readonly left: number;
  readonly right: number;
  readonly a: number;
  readonly b: number;
}

/** Byte lengths → ranges in UTF-16 units; a token that holds part of a character gets the whole of it. */
function withRanges(word: string, { ids, lengths }: Symbols): WordTokens {
  const firstUnit: number[] = [];
  const lastUnit: number[] = [];
  let unit = 0;
  for (const character of word) {
    const point = character.codePointAt(0) as number;
    const bytes = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (let k = 0; k < bytes; k++) {
      firstUnit.push(unit);
      lastUnit.push(unit + character.length);
    }
    unit += character.length;
  }
  const starts: number[] = [];
  const ends: number[] = [];
  let at = 0;
  for (const length of lengths) {
    starts.push(firstUnit[at] as number);
    at += length;
    ends.push(lastUnit[at - 1] as number);
  }
  return { ids, starts, ends };
}
