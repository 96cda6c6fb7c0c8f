import { paddedLength } from '../batch/index.ts';
import type { Unit } from './data.ts';

/** What a run costs beside its tokens, in tokens: 30 to 70 were measured for forward passes, about 60 for gradients. */
const RUN_COST = 64;

type Sized = Pick<Unit, 'length' | 'encodings'>;

/**
 * Cuts units into runs, longest first: of similar length, since each is computed as long as the longest of its run. The sum of
 * what runs cost, padding included, is the least there is with no more than `mostTokens` in each but for a single unit.
 */
export function cutRuns<U extends Sized>(units: readonly U[], mostTokens: number): U[][] {
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
      const cost = RUN_COST + sequences * length + (costs[end] as number);
      if (cost < (costs[start] as number)) [costs[start], ends[start]] = [cost, end];
    }
  }
  const runs: U[][] = [];
  for (let start = 0; start < sorted.length; start = ends[start] as number) runs.push(sorted.slice(start, ends[start]));
  return runs;
}
