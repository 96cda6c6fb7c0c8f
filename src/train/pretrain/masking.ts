import { float32, int32, type Random, type Tensor } from '../../base/index.ts';
import { collate } from '../../batch/index.ts';
import type { Encoding, Tokenizer } from '../../text/index.ts';

/** A padded batch with hidden tokens, and what stood there. */
interface Masked {
  /** inputIds, tokenTypeIds int32 [B, S] and attentionMask float32 [B, S]. */
  readonly feeds: Readonly<Record<'inputIds' | 'tokenTypeIds' | 'attentionMask', Tensor>>;
  /** Of M hidden tokens: place in the flattened batch and id, int32 [M], and weight, float32 [M]; the weights add up to 1. */
  readonly guesses: Readonly<Record<'maskedPlaces' | 'maskedTokens' | 'maskedWeights', Tensor>>;
}

/**
 * Pads a batch and hides a share of its tokens: 80 % become the mask, 10 % a random token, 10 % stay (Devlin et al. 2019,
 * section 3.1). Special tokens and padding are never hidden. Where chance hides nothing, one guess of weight 0 remains.
 */
export function maskTokens(
  encodings: readonly Encoding[],
  { maskId }: Pick<Tokenizer, 'maskId'>,
  { padId, vocabulary }: { readonly padId: number; readonly vocabulary: number },
  share: number,
  random: Random,
): Masked {
  const batch = collate(encodings, { padId });
  const { shape, data: whole } = batch.inputIds;
  const ids = (whole as Int32Array).slice();
  const width = shape[1] as number;
  const places: number[] = [];
  encodings.forEach(({ specialTokensMask }, row) => {
    specialTokensMask.forEach((special, i) => {
      if (special || random.uniform() >= share) return;
      const at = row * width + i;
      places.push(at);
      const dice = random.uniform();
      if (dice < 0.8) ids[at] = maskId;
      else if (dice < 0.9) ids[at] = random.below(vocabulary);
    });
  });
  const weight = places.length === 0 ? 0 : 1 / places.length;
  if (places.length === 0) places.push(0);
  return {
    feeds: {
      inputIds: int32(shape, ids),
      tokenTypeIds: batch.tokenTypeIds,
      attentionMask: batch.attentionMask,
    },
    guesses: {
      maskedPlaces: int32([places.length], places),
      maskedTokens: int32(
        [places.length],
        places.map((at) => (whole as Int32Array)[at] as number),
      ),
      maskedWeights: float32([places.length], new Float32Array(places.length).fill(weight)),
    },
  };
}
