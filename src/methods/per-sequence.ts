import type { Rows } from '../encoders/index.ts';
import { gemm, mul, multiplyDims, reduceMean, reshape, sigmoid, type Value } from '../graph/index.ts';

/** UniPELT's gate (Mao et al. 2022): x [batch·length, d] → [batch, 1, 1], the mean over a sequence's tokens of σ(w·x + b); w is [1, d]. */
export function sequenceGate(x: Value, weight: Value, bias: Value, { batch, length }: Rows): Value {
  const scores = sigmoid(gemm(x, weight, bias, { transB: true }));
  return reduceMean(reshape(scores, [batch, length, 1]), [1]);
}

/** u [batch·length, d] times one factor [batch, 1, 1] per sequence. */
export function perSequence(u: Value, factor: Value, { batch, length }: Rows): Value {
  const d = u.shape.at(-1) as number;
  return reshape(mul(reshape(u, [batch, length, d]), factor), [multiplyDims(batch, length), d]);
}
