import { fail } from '../base/index.ts';
import { type Piece, prependTo, slicePiece } from './aligned.ts';
import { flag, type Json, listOf, optionalText, patternOf, text } from './json.ts';
import { createClasses, WHITE_SPACE } from './unicode.ts';

/** A stage that cuts text into words; models see one word at a time. Empty pieces are dropped. */
type PreTokenizer = (piece: Piece, emit: (piece: Piece) => void) => void;

export interface PreTokenization {
  readonly split: PreTokenizer;
  /** Words go to the model as bytes, each written as a printable character (GPT-2's byte-level alphabet). */
  readonly byteLevel: boolean;
}

/** Throws `text.tokenizer` naming a type that is not known. */
export function createPreTokenization(json: Json | null): PreTokenization {
  if (json === null) return { split: (piece, emit) => emit(piece), byteLevel: false };
  const type = text(json, 'type', 'pre_tokenizer');
  if (type === 'Sequence') return sequence(listOf(json, 'pretokenizers').map(createPreTokenization));
  const make = PRE_TOKENIZERS[type];
  if (make !== undefined) return { split: make(json), byteLevel: type === 'ByteLevel' };
  return fail({
    code: 'text.tokenizer',
    subject: 'tokenizer.json, pre_tokenizer',
    found: `type "${type}"`,
    expected: `one of Sequence, ${Object.keys(PRE_TOKENIZERS).join(', ')}`,
  });
}

const PRE_TOKENIZERS: Record<string, (json: Json) => PreTokenizer> = {
  BertPreTokenizer: bertWords,
  ByteLevel: byteLevelWords,
  Metaspace: metaspace,
  Whitespace: () =>
    matches(
      new RegExp(
        `[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]+|[^\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}${WHITE_SPACE}]+`,
        'gu',
      ),
    ),
  WhitespaceSplit: () => matches(new RegExp(`[^${WHITE_SPACE}]+`, 'gu')),
  Punctuation: (json) => {
    const { isPunctuation } = createClasses();
    return delimited((value) => characterRanges(value, isPunctuation), optionalText(json, 'behavior') ?? 'Isolated');
  },
  Digits: (json) => delimited((value) => ranges(value, /\p{N}/gu), flag(json, 'individual_digits', false) ? 'Isolated' : 'Contiguous'),
  Split: (json) => {
    const pattern = patternOf(json, 'pre_tokenizer Split');
    const behavior = text(json, 'behavior', 'pre_tokenizer Split');
    const find = (value: string) => ranges(value, pattern);
    return delimited(flag(json, 'invert', false) ? (value) => gaps(find(value), value.length) : find, behavior);
  },
  CharDelimiterSplit: (json) => {
    const delimiter = text(json, 'delimiter', 'pre_tokenizer CharDelimiterSplit');
    return delimited((value) => characterRanges(value, (character) => character === delimiter), 'Removed');
  },
};

function sequence(stages: PreTokenization[]): PreTokenization {
  if (stages.slice(0, -1).some(({ byteLevel }) => byteLevel)) {
    fail({
      code: 'text.tokenizer',
      subject: 'tokenizer.json, pre_tokenizer',
      found: 'ByteLevel before other stages',
      expected: 'ByteLevel last',
    });
  }
  const split = stages
    .map((stage) => stage.split)
    .reduceRight<PreTokenizer>(
      (next, stage) => (piece, emit) => stage(piece, (part) => next(part, emit)),
      (piece, emit) => emit(piece),
    );
  return { split, byteLevel: stages.at(-1)?.byteLevel ?? false };
}

function bertWords(): PreTokenizer {
  const { isSpace, isPunctuation } = createClasses();
  const word = 1;
  const space = 2;
  const punctuation = 3;
  const known = new Uint8Array(0x110000);
  const classify = (point: number) => {
    const character = String.fromCodePoint(point);
    known[point] = isSpace(character) ? space : isPunctuation(character) ? punctuation : word;
    return known[point] as number;
  };
  return (piece, emit) => {
    const value = piece.text;
    let start = 0;
    const flush = (end: number) => {
      if (end > start) emit(slicePiece(piece, start, end));
    };
    for (let i = 0; i < value.length; ) {
      const point = value.codePointAt(i) as number;
      const width = point > 0xffff ? 2 : 1;
      const kind = known[point] || classify(point);
      if (kind !== word) {
        flush(i);
        start = i + width;
        if (kind === punctuation) emit(slicePiece(piece, i, start));
      }
      i += width;
    }
    flush(value.length);
  };
}

