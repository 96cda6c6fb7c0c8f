export * from './classification.ts';
export * from './correlation.ts';
export {
  FOLDS,
  outputsOf,
  PENALTIES,
  type PenaltyScore,
  type Solved,
  solveClasses,
  solveNumbers,
  stratifiedFolds,
} from './cross-validation.ts';
export { type LinearModel, logisticRegression, ridgeRegression } from './linear-models.ts';
export { centered, type EvidenceModel, evidenceModel, type Features } from './logme.ts';
export * from './registry.ts';
export type { Score } from './score.ts';
export * from './spans.ts';
export * from './squad.ts';
