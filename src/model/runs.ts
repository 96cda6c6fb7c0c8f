import { totalElements } from '../base/index.ts';
import { paddedLength } from '../batch/index.ts';
import type { Encoder } from '../encoders/index.ts';
import type { Unit } from '../objectives/index.ts';

/** Numbers of one activation [tokens, hidden] computed at once: about what fits the cache; with frozen weights larger runs cost no less per row. */
const RUN_NUMBERS = 512 * 384;

/** What a run costs beside its tokens, in tokens: 30 to 70 were measured for forward passes, about 60 for gradients of few weights. */
const RUN_COST = 64;
/** The same for taking the gradients of a whole encoder out of a run and adding them up. */
const GRADIENTS_COST = 200;

/** How batches are cut: the most tokens computed at once, and what a run costs beside them, in tokens. */
export interface RunSize {
  readonly mostTokens: number;
  readonly cost: number;
}

/** The more of an encoder's numbers train, the fewer and larger runs should be. `trained` counts what trains. */
export function runSizeOf({ config, weights }: Pick<Encoder, 'config' | 'weights'>, trained: number): RunSize {
  const share = Math.min(trained / totalElements(weights.values()), 1);
  return { mostTokens: (RUN_NUMBERS / config.hidden) * (1 + 3 * share), cost: RUN_COST + GRADIENTS_COST * share };
}

type Sized = Pick<Unit, 'length' | 'encodings'>;

/**
 * Cuts units into runs, longest first: of similar length, since each is computed as long as the longest of its run. The sum of
 * what runs cost, padding included, is the least there is with no more than `mostTokens` in each but for a single unit.
 */
export function cutRuns<U extends Sized>(units: readonly U[], mostTokens: number, runCost = RUN_COST): U[][] {
  const sorted = units.toSorted((a, b) => b.length - a.length);
  // By place: the least cost of all from there on, and where its first run ends.
  const costs = new Float64Array(sorted.length + 1);
  const ends = new Int32Array(sorted.length);
  for (let start = sorted.length - 1; start >= 0; start--) {
    const length = paddedLength((sorted[start] as U).length);
    let sequences = 0;
    costs[start] = Number.POSITIVE_INFINITY;
    for (let end = start + 1; end <= sorted.length; end++) {
      sequences += (sorted[end - 1] as U).encodings.length;
      if (end > start + 1 && sequences * length > mostTokens) break;
      const cost = runCost + sequences * length + (costs[end] as number);
      if (cost < (costs[start] as number)) [costs[start], ends[start]] = [cost, end];
    }
  }
  const runs: U[][] = [];
  for (let start = 0; start < sorted.length; start = ends[start] as number) runs.push(sorted.slice(start, ends[start]));
  return runs;
}