function byteLevelWords(json: Json): PreTokenizer {
  const prefixed = flag(json, 'add_prefix_space', true);
  const s = WHITE_SPACE;
  const words = flag(json, 'use_regex', true)
    ? matches(new RegExp(`'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^${s}\\p{L}\\p{N}]+|[${s}]+(?![^${s}])|[${s}]+`, 'gu'))
    : undefined;
  return (piece, emit) => {
    const ready = prefixed && !piece.text.startsWith(' ') ? prependTo(piece, ' ') : piece;
    if (words !== undefined) words(ready, emit);
    else if (ready.text !== '') emit(ready);
  };
}

function metaspace(json: Json): PreTokenizer {
  const mark = text(json, 'replacement', 'pre_tokenizer Metaspace');
  const scheme = optionalText(json, 'prepend_scheme')?.toLowerCase() ?? (flag(json, 'add_prefix_space', true) ? 'always' : 'never');
  const splits = flag(json, 'split', true);
  const cut = delimited((value) => characterRanges(value, (character) => character === mark), 'MergedWithNext');
  return (piece, emit) => {
    let ready: Piece = { ...piece, text: piece.text.replaceAll(' ', mark) };
    const wanted = scheme === 'always' || (scheme === 'first' && piece.origin === 0);
    if (wanted && !ready.text.startsWith(mark)) ready = prependTo(ready, mark);
    if (splits) cut(ready, emit);
    else if (ready.text !== '') emit(ready);
  };
}

/** Only what the expression matches is kept. */
function matches(expression: RegExp): PreTokenizer {
  return (piece, emit) => {
    for (const match of piece.text.matchAll(expression)) {
      if (match[0] !== '') emit(slicePiece(piece, match.index, match.index + match[0].length));
    }
  };
}

type Range = readonly [start: number, end: number];

/** Cuts at delimiters; what becomes of them is one of the five behaviours of the Rust library. */
function delimited(find: (value: string) => Range[], behavior: string): PreTokenizer {
  const arrange = BEHAVIORS[behavior];
  if (arrange === undefined) {
    return fail({
      code: 'text.tokenizer',
      subject: 'tokenizer.json, pre_tokenizer, behavior',
      found: `"${behavior}"`,
      expected: `one of ${Object.keys(BEHAVIORS).join(', ')}`,
    });
  }
  return (piece, emit) => {
    for (const [start, end] of arrange(find(piece.text), piece.text.length)) {
      if (end > start) emit(slicePiece(piece, start, end));
    }
  };
}

const BEHAVIORS: Record<string, (delimiters: Range[], length: number) => Range[]> = {
  Removed: gaps,
  Isolated: (delimiters, length) => [...delimiters, ...gaps(delimiters, length)].sort((a, b) => a[0] - b[0]),
  Contiguous(delimiters, length) {
    const joined: Range[] = [];
    for (const [start, end] of delimiters) {
      const last = joined.at(-1);
      if (last !== undefined && last[1] === start) joined[joined.length - 1] = [last[0], end];
      else joined.push([start, end]);
    }
    return [...joined, ...gaps(joined, length)].sort((a, b) => a[0] - b[0]);
  },
  MergedWithPrevious(delimiters, length) {
    const cuts = [0, ...delimiters.map(([, end]) => end), length];
    return cuts.slice(1).map((end, i) => [cuts[i] as number, end] as const);
  },
  MergedWithNext(delimiters, length) {
    const cuts = [0, ...delimiters.map(([start]) => start), length];
    return cuts.slice(1).map((end, i) => [cuts[i] as number, end] as const);
  },
};

function gaps(found: readonly Range[], length: number): Range[] {
  const result: Range[] = [];
  let at = 0;
  for (const [start, end] of found) {
    if (start > at) result.push([at, start]);
    at = end;
  }
  if (at < length) result.push([at, length]);
  return result;
}

function ranges(value: string, expression: RegExp): Range[] {
  const result: Range[] = [];
  for (const match of value.matchAll(expression)) if (match[0] !== '') result.push([match.index, match.index + match[0].length]);
  return result;
}

function characterRanges(value: string, test: (character: string) => boolean): Range[] {
  const result: Range[] = [];
  let at = 0;
  for (const character of value) {
    if (test(character)) result.push([at, at + character.length]);
    at += character.length;
  }
  return result;
}
