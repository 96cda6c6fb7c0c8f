export * from './classification.ts';
export * from './correlation.ts';
export * from './registry.ts';
export type { Score } from './score.ts';
export * from './spans.ts';
export * from './squad.ts';
