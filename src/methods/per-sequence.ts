import type { Rows } from '../encoders/index.ts';
import { expand, gemm, mul, multiplyDims, reduceMean, reshape, scalar, sigmoid, type Value } from '../graph/index.ts';
import type { Dropout } from '../nn/index.ts';

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

/** Stochastic depth (Huang et al. 2016): [batch·length, 1], 0 for the tokens of dropped sequences and 1/(1−p) for the others. */
export function keptRows(p: number, { batch, length }: Rows, dropout: Dropout, where: string): Value {
  const kept = dropout(expand(scalar(1), [batch, 1]), p, where);
  return reshape(expand(reshape(kept, [batch, 1, 1]), [batch, length, 1]), [multiplyDims(batch, length), 1]);
}
