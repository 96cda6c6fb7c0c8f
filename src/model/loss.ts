import { add, input, mul, reshape, slice, type Value } from '../graph/index.ts';
import { headInputs, LABELS } from '../objectives/index.ts';
import type { Model } from './model.ts';

export interface ModelLoss {
  /** A scalar; parts of a batch add up. */
  readonly loss: Value;
  /** By head: its weighted sum over its units. Scalars. */
  readonly losses: readonly Value[];
}

/**
 * The loss of logits, by head, as {@link feedsOf} feeds it: of one head its own, of several Σ weight · loss by the input
 * `taskWeights` [heads]. Other heads' units weigh 0. `scaled` makes of each loss what its weight is for.
 */
export function drawLoss(
  { heads, objective = LABELS }: Pick<Model, 'heads' | 'objective'>,
  logits: readonly Value[],
  { scaled = (loss) => loss }: { readonly scaled?: (loss: Value, head: number) => Value } = {},
): ModelLoss {
  const losses = heads.map((head, i) => objective.loss(head, logits[i] as Value, headInputs(i, heads.length)));
  const shares = losses.map(scaled);
  if (heads.length === 1) return { loss: shares[0] as Value, losses };
  const weights = input('taskWeights', 'float32', [heads.length]);
  return { loss: shares.map((loss, i) => mul(loss, reshape(slice(weights, 0, i, i + 1), []))).reduce(add), losses };
}
