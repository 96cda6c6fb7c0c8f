export { ACTIVATIONS, activation, isActivation } from './activation.ts';
export { type Dropout, type DropoutPlan, noDropout, planDropout } from './dropout.ts';
export { attentionScores, linear, mergeHeads, norm, splitHeads } from './layers.ts';
export { type Initializer, type ParameterSpec, type Parameters, parameters } from './parameters.ts';
