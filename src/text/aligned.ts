/**
 * Text that remembers where it came from. Every stage of a tokenizer may change the text; the pieces it passes on
 * keep, for each UTF-16 unit, the range of the original it stands for, so that tokens can be given as ranges of
 * what the user wrote.
 */

/** A stretch of normalised text. Without `starts`/`ends` unit i ≥ lead is original unit origin + i − lead. */
export interface Piece {
  readonly text: string;
  /** Where this stretch begins in the original, in UTF-16 units. */
  readonly origin: number;
  /** Units put in front of the text by a pre-tokenizer; they stand for the first original character, [origin, leadEnd). */
  readonly lead: number;
  readonly leadEnd: number;
  readonly starts: Int32Array | null;
  readonly ends: Int32Array | null;
}

/** One code point a time, with its range of the original: the form in which normalizers rewrite text. */
export interface Characters {
  readonly values: string[];
  readonly starts: number[];
  readonly ends: number[];
  readonly origin: number;
}

/** A stage that rewrites text before it is split. */
export interface Normalizer {
  /** The result for text that keeps every unit in its place (most ASCII); null when the slow way is needed. */
  quick(text: string): string | null;
  apply(characters: Characters): Characters;
}

export function plainPiece(text: string, origin: number): Piece {
  return { text, origin, lead: 0, leadEnd: origin, starts: null, ends: null };
}

export function slicePiece(piece: Piece, from: number, to: number): Piece {
  if (from === 0 && to === piece.text.length) return piece;
  const text = piece.text.slice(from, to);
  if (piece.starts !== null && piece.ends !== null) {
    const starts = piece.starts.subarray(from, to);
    return { text, origin: starts[0] ?? piece.origin, lead: 0, leadEnd: piece.origin, starts, ends: piece.ends.subarray(from, to) };
  }
  const lead = Math.max(0, piece.lead - from);
  return { text, origin: piece.origin + Math.max(0, from - piece.lead), lead, leadEnd: piece.leadEnd, starts: null, ends: null };
}

/** `prefix` in front of a piece; it stands for the piece's first character. An empty piece stays empty. */
export function prependTo(piece: Piece, prefix: string): Piece {
  if (piece.text === '') return piece;
  const text = prefix + piece.text;
  if (piece.starts === null || piece.ends === null) {
    if (piece.lead > 0) return { ...piece, text, lead: piece.lead + prefix.length };
    const first = piece.text.codePointAt(0) as number;
    return { ...piece, text, lead: prefix.length, leadEnd: piece.origin + (first > 0xffff ? 2 : 1) };
  }
  const starts = new Int32Array(text.length).fill(piece.starts[0] as number, 0, prefix.length);
  const ends = new Int32Array(text.length).fill(piece.ends[0] as number, 0, prefix.length);
  starts.set(piece.starts, prefix.length);
  ends.set(piece.ends, prefix.length);
  return { ...piece, text, starts, ends };
}

/** First original unit of the normalised range that begins at `at`. */
export function originalStart(piece: Piece, at: number): number {
  if (piece.starts !== null) return piece.starts[at] ?? piece.origin;
  return at < piece.lead ? piece.origin : piece.origin + at - piece.lead;
}

/** One past the last original unit of the normalised range that ends before `at`. */
export function originalEnd(piece: Piece, at: number): number {
  if (piece.ends !== null) return piece.ends[at - 1] ?? piece.origin;
  return at <= piece.lead ? piece.leadEnd : piece.origin + at - piece.lead;
}

export function toCharacters(text: string, origin: number): Characters {
  const values = Array.from(text);
  const starts: number[] = [];
  const ends: number[] = [];
  let at = origin;
  for (const value of values) {
    starts.push(at);
    at += value.length;
    ends.push(at);
  }
  return { values, starts, ends, origin };
}

export function toPiece({ values, starts, ends, origin }: Characters): Piece {
  const text = values.join('');
  const unitStarts = new Int32Array(text.length);
  const unitEnds = new Int32Array(text.length);
  let unit = 0;
  for (let i = 0; i < values.length; i++) {
    for (let k = (values[i] as string).length; k > 0; k--) {
      unitStarts[unit] = starts[i] as number;
      unitEnds[unit++] = ends[i] as number;
    }
  }
  return { text, origin: starts[0] ?? origin, lead: 0, leadEnd: origin, starts: unitStarts, ends: unitEnds };
}

/**
 * Rewrites characters as the Rust tokenizers do. `changes[k]` says how value k relates to the old text: 0 replaces the
 * next old character, 1 is new and takes the range of the old character just passed, −n replaces one and swallows n more.
 */
export function transform(old: Characters, values: string[], changes: readonly number[]): Characters {
  const starts: number[] = new Array(values.length);
  const ends: number[] = new Array(values.length);
  let at = 0;
  for (let k = 0; k < values.length; k++) {
    const change = changes[k] as number;
    const source = change > 0 ? at - 1 : at;
    starts[k] = source < 0 ? old.origin : (old.starts[source] ?? old.ends.at(-1) ?? old.origin);
    ends[k] = source < 0 ? old.origin : (old.ends[source] ?? old.ends.at(-1) ?? old.origin);
    if (change <= 0) at += 1 - change;
  }
  return { values, starts, ends, origin: old.origin };
}

/** Keeps the characters for which `keep` is true, each with its own range. */
export function filterCharacters(old: Characters, keep: (character: string) => boolean): Characters {
  const result: Characters = { values: [], starts: [], ends: [], origin: old.origin };
  for (let i = 0; i < old.values.length; i++) if (keep(old.values[i] as string)) copyCharacter(old, i, old.values[i] as string, result);
  return result;
}

/** Puts what `replace` gives in the place of each character; all of it stands for that character. */
export function mapCharacters(old: Characters, replace: (character: string) => string): Characters {
  const result: Characters = { values: [], starts: [], ends: [], origin: old.origin };
  for (let i = 0; i < old.values.length; i++) {
    const value = old.values[i] as string;
    const replaced = replace(value);
    if (replaced === value) copyCharacter(old, i, value, result);
    else for (const character of replaced) copyCharacter(old, i, character, result);
  }
  return result;
}

export function copyCharacter(from: Characters, i: number, value: string, to: Characters): void {
  to.values.push(value);
  to.starts.push(from.starts[i] as number);
  to.ends.push(from.ends[i] as number);
}
