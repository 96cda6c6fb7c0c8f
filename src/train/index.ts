export type { Answer } from './answer.ts';
export {
  type AdapterTraining,
  AutoAdapterModel,
  type EvaluateOptions,
  type Evaluation,
  type HeadOptions,
  type LabelledHeadOptions,
  type PredictOptions,
  type PretrainedOptions,
  type SummaryRow,
  type TrainAdapterOptions,
} from './auto-adapter-model.ts';
export { type Built, describeEncoders, describeMethods, type EncoderEntry, type MethodEntry } from './catalogue.ts';
export { type InspectedPart, type Inspection, inspectPath } from './inspect.ts';
export type { TrainTaskResult } from './card.ts';
export { type Drawing, drawModel, type Model, trainableParameters } from './model.ts';
export { createPredictor, type Predictor } from './predictor.ts';
export { maxTokens, type Prepared, prepare, type Unit } from './data.ts';
export { type TrainEvent, type TrainSettings, trainSettings } from './settings.ts';
export type { SpanCandidate } from './span.ts';
export { createTrainingStep, type StepOptions, type StepResult, type TrainingStep } from './step.ts';
export { headFor, sequenceLength, type TrainTaskOptions, trainTask } from './train-task.ts';
export { type Saved, trainModel, type TrainOptions, type TrainResult } from './trainer.ts';
export { loadCorpus } from './corpus.ts';
export { type PretrainOptions, type PretrainSettings, type PretrainState, pretrain } from './pretrain.ts';
