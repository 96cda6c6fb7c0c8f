import { createRandom, fail } from '../base/index.ts';
import { lengthBuckets } from './sampler.ts';
import type { TaskPick } from './task-sampler.ts';
import { checkDrawn, checkSizes } from './task-sampler.ts';
import { taskStreams } from './task-streams.ts';
import { type Candidate, highest, quantiles, type ScoreRule, uncertaintyScores } from './uncertainty.ts';

export interface UncertaintySamplerOptions {
  /** Tokens of each row, by task. */
  readonly lengths: readonly Int32Array[];
  readonly batchSize: number;
  /** Candidates for each place in a batch; as many as there are tasks is the published rule. */
  readonly candidates: number;
  /** Steps whose candidates are scored in one pass, with the model as it is then, and whose rows are batched by length. */
  readonly refresh: number;
  readonly seed: number;
  /** By task: as in {@link uncertaintyScores}. */
  readonly comparable: readonly boolean[];
  readonly rule: ScoreRule;
  /** How unsure the model is of each candidate now; `pass` counts passes from 0. */
  readonly uncertaintyOf: (candidates: readonly TaskPick[], pass: number) => Promise<ArrayLike<number>>;
}

/** Plain data. `pending` are batches chosen by the last pass that have not been given yet. */
export interface UncertaintyState {
  readonly step: number;
  readonly passes: number;
  readonly drawn: readonly number[];
  readonly pending: readonly (readonly TaskPick[])[];
  /** Rows that were chosen so far, by task. */
  readonly chosen: readonly number[];
}

export interface UncertaintySampler {
  /** As for other samplers: batches that hold as many rows as all tasks together. */
  readonly batchesPerEpoch: number;
  next(): Promise<{ readonly picks: readonly TaskPick[]; readonly epoch: number }>;
  state(): UncertaintyState;
  /** Seconds spent in scoring since it was made. */
  readonly seconds: number;
}

/** Keep these uses of the seed apart from others. */
const DEALING = 0xdea1;
const RANKING = 0x4a7c;

/**
 * For each step, candidates from every task, as many of each as of any other (but for one); those with the highest
 * {@link uncertaintyScores} are its batch, in that order; the rows of several steps that are scored at once are dealt out
 * among these steps by length, so that no row is computed much longer than it is. Candidates come from shuffled streams: one that is not chosen
 * comes again when its task has been gone through. Continues from `state` when given.
 * @throws usage.value, task.empty; train.resume for a state of other tasks
 */
export function createUncertaintySampler(options: UncertaintySamplerOptions, state?: UncertaintyState): UncertaintySampler {
  const { lengths, batchSize, candidates, refresh, seed, comparable, rule } = options;
  const sizes = checkSizes(lengths, batchSize);
  checkDrawn(state?.drawn, sizes);
  checkDrawn(state?.chosen, sizes);
  for (const { task, row } of state?.pending.flat() ?? [])
    if (row >= (sizes[task] ?? 0))
      fail({
        code: 'train.resume',
        subject: 'sampler',
        found: `row ${row} of task ${task}`,
        expected: 'rows that there are',
        next: 'Start a new run.',
      });
  const batchesPerEpoch = Math.ceil(sizes.reduce((a, b) => a + b, 0) / batchSize);
  const perStep = Math.max(batchSize, Math.round(candidates * batchSize));
  const streams = taskStreams(sizes, seed, state?.drawn);
  const chosen = [...(state?.chosen ?? sizes.map(() => 0))];
  let { step, passes } = state ?? { step: 0, passes: 0 };
  let pending = [...(state?.pending ?? [])];
  let seconds = 0;
  return {
    batchesPerEpoch,
    async next() {
      if (pending.length === 0) pending = await choose();
      const picks = pending.shift() as readonly TaskPick[];
      for (const { task } of picks) (chosen[task] as number)++;
      return { picks, epoch: Math.floor(step++ / batchesPerEpoch) };
    },
    state: () => ({ step, passes, drawn: streams.drawn(), pending: [...pending], chosen: [...chosen] }),
    get seconds() {
      return seconds;
    },
  };

  async function choose(): Promise<(readonly TaskPick[])[]> {
    const started = performance.now();
    const groups = Array.from({ length: refresh }, (_, i) => candidatesOf(step + i));
    const uncertainties = await options.uncertaintyOf(groups.flat(), passes++);
    const scored = groups.flat().map(({ task }, k): Candidate => ({ task, uncertainty: uncertainties[k] as number }));
    const ranked = rule.withoutEntropy.rule === 'quantile' && comparable.includes(true);
    // Among all that were scored at once: of many tasks, one has a candidate or two for a step.
    const all = ranked ? quantiles(scored, comparable, createRandom(seed, passes, RANKING)) : scored;
    const batches = groups.map((group, i) => {
      const { scores } = uncertaintyScores(all.slice(i * group.length, (i + 1) * group.length), comparable, rule);
      return highest(scores, batchSize).map((place) => group[place] as TaskPick);
    });
    seconds += (performance.now() - started) / 1000;
    return refresh === 1 ? batches : byLength(batches.flat());
  }

  function byLength(picks: readonly TaskPick[]): (readonly TaskPick[])[] {
    const tokens = Int32Array.from(picks, ({ task, row }) => (lengths[task] as Int32Array)[row] as number);
    const buckets = lengthBuckets(tokens, batchSize, createRandom(seed, passes, DEALING));
    return buckets.map((bucket) => Array.from(bucket, (place) => picks[place] as TaskPick));
  }

  /**
   * The tasks take turns, beginning where the step before left off, so that a remainder falls to each in its turn. A task offers no
   * more candidates than it has rows, so that all steps have equally many.
   */
  function candidatesOf(which: number): TaskPick[] {
    const counts = sizes.map(() => 0);
    const room = sizes.reduce((a, b) => a + b, 0);
    for (let [i, given] = [which * perStep, 0]; given < Math.min(perStep, room); i++) {
      const task = i % sizes.length;
      if ((counts[task] as number) === (sizes[task] as number)) continue;
      (counts[task] as number)++;
      given++;
    }
    return counts.flatMap((count, task) => Array.from({ length: count }, () => ({ task, row: streams.next(task) })));
  }
}
