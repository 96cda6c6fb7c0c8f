export { ADAPTER_CONFIG, loadAdapter, saveAdapter } from './adapter.ts';
export { saveEncoder } from './encoder.ts';
export { asName, checkName, type ModelFacts } from './facts.ts';
export { configHash } from './hash.ts';
export { HEAD_CONFIG, type HeadPackage, type HeadTraining, type LoadedHead, loadHead, saveHead } from './head.ts';
export type { AdapterPackage, LoadedAdapter, LoadingOptions, SavingOptions } from './package.ts';
export type { WeightFormat } from './weights.ts';
