import { fail, invariant } from '../base/errors.ts';
import { int32, type Tensor } from '../base/tensor.ts';

/** What collating needs of a tokenised row (an `Encoding` of text/ is one). */
export interface TokenRow {
  readonly inputIds: Int32Array;
  readonly tokenTypeIds: Int32Array;
}

/** Rows padded on the right to one length S. */
export interface Batch {
  /** Which rows of the data set these are, [B]. */
  readonly rows: Int32Array;
  /** int32 [B, S] */
  readonly inputIds: Tensor;
  /** int32 [B, S]; 0 in padding. */
  readonly tokenTypeIds: Tensor;
  /** int32 [B, S]; 1 for tokens, 0 for padding. */
  readonly attentionMask: Tensor;
  /** Tokens of each row, padding excluded, [B]. */
  readonly lengths: Int32Array;
}

export interface CollateOptions {
  readonly padId: number;
  /** S is the longest row rounded up to a multiple of this, so that few shapes occur. */
  readonly lengthMultiple?: number;
  /** S is never above this (the encoder's positions). */
  readonly maxLength?: number;
  /** Places of the rows in the data set; 0, 1, … by default. */
  readonly rows?: Int32Array;
}

/** Throws `text.too-long` when a row has more than `maxLength` tokens. */
export function collate(encodings: readonly TokenRow[], options: CollateOptions): Batch {
  const { padId, lengthMultiple = LENGTH_MULTIPLE, maxLength = Number.POSITIVE_INFINITY } = options;
  const rows = options.rows ?? Int32Array.from(encodings, (_, i) => i);
  invariant(rows.length === encodings.length && encodings.length > 0, `a batch of ${encodings.length} rows with ${rows.length} indices`);
  if (!Number.isInteger(padId) || padId < 0) {
    fail({ code: 'text.tokenizer', subject: 'padding', found: `id ${padId}`, expected: 'a pad token in the tokenizer' });
  }
  const lengths = Int32Array.from(encodings, ({ inputIds }) => inputIds.length);
  const longest = lengths.reduce((a, b) => Math.max(a, b), 0);
  if (longest > maxLength) {
    fail({
      code: 'text.too-long',
      subject: `row ${rows[lengths.indexOf(longest)]}`,
      found: `${longest} tokens`,
      expected: `at most ${maxLength}`,
      next: 'Truncate when encoding: give a maxLength to the tokenizer.',
    });
  }
  const width = paddedLength(longest, lengthMultiple, maxLength);
  const shape = [encodings.length, width];
  const inputIds = new Int32Array(encodings.length * width).fill(padId);
  const tokenTypeIds = new Int32Array(inputIds.length);
  const attentionMask = new Int32Array(inputIds.length);
  encodings.forEach((encoding, i) => {
    inputIds.set(encoding.inputIds, i * width);
    tokenTypeIds.set(encoding.tokenTypeIds, i * width);
    attentionMask.fill(1, i * width, i * width + encoding.inputIds.length);
  });
  return {
    rows,
    inputIds: int32(shape, inputIds),
    tokenTypeIds: int32(shape, tokenTypeIds),
    attentionMask: int32(shape, attentionMask),
    lengths,
  };
}

export const LENGTH_MULTIPLE = 8;

export function paddedLength(longest: number, multiple: number = LENGTH_MULTIPLE, maxLength: number = Number.POSITIVE_INFINITY): number {
  return Math.min(maxLength, Math.max(1, Math.ceil(longest / multiple)) * multiple);
}

/** The share of positions that are padding when these batches of rows are collated, 0 to 1. */
export function paddingShare(batches: readonly Int32Array[], lengths: Int32Array, multiple: number = LENGTH_MULTIPLE): number {
  let tokens = 0;
  let positions = 0;
  for (const rows of batches) {
    let longest = 0;
    for (const row of rows) {
      const length = lengths[row] as number;
      tokens += length;
      longest = Math.max(longest, length);
    }
    positions += rows.length * paddedLength(longest, multiple);
  }
  return positions === 0 ? 0 : 1 - tokens / positions;
}
