import { fail } from '../base/index.ts';
import { createBpe } from './bpe.ts';
import { type Json, optionalText } from './json.ts';
import type { Model, WordTokens } from './model.ts';
import { createUnigram } from './unigram.ts';
import { createWordPiece } from './wordpiece.ts';

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
