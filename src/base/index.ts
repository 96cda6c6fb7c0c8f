export { defined } from './defined.ts';
export { type ErrorCode, expectationIn, fail, invariant, MultigraftError, nearest } from './errors.ts';
export { baseName, type Files, folderOf, joinPath, memoryFiles, readText, truncated } from './files.ts';
export { list, shown } from './messages.ts';
export { pause } from './pause.ts';
export { createRandom, mix, type Random } from './random.ts';
export {
  allocate,
  asFloat32,
  bytesOf,
  bytesPerElement,
  type DType,
  elementCount,
  float32,
  int32,
  type Tensor,
  toFloat16,
  totalElements,
  viewBytes,
  zeros,
} from './tensor.ts';
