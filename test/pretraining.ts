import { configFields } from '../src/encoders/fields.ts';
import { type EncoderConfig, type EncoderFamily, FAMILIES } from '../src/encoders/index.ts';
import { createTokenizer, type Tokenizer, trainWordPiece, wordPieceTokenizerJson } from '../src/text/index.ts';
import { tinyTask } from './tiny.ts';

/** Sentences of the invented language; the first ones of 3 to 8 words. */
export function tinyTexts(count: number): string[] {
  const { rows } = tinyTask('classification', { train: count, validation: 0, test: 0 });
  return rows.train.map(({ text }) => String(text));
}

/** A vocabulary of a student's own: smaller than that of the tiny teacher, so that words are cut elsewhere. */
export function studentTokenizer(size = 60): Tokenizer {
  const { tokenizer, config } = wordPieceTokenizerJson(trainWordPiece(tinyTexts(200), { vocabularySize: size, lowercase: true }), {
    lowercase: true,
    modelMaxLength: 40,
  });
  return createTokenizer(tokenizer, config);
}

/** A BERT of two narrow layers. */
export function tinyStudent(vocabulary: number): { family: EncoderFamily; config: EncoderConfig } {
  const fields = {
    vocab_size: vocabulary,
    hidden_size: 16,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 32,
    max_position_embeddings: 40,
    hidden_dropout_prob: 0,
    attention_probs_dropout_prob: 0,
  };
  const family = FAMILIES[0] as EncoderFamily;
  return { family, config: family.config(configFields(fields, 'config.json')) };
}
