export type { Answer } from './answer.ts';
export { type Drawing, drawModel, type Model, trainableParameters } from './model.ts';
export { createPredictor, type Predictor } from './predictor.ts';
export { maxTokens, type Prepared, prepare, type Unit } from './data.ts';
export { type TrainEvent, type TrainSettings, trainSettings } from './settings.ts';
export type { SpanCandidate } from './span.ts';
export { createTrainingStep, type StepOptions, type StepResult, type TrainingStep } from './step.ts';
export { headFor, sequenceLength, type TrainTaskOptions, type TrainTaskResult, trainTask } from './train-task.ts';
export { type Saved, trainModel, type TrainOptions, type TrainResult } from './trainer.ts';
