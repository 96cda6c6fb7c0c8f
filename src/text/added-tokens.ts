import { type Normalizer, type Piece, plainPiece, slicePiece } from './aligned.ts';
import { escapeRegExp, flag, integer, type Json, text } from './json.ts';
import { normalize } from './normalizers.ts';
import { WHITE_SPACE } from './unicode.ts';

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly singleWord: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Looked for in the normalised text instead of the text as written. */
  readonly normalized: boolean;
}

export function readAddedToken(json: Json, id = integer(json, 'id', 'added_tokens')): AddedToken {
  return {
    id,
    content: text(json, 'content', 'added_tokens'),
    singleWord: flag(json, 'single_word', false),
    lstrip: flag(json, 'lstrip', false),
    rstrip: flag(json, 'rstrip', false),
    normalized: flag(json, 'normalized', !flag(json, 'special', false)),
  };
}

/** A stretch of text: one added token, or text for the model (id −1). */
interface Stretch {
  readonly id: number;
  readonly piece: Piece;
}

/** Finds added tokens in a text: first those looked for as written, then, in the normalised rest, the others. */
export function createStretcher(tokens: readonly AddedToken[], normalizer: Normalizer | null): (text: string) => Stretch[] {
  const asWritten = createFinder(tokens.filter((token) => !token.normalized).map((token) => [token.content, token]));
  const normalized = createFinder(
    tokens.filter((token) => token.normalized).map((token) => [normalize(normalizer, token.content, 0).text, token]),
  );
  return (value) => {
    const result: Stretch[] = [];
    for (const outer of asWritten(plainPiece(value, 0))) {
      if (outer.id >= 0) result.push(outer);
      else for (const inner of normalized(normalize(normalizer, outer.piece.text, outer.piece.origin))) result.push(inner);
    }
    return result;
  };
}

/** Cuts at the longest token found first from the left, honouring single_word, lstrip and rstrip. */
function createFinder(patterns: [string, AddedToken][]): (piece: Piece) => Stretch[] {
  const byContent = new Map(patterns.filter(([content]) => content !== ''));
  if (byContent.size === 0) return (piece) => (piece.text === '' ? [] : [{ id: -1, piece }]);
  const contents = [...byContent.keys()].sort((a, b) => b.length - a.length);
  const expression = new RegExp(contents.map(escapeRegExp).join('|'), 'gu');
  const wordBefore = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;
  const wordAfter = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
  const spaceBefore = new RegExp(`[${WHITE_SPACE}]+$`, 'u');
  const spaceAfter = new RegExp(`^[${WHITE_SPACE}]+`, 'u');

  return (piece) => {
    const value = piece.text;
    const result: Stretch[] = [];
    let done = 0;
    const plain = (end: number) => {
      if (end > done) result.push({ id: -1, piece: slicePiece(piece, done, end) });
    };
    for (const match of value.matchAll(expression)) {
      const token = byContent.get(match[0]) as AddedToken;
      let start = match.index;
      let end = start + match[0].length;
      if (token.singleWord && (wordBefore.test(value.slice(0, start)) || wordAfter.test(value.slice(end)))) continue;
      if (token.lstrip) start = Math.max(done, start - (spaceBefore.exec(value.slice(0, start))?.[0].length ?? 0));
      if (token.rstrip) end += spaceAfter.exec(value.slice(end))?.[0].length ?? 0;
      plain(start);
      result.push({ id: token.id, piece: slicePiece(piece, start, end) });
      done = end;
    }
    plain(value.length);
    return result;
  };
}
