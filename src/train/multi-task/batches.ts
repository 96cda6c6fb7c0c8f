import { z } from 'zod';
import { defined, fail, invariant } from '../../base/index.ts';
import {
  createTaskSampler,
  createUncertaintySampler,
  type TaskPick,
  type TaskSamplerState,
  type UncertaintyState,
} from '../../batch/index.ts';
import type { Model } from '../../model/model.ts';
import type { TaskUnit } from '../../objectives/index.ts';
import { count } from '../progress.ts';
import type { MultiTaskSettings } from './settings.ts';
import { comparable, hasEntropy, type UncertaintyScorer } from './uncertainty.ts';

const pick = z.object({ task: count, row: count });

/** The state of either kind of sampler, as it lies in a file. */
export const samplerStateSchema = z.union([
  z.strictObject({ epoch: count, batch: count, drawn: z.array(count) }),
  z.strictObject({ step: count, passes: count, drawn: z.array(count), pending: z.array(z.array(pick)), chosen: z.array(count) }),
]);

export type AnySamplerState = TaskSamplerState | UncertaintyState;

/** Batches of units of several tasks, whichever sampler chooses them. */
export interface TaskBatches {
  readonly batchesPerEpoch: number;
  next(): Promise<{ readonly batch: readonly TaskUnit[]; readonly rows: readonly (readonly number[])[]; readonly epoch: number }>;
  state(): AnySamplerState;
  /** What choosing took, where rows are scored for it. */
  scoring(): { readonly seconds: number; readonly candidates: readonly number[]; readonly chosen: readonly number[] } | undefined;
}

/** Samples units (rows, or windows of rows) as the settings say. `scorer` scores candidates for uncertainty sampling. */
export function createTaskBatches(
  model: Model,
  units: readonly (readonly TaskUnit[])[],
  settings: MultiTaskSettings,
  scorer: UncertaintyScorer | undefined,
  state: AnySamplerState | undefined,
): TaskBatches {
  const lengths = units.map((some) => Int32Array.from(some, ({ length }) => length));
  const unitOf = ({ task, row }: TaskPick) => (units[task] as readonly TaskUnit[])[row] as TaskUnit;
  const batchOf = ({ picks, epoch }: { readonly picks: readonly TaskPick[]; readonly epoch: number }) => ({
    batch: picks.map(unitOf),
    // A row may have several windows.
    rows: units.map((_, task) => [...new Set(picks.flatMap((pick) => (pick.task === task ? [unitOf(pick).row] : [])))]),
    epoch,
  });
  const { sampler: rule } = settings;
  if (rule !== 'uncertainty') {
    const { batchSize, temperature, epochs, maxSteps: steps, seed } = settings;
    const options = {
      lengths,
      batchSize,
      temperature,
      epochs,
      ...defined({ steps }),
      seed,
      oneTask: model.attachment.oneTaskRuns === true,
    };
    const sampler = createTaskSampler({ ...options, rule }, state as TaskSamplerState | undefined);
    return {
      batchesPerEpoch: sampler.batchesPerEpoch,
      next: async () => batchOf(sampler.next()),
      state: () => sampler.state(),
      scoring: () => undefined,
    };
  }
  invariant(scorer, 'uncertainty sampling without a scorer');
  if (settings.regressionScore === 'published' && !model.heads.some(hasEntropy))
    fail({
      code: 'usage.value',
      subject: '--regression-score',
      found: "'published', where all tasks have numbers",
      expected: "'spread'",
      next: 'As published, numbers take the scores of mrpc; without any classes all scores are 0.',
    });
  const lender = model.heads.findIndex(({ name }) => name === PUBLISHED_LENDER);
  const sampler = createUncertaintySampler(
    {
      lengths,
      batchSize: settings.batchSize,
      candidates: settings.candidates ?? model.heads.length,
      refresh: settings.refresh,
      seed: settings.seed,
      comparable: settings.regressionScore === 'published' ? model.heads.map(hasEntropy) : comparable(model.heads),
      rule: {
        withoutEntropy:
          settings.regressionScore === 'published' ? { rule: 'published', lender: lender < 0 ? undefined : lender } : { rule: 'quantile' },
        taskFactor: settings.taskFactor,
      },
      uncertaintyOf: (picks, pass) => scorer.of(picks.map(unitOf), pass),
    },
    state as UncertaintyState | undefined,
  );
  return {
    batchesPerEpoch: sampler.batchesPerEpoch,
    next: async () => batchOf(await sampler.next()),
    state: () => sampler.state(),
    scoring: () => ({ seconds: sampler.seconds, candidates: sampler.state().drawn, chosen: sampler.state().chosen }),
  };
}

/** The task whose scores numbers take in the published code, where they have none of their own: a task of that name, of any data. */
export const PUBLISHED_LENDER = 'mrpc';
