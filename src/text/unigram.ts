import { fail } from '../base/index.ts';
import { byteToken } from './bpe.ts';
import { flag, type Json } from './json.ts';
import type { Model, WordTokens } from './model.ts';

const UNKNOWN_PENALTY = 10;

/** The segmentation of highest summed log-probability (Kudo 2018, section 3.2), found by dynamic programming. */
export function createUnigram(json: Json): Model {
  const entries = readEntries(json);
  const unknown = typeof json.unk_id === 'number' ? json.unk_id : undefined;
  const byteFallback = flag(json, 'byte_fallback', false);
  const vocabulary = new Map(entries.map(([token], id) => [token, id]));
  const scores = Float64Array.from(entries, ([, score]) => asReadByRust(score));
  const unknownScore = scores.reduce((least, score) => Math.min(least, score), Number.POSITIVE_INFINITY) - UNKNOWN_PENALTY;
  const longestFrom = new Map<number, number>();
  for (const [token] of entries) {
    const unit = token.charCodeAt(0);
    longestFrom.set(unit, Math.max(longestFrom.get(unit) ?? 0, token.length));
  }
  const encoder = new TextEncoder();

  const segment = (word: string): number[] => {
    const best = new Float64Array(word.length + 1).fill(Number.NEGATIVE_INFINITY);
    const from = new Int32Array(word.length + 1).fill(-1);
    best[0] = 0;
    const reach = (start: number, end: number, score: number) => {
      if (from[end] !== -1 && score <= (best[end] as number)) return;
      best[end] = score;
      from[end] = start;
    };
    for (let start = 0; start < word.length; ) {
      const width = (word.codePointAt(start) as number) > 0xffff ? 2 : 1;
      const here = best[start] as number;
      const limit = Math.min(word.length, start + (longestFrom.get(word.charCodeAt(start)) ?? 0));
      let single = false;
      for (let end = start + width; end <= limit; end++) {
        const id = vocabulary.get(word.slice(start, end));
        if (id === undefined) continue;
        reach(start, end, here + (scores[id] as number));
        if (end === start + width) single = true;
      }
      if (!single) reach(start, start + width, here + unknownScore);
      start += width;
    }
    const cuts = [word.length];
    for (let end = word.length; end > 0; ) {
      end = from[end] as number;
      cuts.push(end);
    }
    return cuts.reverse();
  };

  return {
    vocabulary,
    unknownToken: unknown === undefined ? null : (entries[unknown]?.[0] ?? null),
    tokenize(word) {
      const tokens: WordTokens = { ids: [], starts: [], ends: [] };
      const cuts = segment(word);
      for (let i = 0; i + 1 < cuts.length; i++) {
        const start = cuts[i] as number;
        let end = cuts[i + 1] as number;
        const id = vocabulary.get(word.slice(start, end));
        if (id === undefined || id === unknown) {
          while (i + 2 < cuts.length && isUnknown(word.slice(end, cuts[i + 2]))) end = cuts[++i + 1] as number;
          for (const piece of fallBack(word.slice(start, end))) put(tokens, piece, start, end);
        } else put(tokens, id, start, end);
      }
      return tokens;
    },
  };

  function isUnknown(piece: string): boolean {
    const id = vocabulary.get(piece);
    return id === undefined || id === unknown;
  }

  function fallBack(piece: string): number[] {
    const bytes = byteFallback ? Array.from(encoder.encode(piece), (byte) => vocabulary.get(byteToken(byte))) : [undefined];
    if (bytes.every((id) => id !== undefined)) return bytes;
    if (unknown !== undefined) return [unknown];
    return fail({
      code: 'text.tokenizer',
      subject: `the text "${piece}"`,
      found: 'characters the vocabulary cannot express and no unk_id',
    });
  }
}

function put(tokens: WordTokens, id: number, start: number, end: number): void {
  tokens.ids.push(id);
  tokens.starts.push(start);
  tokens.ends.push(end);
}

/**
 * The score as the Rust library reads it from the file: its JSON reader rounds twice, the digits and the quotient by a
 * power of ten, which decides between segmentations of equal score.
 */
function asReadByRust(score: number): number {
  const parts = /^(-?)(\d+)(?:\.(\d+))?$/.exec(String(score));
  if (parts === null) return score;
  const [, sign, whole, fraction = ''] = parts;
  return (sign === '-' ? -1 : 1) * (Number(`${whole}${fraction}`) / 10 ** fraction.length);
}

function readEntries(json: Json): [string, number][] {
  const vocab = json.vocab;
  const valid = (entry: unknown) => Array.isArray(entry) && typeof entry[0] === 'string' && typeof entry[1] === 'number';
  if (Array.isArray(vocab) && vocab.every(valid)) return vocab as [string, number][];
  return fail({ code: 'text.tokenizer', subject: 'tokenizer.json, model, vocab', expected: 'a list of [token, score]' });
}
