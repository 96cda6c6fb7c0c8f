export { ERROR_CODES, type ErrorCode, MultigraftError, type Problem } from './base/errors.ts';
export { type Files, memoryFiles } from './base/files.ts';
export { nodeFiles } from './base/files-node.ts';
export * from './tasks/index.ts';
