import type { Tensor } from '../base/index.ts';
import type { ParameterStore } from '../update/index.ts';
import { copies } from './store.ts';

/** What was scored, and after how many steps. */
export interface Score {
  readonly step: number;
  readonly metric: number;
}

/** The best that a run has found so far. */
export interface Kept {
  /** By the mean over tasks; its step is the last at which the kept parameters changed. */
  readonly best: Score | undefined;
  /** The best evaluation of each task. */
  readonly bests: readonly (Score | null)[];
  readonly parameters: ReadonlyMap<string, Tensor> | undefined;
}

/** What one more evaluation changes: `improved` where the mean is the best, be it once more; `better` where patience begins anew. */
interface Judgement {
  readonly kept: Kept;
  readonly mean: number;
  readonly improved: boolean;
  readonly better: boolean;
}

/** Compares an evaluation after `step` steps with those before. `metrics` are by task, undefined where no rows are there to score. */
export type Keep = (before: Kept, step: number, metrics: readonly (number | undefined)[]) => Judgement;

export function nothingKept(tasks: number): Kept {
  return { best: undefined, bests: new Array<null>(tasks).fill(null), parameters: undefined };
}

/** Keeps all parameters of the evaluation with the best mean over the tasks. */
export function keepBest(store: ParameterStore): Keep {
  return (before, step, metrics) => {
    const { mean, gain, bests } = compare(before, step, metrics);
    const improved = gain >= 0;
    const kept = improved ? { best: { step, metric: mean }, bests, parameters: copies(store.values()) } : { ...before, bests };
    return { kept, mean, improved, better: gain > 0 };
  };
}

/** Keeps for each task what belongs to it alone, by `owners`, of its own best evaluation; the last where no score tells. */
export function keepBestByTask(store: ParameterStore, owners: ReadonlyMap<string, number>): Keep {
  return (before, step, metrics) => {
    const { mean, gain, gains, bests } = compare(before, step, metrics);
    const changed = gains.map((gain) => gain === undefined || gain >= 0);
    const judgement = { mean, improved: gain >= 0, better: gain > 0 || gains.some((gain = 0) => gain > 0) };
    if (before.parameters && !changed.includes(true)) return { ...judgement, kept: before };
    const now = copies(store.values());
    const parameters = new Map(before.parameters ?? now);
    for (const [name, value] of now) if (changed[owners.get(name) as number]) parameters.set(name, value);
    return { ...judgement, kept: { best: { step, metric: Math.max(mean, before.best?.metric ?? mean) }, bests, parameters } };
  };
}

/** Of equal scores the later counts: it has learnt longer. A gain over nothing is infinite. */
function compare({ best, bests }: Kept, step: number, metrics: readonly (number | undefined)[]) {
  const gains = metrics.map((metric, task) => {
    const before = bests[task];
    return metric === undefined ? undefined : before ? metric - before.metric : Number.POSITIVE_INFINITY;
  });
  const scored = metrics.filter((metric) => metric !== undefined);
  const mean = scored.reduce((sum, metric) => sum + metric, 0) / scored.length;
  return {
    mean,
    gain: best ? mean - best.metric : Number.POSITIVE_INFINITY,
    gains,
    bests: bests.map((before, task) => ((gains[task] ?? -1) >= 0 ? { step, metric: metrics[task] as number } : before)),
  };
}
