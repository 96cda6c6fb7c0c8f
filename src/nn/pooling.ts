import { add, type Dim, div, matmul, max, mul, reduceMax, reduceSum, reshape, scalar, sqrt, sub, type Value } from '../graph/index.ts';

/**
 * Which vector stands for a sequence: its first token's, what the encoder's pooler makes of that, or over all of its own tokens
 * their mean, their largest number in each column, or their sum by the root of their number.
 */
export const POOLINGS = ['first', 'pooler', 'mean', 'max', 'mean_sqrt_len'] as const;
export type Pooling = (typeof POOLINGS)[number];

/** Those that read every token of a sequence. */
export const TOKEN_POOLINGS = ['mean', 'max', 'mean_sqrt_len'] as const;
export type TokenPooling = (typeof TOKEN_POOLINGS)[number];

/** x [n, d], each row divided by its length. */
export function normalised(x: Value): Value {
  return div(x, max(sqrt(reduceSum(mul(x, x), [1])), scalar(SHORTEST)));
}

/** A length below this counts as this. */
const SHORTEST = 1e-12;

/** Below whatever an encoder gives: what stands for a pad where the largest is looked for. */
const BELOW = 1e9;

/** Tokens x [B·S, d] and mask [B, S], 1 for real tokens, as one vector a sequence [B, d]; every sequence has a real token. */
export function pooledTokens(x: Value, mask: Value, pooling: TokenPooling): Value {
  const [batch, length] = mask.shape as [Dim, Dim];
  const d = x.shape.at(-1) as number;
  const tokens = reshape(x, [batch, length, d]);
  if (pooling === 'max') {
    const pads = reshape(mul(sub(mask, scalar(1)), scalar(BELOW)), [batch, length, 1]);
    return reshape(reduceMax(add(tokens, pads), [1]), [batch, d]);
  }
  const sum = reshape(matmul(reshape(mask, [batch, 1, length]), tokens), [batch, d]);
  const count = reduceSum(mask, [1]);
  return div(sum, pooling === 'mean' ? count : sqrt(count));
}
