import { type AddedToken, createStretcher } from './added-tokens.ts';
import { type Normalizer, originalEnd, originalStart } from './aligned.ts';
import { byteAlphabet } from './bpe.ts';
import type { Model } from './model.ts';
import type { PostProcessor, TemplatePiece } from './post-processor.ts';
import type { PreTokenization } from './pre-tokenizers.ts';
import { createClasses } from './unicode.ts';

/** The tokens of one text or pair, special tokens included. All arrays have one entry a token, `offsets` two. */
export interface Encoding {
  readonly inputIds: Int32Array;
  readonly tokenTypeIds: Int32Array;
  /** 1 for tokens put in by the tokenizer; a special token written in the text has 0. */
  readonly specialTokensMask: Uint8Array;
  /** 0 first sequence, 1 second, −1 special. */
  readonly sequenceIds: Int8Array;
  /** Number of the word (what the pre-tokenizer made, or the given words) in its sequence, −1 special. */
  readonly wordIds: Int32Array;
  /** [start, end) in UTF-16 units of the token's own text (of its own word after `encodeWords`); 0, 0 for special tokens. */
  readonly offsets: Int32Array;
  /** Tokens cut off. */
  readonly truncated: number;
}

/** Tokens of one sequence before special tokens. */
export interface Sequence {
  readonly ids: number[];
  readonly starts: number[];
  readonly ends: number[];
  readonly words: number[];
  /** Spaces at either end of the token, for trimming offsets; empty when there is no trimming. */
  readonly leading: number[];
  readonly trailing: number[];
  /** Trimming counts characters, offsets count units: 1 when the token's first character is a pair of units, 2 its last, 3 both. */
  readonly pairs: number[];
}

export interface Pipeline {
  readonly addedTokens: readonly AddedToken[];
  readonly normalizer: Normalizer | null;
  readonly preTokenization: PreTokenization;
  readonly model: Model;
  readonly postProcessor: PostProcessor;
}

export function emptySequence(): Sequence {
  return { ids: [], starts: [], ends: [], words: [], leading: [], trailing: [], pairs: [] };
}

/** Appends the tokens of `text` to `target`; `word` is the word number of all of them, or null to count words. */
export function createSequencer({ addedTokens, normalizer, preTokenization, model, postProcessor }: Pipeline) {
  const stretch = createStretcher(addedTokens, normalizer);
  const spaces = postProcessor.trims ? countSpaces(model) : null;
  const { isSpace } = createClasses();

  return (text: string, target: Sequence, word: number | null): void => {
    let wordNumber = 0;
    const put = (id: number, start: number, end: number, leading: number, trailing: number) => {
      target.ids.push(id);
      target.starts.push(start);
      target.ends.push(end);
      target.words.push(word ?? wordNumber);
      if (spaces === null) return;
      target.leading.push(leading);
      target.trailing.push(trailing);
      target.pairs.push(leading + trailing === 0 ? 0 : (isPair(text, start) ? 1 : 0) + (isPair(text, end - 2) ? 2 : 0));
    };
    for (const { id, piece } of stretch(wellFormed(text))) {
      if (id >= 0) {
        const characters = Array.from(piece.text);
        const leading = characters.findIndex((character) => !isSpace(character));
        const trailing = characters.reverse().findIndex((character) => !isSpace(character));
        put(id, originalStart(piece, 0), originalEnd(piece, piece.text.length), leading, trailing);
        wordNumber++;
        continue;
      }
      preTokenization.split(piece, (part) => {
        const { ids, starts, ends } = model.tokenize(part.text);
        for (let i = 0; i < ids.length; i++) {
          const token = ids[i] as number;
          const start = originalStart(part, starts[i] as number);
          const end = originalEnd(part, ends[i] as number);
          put(token, start, end, spaces?.leading[token] ?? 0, spaces?.trailing[token] ?? 0);
        }
        wordNumber++;
      });
    }
  };
}

function isPair(text: string, at: number): boolean {
  return at >= 0 && (text.codePointAt(at) as number) > 0xffff;
}

function wellFormed(text: string): string {
  return /\p{Surrogate}/u.test(text) ? text.replaceAll(/\p{Surrogate}/gu, '\ufffd') : text;
}

function countSpaces({ vocabulary }: Model): { leading: Uint8Array; trailing: Uint8Array } {
  const space = byteAlphabet()[32] as string;
  let size = 0;
  for (const id of vocabulary.values()) size = Math.max(size, id + 1);
  const leading = new Uint8Array(size);
  const trailing = new Uint8Array(size);
  for (const [token, id] of vocabulary) {
    if (!token.includes(space)) continue;
    while (token[leading[id] as number] === space) leading[id] = (leading[id] as number) + 1;
    while (token[token.length - 1 - (trailing[id] as number)] === space) trailing[id] = (trailing[id] as number) + 1;
  }
  return { leading, trailing };
}

/** Tokens [from, to) of a sequence, offsets trimmed. */
export function cutSequence(source: Sequence, from: number, to: number, { trims, prefixed }: PostProcessor): Sequence {
  const result: Sequence = {
    ids: source.ids.slice(from, to),
    starts: source.starts.slice(from, to),
    ends: source.ends.slice(from, to),
    words: source.words.slice(from, to),
    leading: [],
    trailing: [],
    pairs: [],
  };
  if (!trims) return result;
  for (let i = 0; i < result.ids.length; i++) {
    const leading = source.leading[from + i] as number;
    const trailing = source.trailing[from + i] as number;
    const pairs = source.pairs[from + i] as number;
    let start = result.starts[i] as number;
    let end = result.ends[i] as number;
    const keepsPrefix = prefixed && leading === 1 && (i === 0 || start === 0);
    if (leading > 0 && !keepsPrefix) start = Math.min(start + leading + (pairs & 1), end);
    if (trailing > 0) end = Math.max(end - trailing - (pairs >> 1), start);
    result.starts[i] = start;
    result.ends[i] = end;
  }
  return result;
}

/** Lays out one or two sequences with their special tokens. */
export function layOut(template: readonly TemplatePiece[], sequences: readonly Sequence[], truncated: number): Encoding {
  let length = 0;
  for (const piece of template) length += piece.kind === 'special' ? piece.ids.length : (sequences[piece.index]?.ids.length ?? 0);
  const encoding: Encoding = {
    inputIds: new Int32Array(length),
    tokenTypeIds: new Int32Array(length),
    specialTokensMask: new Uint8Array(length),
    sequenceIds: new Int8Array(length),
    wordIds: new Int32Array(length),
    offsets: new Int32Array(2 * length),
    truncated,
  };
  let at = 0;
  for (const piece of template) {
    const special = piece.kind === 'special';
    const source = special ? undefined : sequences[piece.index];
    const ids = special ? piece.ids : (source?.ids ?? []);
    for (let i = 0; i < ids.length; i++, at++) {
      encoding.inputIds[at] = ids[i] as number;
      encoding.tokenTypeIds[at] = piece.typeId;
      encoding.specialTokensMask[at] = special ? 1 : 0;
      encoding.sequenceIds[at] = special ? -1 : piece.index;
      encoding.wordIds[at] = source?.words[i] ?? -1;
      encoding.offsets[2 * at] = source?.starts[i] ?? 0;
      encoding.offsets[2 * at + 1] = source?.ends[i] ?? 0;
    }
  }
  return encoding;
}

export function specialCount(template: readonly TemplatePiece[]): number {
  return template.reduce((sum, piece) => sum + (piece.kind === 'special' ? piece.ids.length : 0), 0);
}
