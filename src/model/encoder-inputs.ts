import { fail, type Tensor } from '../base/index.ts';
import { collate } from '../batch/index.ts';
import type { Encoder } from '../encoders/index.ts';
import type { Attachment } from '../methods/index.ts';
import type { Encoding } from '../text/index.ts';

/**
 * What an encoder reads of tokenised rows, padded to `mostTokens` at most, and to `tokens` where those are given. Throws `text.too-long`, and `text.tokenizer` for ids it has
 * no vector for.
 */
export function encoderFeeds(
  encodings: readonly Encoding[],
  encoder: Encoder,
  { mostTokens = Number.POSITIVE_INFINITY, tokens }: Pick<Attachment, 'mostTokens' | 'tokens'> = {},
): Record<'inputIds' | 'tokenTypeIds' | 'attentionMask', Tensor> & Record<string, Tensor> {
  const { padId } = encoder.config;
  const batch = collate(encodings, {
    padId,
    maxLength: Math.min(maxTokens(encoder), mostTokens),
    ...(tokens !== undefined && { width: tokens }),
  });
  const ids = batch.inputIds;
  checkIds(ids.data as Int32Array, batch.tokenTypeIds.data as Int32Array, encoder);
  return {
    inputIds: ids,
    tokenTypeIds: batch.tokenTypeIds,
    attentionMask: batch.attentionMask,
    ...encoder.family.inputs(ids, encoder.config),
  };
}

function checkIds(ids: Int32Array, types: Int32Array, { name, config }: Encoder): void {
  const { vocabulary } = config;
  const wrong = ids.find((id) => id < 0 || id >= vocabulary);
  if (wrong !== undefined)
    fail({
      code: 'text.tokenizer',
      subject: `token id ${wrong}`,
      found: `${vocabulary} ids in the encoder ${name}`,
      expected: 'an id below that',
      next: 'Use the tokenizer that belongs to the encoder; given inputIds must come from it too.',
    });
  const type = config.types === 0 ? undefined : types.find((id) => id < 0 || id >= config.types);
  if (type !== undefined)
    fail({
      code: 'text.tokenizer',
      subject: `token type ${type}`,
      found: `${config.types} types in the encoder ${name}`,
      expected: 'a number below that',
      next: 'Use the tokenizer that belongs to the encoder; given tokenTypeIds must suit it too.',
    });
}

/** The longest sequence an encoder takes. */
export function maxTokens({ family, config }: Pick<Encoder, 'family' | 'config'>): number {
  return family.mostTokens(config);
}
