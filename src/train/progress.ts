import { z } from 'zod';
import type { SamplerState } from '../batch/index.ts';
import type { Score } from './keep-best.ts';
import type { Position } from './run-steps.ts';

export const count = z.number().int().nonnegative();
export const scoreSchema = z.object({ step: count, metric: z.number() });
export const samplerSchema = z.object({
  epoch: count,
  batch: count,
  rowCount: count,
  batchSize: count,
  shuffle: z.boolean(),
  seed: z.number(),
});

/** Everything beside the parameters that a run on one task needs to go on as if it had never stopped. */
export interface TaskProgress extends Position {
  readonly sampler: SamplerState;
  readonly best: Score | undefined;
}

/** As it lies in a file. */
export const taskProgressSchema = z.object({ step: count, sampler: samplerSchema, stale: count, best: scoreSchema.nullable() });
