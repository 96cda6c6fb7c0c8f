import { z } from 'zod';
import { fail } from '../../base/index.ts';
import type { Score } from '../keep-best.ts';
import { count, scoreSchema } from '../progress.ts';
import type { Position } from '../run-steps.ts';
import { type AnySamplerState, samplerStateSchema } from './batches.ts';
import type { LossHistory } from './task-weights.ts';

/** Everything beside the parameters that a run needs to go on as if it had never stopped. */
export interface MultiTaskProgress extends Position {
  readonly sampler: AnySamplerState;
  readonly losses: LossHistory;
  /** By the mean over tasks; its step is the last at which the kept parameters changed. */
  readonly best: Score | undefined;
  /** The best evaluation of each task. */
  readonly bests: readonly (Score | null)[];
}

/** As it lies in a file. */
export const multiTaskProgressSchema = z.object({
  step: count,
  sampler: samplerStateSchema,
  losses: z.object({
    epoch: count,
    sums: z.array(z.number()),
    counts: z.array(count),
    means: z.array(z.array(z.number())),
  }),
  stale: count,
  best: scoreSchema.nullable(),
  bests: z.array(scoreSchema.nullable()),
});

/** @throws train.resume for counts of another number of tasks */
export function checkCounts({ bests, losses: { sums, counts, means } }: MultiTaskProgress, tasks: number): void {
  const lengths = [bests, sums, counts, means].map(({ length }) => length);
  const other = lengths.find((length) => length !== tasks);
  if (other !== undefined)
    fail({
      code: 'train.resume',
      subject: 'the saved losses and scores',
      found: `those of ${other} tasks`,
      expected: `${tasks}`,
      next: 'Start anew without --resume.',
    });
}
