import {
  add,
  type Dim,
  input,
  logSoftmax,
  mul,
  neg,
  pick,
  reduceSum,
  reshape,
  scalar,
  slice,
  softplus,
  sub,
  type Value,
} from '../graph/index.ts';
import type { Head } from './head.ts';

/** Hands out what the outputs are held against, by the names below. */
export type Target = (name: string, dtype: 'float32' | 'int32', shape: readonly Dim[]) => Value;

/**
 * Losses as in `adapters`, each a weighted sum: the caller feeds one weight per unit (row, token, position) that holds
 * 1/count over the whole batch, or 0 where a unit is ignored. So micro-batches add up to the loss of the whole batch, but for question
 * answering, whose softmax goes over padding too, as in `adapters`: there the width of a run counts.
 *
 * Inputs by head: `labels` and `lossWeights`, [n] each: rows (classification, choice) or tokens (tagging);
 * regression: float32 labels; multilabel: labels [B, C] float32 of 0 and 1; question answering: `startPositions`,
 * `endPositions` with `startWeights`, `endWeights` [B].
 */
export function drawLoss(head: Head, logits: Value, target: Target = input): Value {
  const { head_type: type, num_labels: outputs } = head.config;
  const rows = logits.shape[0] as Dim;
  if (type === 'question_answering') {
    const span = (which: 'start' | 'end', column: number) =>
      crossEntropy(spanLogits(logits, column), target(`${which}Positions`, 'int32', ['B']), target(`${which}Weights`, 'float32', ['B']));
    return add(span('start', 0), span('end', 1));
  }
  const weights = target('lossWeights', 'float32', [rows]);
  if (type === 'multilabel_classification')
    return binaryCrossEntropy(logits, target('labels', 'float32', [rows, outputs as number]), weights);
  if (type === 'classification' && outputs === 1) return squaredError(logits, target('labels', 'float32', [rows]), weights);
  return crossEntropy(logits, target('labels', 'int32', [rows]), weights);
}

/**
 * Mean squared difference of logits and a teacher's (Ba & Caruana 2014), for heads of every kind. Inputs: `teacherLogits` of the
 * logits' shape, and `lossWeights`, one per row of it.
 */
export function drawDistillation(logits: Value): Value {
  const [rows, outputs] = logits.shape as [Dim, number];
  const difference = sub(logits, input('teacherLogits', 'float32', [rows, outputs]));
  const each = mul(reduceSum(mul(difference, difference), [1]), scalar(1 / outputs));
  return total(mul(reshape(each, [rows]), input('lossWeights', 'float32', [rows])));
}

/** Start or end scores of every token: logits [B·S, 2] → [B, S]. */
export function spanLogits(logits: Value, column: number): Value {
  return reshape(slice(logits, 1, column, column + 1), ['B', 'S']);
}

/** −Σ wᵢ log softmax(logitsᵢ)[labelᵢ]. */
function crossEntropy(logits: Value, labels: Value, weights: Value): Value {
  return total(neg(mul(pick(logSoftmax(logits), labels), weights)));
}

/** Σ wᵢ · mean over outputs of softplus(x) − x·y, which is the logistic loss without overflow. */
function binaryCrossEntropy(logits: Value, labels: Value, weights: Value): Value {
  const [rows, outputs] = logits.shape as [Dim, number];
  const each = sub(softplus(logits), mul(logits, labels));
  const perRow = mul(reshape(reduceSum(each, [1]), [rows]), scalar(1 / outputs));
  return total(mul(perRow, weights));
}

/** Σ wᵢ (xᵢ − yᵢ)². */
function squaredError(logits: Value, labels: Value, weights: Value): Value {
  const difference = sub(reshape(logits, [logits.shape[0] as Dim]), labels);
  return total(mul(mul(difference, difference), weights));
}

function total(values: Value): Value {
  return reshape(reduceSum(values, [0]), []);
}
