import { fail } from '../base/errors.ts';
import { createBpe } from './bpe.ts';
import { asObject, integer, type Json, optionalText, text } from './json.ts';
import { createUnigram } from './unigram.ts';

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

/** Throws `text.tokenizer` naming a type that is not known. */
export function createModel(json: Json, byteLevel: boolean): Model {
  const type = optionalText(json, 'type') ?? ('merges' in json ? 'BPE' : Array.isArray(json.vocab) ? 'Unigram' : 'WordPiece');
  if (type !== 'BPE' && byteLevel) {
    fail({ code: 'text.tokenizer', subject: 'tokenizer.json, model', found: `${type} after ByteLevel`, expected: 'BPE' });
  }
  switch (type) {
    case 'WordPiece':
      return remembering(createWordPiece(json));
    case 'BPE':
      return remembering(createBpe(json, byteLevel));
    case 'Unigram':
      return remembering(createUnigram(json));
    default:
      return fail({
        code: 'text.tokenizer',
        subject: 'tokenizer.json, model',
        found: `type "${type}"`,
        expected: 'WordPiece, BPE or Unigram',
      });
  }
}

export function readVocabulary(json: Json): Map<string, number> {
  const vocab = asObject(json.vocab, 'model, vocab');
  return new Map(Object.keys(vocab).map((token) => [token, integer(vocab, token, 'model, vocab')]));
}

const REMEMBERED_WORDS = 100_000;
const REMEMBERED_LENGTH = 64;

function remembering(model: Model): Model {
  const known = new Map<string, WordTokens>();
  return {
    ...model,
    tokenize(word) {
      if (word.length > REMEMBERED_LENGTH) return model.tokenize(word);
      let tokens = known.get(word);
      if (tokens === undefined) {
        tokens = model.tokenize(word);
        if (known.size >= REMEMBERED_WORDS) known.clear();
        known.set(word, tokens);
      }
      return tokens;
    },
  };
}

/** Longest match first from the left; a word that cannot be covered is one unknown token. */
function createWordPiece(json: Json): Model {
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
