export { type Batch, type CollateOptions, collate, paddedLength, paddingShare, type TokenRow } from './collate.ts';
export {
  createSampler,
  evaluationBatches,
  lengthBuckets,
  type SampledBatch,
  type Sampler,
  type SamplerOptions,
  type SamplerState,
  sequentialBatches,
} from './sampler.ts';
