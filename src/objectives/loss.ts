import { type Dim, logSoftmax, mul, neg, pick, reduceSum, reshape, scalar, slice, softplus, sub, type Value } from '../graph/index.ts';

/**
 * Losses as in `adapters`, each a weighted sum: a unit (row, token, position) weighs 1/count over the whole batch, or 0 where
 * it is ignored. So micro-batches add up to the loss of the whole batch, but for question answering, whose softmax goes over
 * padding too, as in `adapters`: there the width of a run counts.
 */

/** −Σ wᵢ log softmax(logitsᵢ)[labelᵢ]: logits [n, c], labels int32 [n], weights [n]. */
export function crossEntropy(logits: Value, labels: Value, weights: Value): Value {
  return total(neg(mul(pick(logSoftmax(logits), labels), weights)));
}

/** Σ wᵢ · mean over outputs of softplus(x) − x·y, which is the logistic loss without overflow: logits and labels [n, c], weights [n]. */
export function binaryCrossEntropy(logits: Value, labels: Value, weights: Value): Value {
  const [rows, outputs] = logits.shape as [Dim, number];
  const each = sub(softplus(logits), mul(logits, labels));
  const perRow = mul(reshape(reduceSum(each, [1]), [rows]), scalar(1 / outputs));
  return total(mul(perRow, weights));
}

/** Σ wᵢ (xᵢ − yᵢ)²: logits [n, 1], labels and weights [n]. */
export function squaredError(logits: Value, labels: Value, weights: Value): Value {
  const difference = sub(reshape(logits, [logits.shape[0] as Dim]), labels);
  return total(mul(mul(difference, difference), weights));
}

/** Σ wᵢ · mean over outputs of (xᵢ − yᵢ)²: logits and what they should be [n, c], weights [n]. */
export function meanSquaredError(logits: Value, wanted: Value, weights: Value): Value {
  const [rows, outputs] = logits.shape as [Dim, number];
  const difference = sub(logits, wanted);
  const each = mul(reduceSum(mul(difference, difference), [1]), scalar(1 / outputs));
  return total(mul(reshape(each, [rows]), weights));
}

/** Start or end scores of every token: logits [B·S, 2] → [B, S]. */
export function spanLogits(logits: Value, column: number): Value {
  return reshape(slice(logits, 1, column, column + 1), ['B', 'S']);
}

function total(values: Value): Value {
  return reshape(reduceSum(values, [0]), []);
}
