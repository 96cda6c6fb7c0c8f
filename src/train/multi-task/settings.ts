import { z } from 'zod';
import { TASK_RULES } from '../../batch/index.ts';
import { trainSettings } from '../settings.ts';
import { TASK_WEIGHTS } from './task-weights.ts';

/** Everything that decides how a run over several tasks goes: what single tasks have, and how the tasks share the steps. */
export const multiTaskSettings = trainSettings.omit({ shuffle: true, dropLayers: true }).extend({
  epochs: trainSettings.shape.epochs.meta({ description: 'passes over as many rows as all tasks have together' }),
  sampler: z
    .enum([...TASK_RULES, 'uncertainty'])
    .default('proportional')
    .meta({ description: 'which rows train: by the number of rows of each task, or those the model is least sure of' }),
  temperature: z
    .number()
    .positive()
    .default(5)
    .meta({ description: 'temperature sampling: a task of N rows has N^(1/temperature) shares' }),
  candidates: z
    .number()
    .min(1)
    .max(1000)
    .optional()
    .meta({ description: 'uncertainty sampling: rows scored for each that trains (default: as many as there are tasks)' }),
  refresh: z
    .number()
    .int()
    .positive()
    .max(1000)
    .default(1)
    .meta({ description: 'uncertainty sampling: steps whose candidates are scored at once' }),
  scoring: z.enum(['int8', 'float32']).default('int8').meta({
    description: 'uncertainty sampling: how candidates are computed, with wide products of 8-bit integers or exactly',
  }),
  taskFactor: z.boolean().default(true).meta({
    description: 'uncertainty sampling: scores are entropies alone, not times the mean of their task (the paper’s formula, not its code)',
  }),
  regressionScore: z.enum(['spread', 'published']).default('spread').meta({
    description: 'uncertainty sampling: numbers are scored by the spread of predictions with dropout, or take the scores of mrpc',
  }),
  regressionLabels: z.enum(['standardized', 'raw']).default('standardized').meta({
    description: 'numbers are learnt with mean 0 and deviation 1, so that no task outweighs the others by its unit, or as they are',
  }),
  taskWeights: z.enum(TASK_WEIGHTS).default('uniform').meta({ description: 'how much the loss of each task counts' }),
  keep: z.enum(['average', 'task']).default('average').meta({
    description:
      'weights to keep: of the evaluation with the best mean score, or for each task of its own best (adapters on a frozen encoder)',
  }),
});

export type MultiTaskSettings = z.infer<typeof multiTaskSettings>;
