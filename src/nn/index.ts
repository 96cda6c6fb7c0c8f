export { ACTIVATIONS, activation, isActivation } from './activation.ts';
export { type Dropout, type DropoutPlan, noDropout, planDropout } from './dropout.ts';
export { attentionScores, linear, mergeHeads, norm, normParameters, splitHeads } from './layers.ts';
export { type Initializer, NORMAL, ONE, type ParameterSpec, type Parameters, parameters, recordedParameters, ZERO } from './parameters.ts';
