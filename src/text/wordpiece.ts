import { fail } from '../base/index.ts';
import { integer, type Json, text } from './json.ts';
import { type Model, readVocabulary, type WordTokens } from './model.ts';

/** Longest match first from the left; a word that cannot be covered is one unknown token. */
export function createWordPiece(json: Json): Model {
  const vocabulary = readVocabulary(json);
  const unknownToken = text(json, 'unk_token', 'model');
  const prefix = text(json, 'continuing_subword_prefix', 'model');
  const maxCharacters = 'max_input_chars_per_word' in json ? integer(json, 'max_input_chars_per_word', 'model') : 100;
  const unknown =
    vocabulary.get(unknownToken) ??
    fail({ code: 'text.tokenizer', subject: 'tokenizer.json, model', found: `no "${unknownToken}" in the vocabulary` });
  const inner = new Map<string, number>();
  let longest = 1;
  for (const [token, id] of vocabulary) {
    longest = Math.max(longest, token.length);
    if (token.startsWith(prefix)) inner.set(token.slice(prefix.length), id);
  }

  return {
    vocabulary,
    unknownToken,
    tokenize(word) {
      const tokens: WordTokens = { ids: [], starts: [], ends: [] };
      const asUnknown = { ids: [unknown], starts: [0], ends: [word.length] };
      if (word.length > maxCharacters && Array.from(word).length > maxCharacters) return asUnknown;
      for (let start = 0; start < word.length; ) {
        const pieces = start === 0 ? vocabulary : inner;
        let end = Math.min(word.length, start + longest);
        let id: number | undefined;
        for (; end > start; end--) {
          id = pieces.get(word.slice(start, end));
          if (id !== undefined) break;
        }
        if (id === undefined) return asUnknown;
        tokens.ids.push(id);
        tokens.starts.push(start);
        tokens.ends.push(end);
        start = end;
      }
      return tokens;
    },
  };
}
