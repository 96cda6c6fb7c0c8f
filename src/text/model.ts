import { asObject, integer, type Json } from './json.ts';

/** The tokens of one word, each with its range of the word in UTF-16 units (of whole characters). */
export interface WordTokens {
  readonly ids: number[];
  readonly starts: number[];
  readonly ends: number[];
}

export interface Model {
  /** Token → id, special tokens included where the model lists them. */
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly unknownToken: string | null;
  tokenize(word: string): WordTokens;
}

export function readVocabulary(json: Json): Map<string, number> {
  const vocab = asObject(json.vocab, 'model, vocab');
  return new Map(Object.keys(vocab).map((token) => [token, integer(vocab, token, 'model, vocab')]));
}
