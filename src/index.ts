export * from '#platform';
export * from './auto-adapter-model/index.ts';
export { ERROR_CODES, type ErrorCode, MultigraftError, type Problem } from './base/errors.ts';
export { type Files, memoryFiles } from './base/files.ts';
export { float32, int32, type Tensor, tensor, zeros } from './base/tensor.ts';
export {
  type Average,
  average,
  type BatchSplit,
  type Block,
  batchSplit,
  type Composition,
  configureMethod,
  type Fuse,
  formatComposition,
  fuse,
  type MultiTask,
  methodNames,
  multiTask,
  type Parallel,
  parallel,
  parseComposition,
  type Split,
  type Stack,
  split,
  stack,
} from './methods/index.ts';
export type { Answer, Evaluation } from './predict/index.ts';
export * from './tasks/index.ts';
export { trainSettings, trainTask } from './train/index.ts';
