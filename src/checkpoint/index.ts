export { ADAPTER_CONFIG, loadAdapter, saveAdapter } from './adapter.ts';
export { saveEncoder } from './encoder.ts';
export { asName, checkName, type ModelFacts } from './facts.ts';
export { CA_MTL_CONFIG, MULTI_TASK_CONFIG, publishedCaMtl, publishedTasks } from './folders.ts';
export {
  FUSION_CONFIG,
  type FusionFacts,
  type FusionPackage,
  fusionSpecs,
  type LoadedFusion,
  type LoadingFusion,
  loadFusion,
  saveFusion,
} from './fusion.ts';
export { configHash } from './hash.ts';
export {
  HEAD_CONFIG,
  HEAD_WEIGHT_FILES,
  type HeadPackage,
  type HeadTraining,
  type LoadedHead,
  loadHead,
  readTraining,
  saveHead,
  trainingFields,
} from './head.ts';
export type { AdapterPackage, LoadedAdapter, LoadingOptions, SavingOptions } from './package.ts';
export { loadSetup, type SavedSetup, SETUP_CONFIG, saveSetup } from './setup.ts';
export type { WeightFormat } from './weights.ts';
