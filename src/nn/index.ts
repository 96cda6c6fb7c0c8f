export { ACTIVATIONS, activation, isActivation } from './activation.ts';
export { type ModuleBank, moduleBank } from './bank.ts';
export { type Dropout, type DropoutPlan, noDropout, planDropout } from './dropout.ts';
export {
  applyLinear,
  attentionScores,
  type LinearParameters,
  linear,
  linearParameters,
  mergeHeads,
  type NormParameters,
  norm,
  normParameters,
  splitHeads,
} from './layers.ts';
export { type Matrix, matrix, multiplied, qr, type Svd, svd, transposed } from './linear-algebra.ts';
export { orthogonalBase, orthonormalRows, unturned } from './orthogonal.ts';
export {
  byRole,
  copyOf,
  type Initializer,
  NORMAL,
  ONE,
  type ParameterFacts,
  type ParameterRole,
  type ParameterSpec,
  type Parameters,
  parameters,
  recordedParameters,
  ZERO,
} from './parameters.ts';
export { normalised, POOLINGS, type Pooling, pooledTokens, TOKEN_POOLINGS, type TokenPooling } from './pooling.ts';
