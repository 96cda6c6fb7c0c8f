export { type Drawing, drawModel, type Observed } from './draw.ts';
export { maxTokens } from './encoder-inputs.ts';
export { type BatchTerms, batchTerms, feedsOf } from './feeds.ts';
export { drawLoss, type ModelLoss } from './loss.ts';
export { adapterModel, type Model, trainableParameters } from './model.ts';
export { type Prepared, type PrepareOptions, prepare } from './prepare.ts';
export { startStore } from './start-values.ts';
export { headFor, sequenceLength } from './task-setup.ts';
