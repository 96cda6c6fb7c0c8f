export { type Batch, type CollateOptions, collate, paddedLength, type TokenRow } from './collate.ts';
export {
  createSampler,
  lengthBuckets,
  type SampledBatch,
  type Sampler,
  type SamplerOptions,
  type SamplerState,
  sequentialBatches,
} from './sampler.ts';
export {
  createTaskSampler,
  TASK_RULES,
  type TaskBatch,
  type TaskPick,
  type TaskRule,
  type TaskSampler,
  type TaskSamplerState,
  taskShares,
} from './task-sampler.ts';
export { type TaskStreams, taskStreams } from './task-streams.ts';
export { type Candidate, highest, normalisedEntropy, type ScoreRule, uncertaintyScores, type WithoutEntropy } from './uncertainty.ts';
export { createUncertaintySampler, type UncertaintySampler, type UncertaintyState } from './uncertainty-sampler.ts';
