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
