import { add, exp, input, mul, neg, reshape, type Value } from '../../graph/index.ts';
import { type ParameterSpec, ZERO } from '../../nn/index.ts';
import type { LossWeights } from '../step.ts';

/**
 * How much each task's loss counts:
 *
 *   uniform      the mean of the losses of the tasks in the batch
 *   uncertainty  e^(−s) L + s in place of L, with a number s per task that trains (Kendall, Gal & Cipolla 2018, section 3.2,
 *                s = log σ², without their ½ for numbers)
 *   averaging    T·softmax(r/2) with r = L(k−1)/L(k−2), L(k) a task's mean loss in epoch k (Liu, Johns & Davison 2019,
 *                section 3.2: dynamic weight average); 1 in the first two epochs
 */
export const TASK_WEIGHTS = ['uniform', 'uncertainty', 'averaging'] as const;

/** The number s of a task. */
export function logVariance(name: string): ParameterSpec {
  return { name: `loss.${name}.log_variance`, shape: [1], init: ZERO, decay: false };
}

/** Losses by numbers that train; the program reads `partShare`, a scalar: 1 over the parts of a batch, so that s counts once. */
export function uncertaintyWeights(specs: readonly ParameterSpec[]): LossWeights {
  const share = input('partShare', 'float32', []);
  const trainable = new Map(specs.map(({ name, shape }) => [name, input(name, 'float32', shape)]));
  const numbers = [...trainable.values()];
  return { trainable, scaled: (loss, task) => uncertaintyWeighted(loss, numbers[task] as Value, share) };
}

/** e^(−s) L + s. */
export function uncertaintyWeighted(loss: Value, s: Value, partShare: Value): Value {
  const number = reshape(s, []);
  return add(mul(exp(neg(number)), loss), mul(number, partShare));
}

/** Plain data: each task's summed losses in this epoch, and its means in those before. */
export interface LossHistory {
  readonly epoch: number;
  readonly sums: readonly number[];
  readonly counts: readonly number[];
  /** Means of the last two epochs in which a task had rows, the later first. */
  readonly means: readonly (readonly number[])[];
}

export function newHistory(tasks: number): LossHistory {
  const zeros = new Array<number>(tasks).fill(0);
  return { epoch: 0, sums: zeros, counts: zeros, means: zeros.map(() => []) };
}

/** The history as it is at the beginning of a step of `epoch`. */
export function historyAt(history: LossHistory, epoch: number): LossHistory {
  if (epoch === history.epoch) return history;
  const { sums, counts, means } = history;
  const later = means.map((before, task) => {
    const count = counts[task] as number;
    return count === 0 ? before : [(sums[task] as number) / count, ...before].slice(0, 2);
  });
  const zeros = sums.map(() => 0);
  return { epoch, sums: zeros, counts: zeros, means: later };
}

/** The history with the losses of one step; a task without rows has none. */
export function withLosses(history: LossHistory, losses: readonly (number | undefined)[]): LossHistory {
  return {
    ...history,
    sums: history.sums.map((sum, task) => sum + (losses[task] ?? 0)),
    counts: history.counts.map((count, task) => count + Number(losses[task] !== undefined)),
  };
}

/** Weights by task; 1 each until all have been through two epochs. */
export function averagedWeights({ means }: LossHistory): number[] {
  if (means.some((two) => two.length < 2)) return means.map(() => 1);
  const halves = means.map(([last, before]) => (last as number) / Math.max(1e-12, before as number) / 2);
  const largest = Math.max(...halves);
  const powers = halves.map((half) => Math.exp(half - largest));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => (means.length * power) / total);
}
