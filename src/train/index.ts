export type { Answer, Observations } from './answer.ts';
export type { AttentionTable } from './attention.ts';
export { type TaskAttention, taskAttention } from './attention-across.ts';
export { AutoAdapterModel } from './auto-adapter-model.ts';
export type {
  AdapterTraining,
  EvaluateOptions,
  Evaluation,
  HeadOptions,
  LabelledHeadOptions,
  LoadOptions,
  PredictOptions,
  PretrainedOptions,
  PruneFusionOptions,
  SummaryRow,
  TrainAdapterFusionOptions,
  TrainAdapterOptions,
} from './auto-adapter-options.ts';
export { loadCaMtl, type SavedCaMtl, saveCaMtl } from './ca-mtl-folder.ts';
export type { TrainTaskResult } from './card.ts';
export { type Built, describeEncoders, describeMethods, type EncoderEntry, type MethodEntry } from './catalogue.ts';
export { type AdapterChoice, type AdapterScore, type ChooseOptions, chooseAdapters } from './choose-adapters.ts';
export { maxTokens, type Prepared, prepare, type Unit } from './data.ts';
export { type DistillOptions, distillFusion } from './distill-task.ts';
export { type Exclusions, readExclusions } from './exclusions.ts';
export { extendCaMtl } from './extend-ca-mtl.ts';
export { adapterFeatures, type Observation, type Questions, questionsOf } from './features.ts';
export { type FusionResult, type TrainFusionOptions, trainFusion } from './fusion-task.ts';
export { type InspectedPart, type Inspection, inspectPath } from './inspect.ts';
export { adapterModel, type Drawing, drawModel, type Model, trainableParameters } from './model.ts';
export { type AnsweringOptions, answerTasks } from './multi-task-answers.ts';
export type { MultiTaskSummary, TaskSummary } from './multi-task-card.ts';
export { evaluateTasks, type MultiTaskEvaluation, type MultiTaskEvaluationOptions, type TaskEvaluation } from './multi-task-evaluation.ts';
export { isMultiTask, loadGrowing, loadMultiTask, type SavedMultiTask, saveMultiTask } from './multi-task-folder.ts';
export { type MultiTaskMethod, multiTaskMethod, multiTaskMethodNames } from './multi-task-method.ts';
export {
  drawMultiTask,
  type MultiTaskDrawing,
  type MultiTaskModel,
  multiTaskParameters,
  multiTaskStart,
} from './multi-task-model.ts';
export { type MultiTaskSettings, multiTaskSettings } from './multi-task-settings.ts';
export { type MultiTaskOptions, type MultiTaskResult, trainMultiTask } from './multi-task-trainer.ts';
export { createPredictor, type Predictor } from './predictor.ts';
export { type PretrainOptions, type PretrainSettings, type PretrainState, pretrain } from './pretrain.ts';
export { type PretrainEncoderOptions, pretrainEncoder, pretrainSettings } from './pretrain-encoder.ts';
export type { Pruning } from './prune.ts';
export { type RunMultiTaskOptions, runMultiTask } from './run-multi-task.ts';
export type { HeadChoice, SetupOptions } from './saved.ts';
export { type TrainEvent, type TrainSettings, trainSettings } from './settings.ts';
export type { SpanCandidate } from './span.ts';
export { createTrainingStep, type StepOptions, type StepResult, type TrainingStep } from './step.ts';
export { headFor, sequenceLength } from './task-setup.ts';
export { type TrainTaskOptions, trainTask } from './train-task.ts';
export { type TrainTasksOptions, trainTasks } from './train-tasks.ts';
export { type Saved, type TrainOptions, type TrainResult, trainModel } from './trainer.ts';
