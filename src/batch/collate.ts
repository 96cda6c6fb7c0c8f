import { fail, float32, int32, invariant, type Tensor } from '../base/index.ts';

/** What collating needs of a tokenised row (an `Encoding` of text/ is one). */
export interface TokenRow {
  readonly inputIds: Int32Array;
  readonly tokenTypeIds: Int32Array;
}

/** Rows padded on the right to one length S. */
export interface Batch {
  /** int32 [B, S] */
  readonly inputIds: Tensor;
  /** int32 [B, S]; 0 in padding. */
  readonly tokenTypeIds: Tensor;
  /** float32 [B, S]; 1 for tokens, 0 for padding. */
  readonly attentionMask: Tensor;
}

export interface CollateOptions {
  readonly padId: number;
  /** S is never above this (the encoder's positions). */
  readonly maxLength?: number;
  /** S itself, where it is given. */
  readonly width?: number;
}

/** S is the longest row rounded up to a multiple of {@link LENGTH_MULTIPLE}. Throws `text.too-long` when a row has more than `maxLength` tokens. */
export function collate(encodings: readonly TokenRow[], options: CollateOptions): Batch {
  const { padId, maxLength = Number.POSITIVE_INFINITY } = options;
  invariant(encodings.length > 0, 'a batch without rows');
  if (!Number.isInteger(padId) || padId < 0) {
    fail({ code: 'text.tokenizer', subject: 'padding', found: `id ${padId}`, expected: 'a pad token in the tokenizer' });
  }
  const lengths = Int32Array.from(encodings, ({ inputIds }) => inputIds.length);
  const longest = lengths.reduce((a, b) => Math.max(a, b), 0);
  if (longest > maxLength) {
    fail({
      code: 'text.too-long',
      subject: `sequence ${lengths.indexOf(longest) + 1} of the batch`,
      found: `${longest} tokens`,
      expected: `at most ${maxLength}`,
      next: 'Truncate when encoding: give a maxLength to the tokenizer.',
    });
  }
  const width = options.width ?? paddedLength(longest, maxLength);
  const shape = [encodings.length, width];
  const inputIds = new Int32Array(encodings.length * width).fill(padId);
  const tokenTypeIds = new Int32Array(inputIds.length);
  const attentionMask = new Float32Array(inputIds.length);
  encodings.forEach((encoding, i) => {
    inputIds.set(encoding.inputIds, i * width);
    tokenTypeIds.set(encoding.tokenTypeIds, i * width);
    attentionMask.fill(1, i * width, i * width + encoding.inputIds.length);
  });
  return {
    inputIds: int32(shape, inputIds),
    tokenTypeIds: int32(shape, tokenTypeIds),
    attentionMask: float32(shape, attentionMask),
  };
}

/** Lengths are rounded up so that few shapes occur. */
const LENGTH_MULTIPLE = 8;

export function paddedLength(longest: number, maxLength: number = Number.POSITIVE_INFINITY): number {
  return Math.min(maxLength, Math.max(1, Math.ceil(longest / LENGTH_MULTIPLE)) * LENGTH_MULTIPLE);
}
