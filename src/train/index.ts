export type { Answer, Observations } from './answer.ts';
export type { AttentionTable } from './attention.ts';
export { AutoAdapterModel } from './auto-adapter-model/auto-adapter-model.ts';
export type {
  AdapterTraining,
  EvaluateOptions,
  HeadOptions,
  LabelledHeadOptions,
  LoadOptions,
  PredictOptions,
  PretrainedOptions,
  PruneFusionOptions,
  SummaryRow,
  TrainAdapterFusionOptions,
  TrainAdapterOptions,
} from './auto-adapter-model/options.ts';
export type { Pruning } from './auto-adapter-model/prune.ts';
export type { HeadChoice, SetupOptions } from './auto-adapter-model/saved.ts';
export type { TrainTaskResult } from './card.ts';
export { type Built, describeEncoders, describeMethods, type EncoderEntry, type MethodEntry } from './catalogue.ts';
export { maxTokens, type Prepared, prepare, type Unit } from './data.ts';
export type { Evaluation } from './evaluation.ts';
export { type Exclusions, readExclusions } from './exclusions.ts';
export { CA_MTL_CONFIG } from './folders.ts';
export { type TaskAttention, taskAttention } from './fusion/attention-across.ts';
export { type AdapterChoice, type AdapterScore, type ChooseOptions, chooseAdapters } from './fusion/choose-adapters.ts';
export { type DistillOptions, distillFusion } from './fusion/distill.ts';
export { adapterFeatures, type Observation, type Questions, questionsOf } from './fusion/features.ts';
export { type FusionResult, type TrainFusionOptions, trainFusion } from './fusion/train.ts';
export { type InspectedPart, type Inspection, inspectPath } from './inspect.ts';
export { adapterModel, type Drawing, drawModel, type Model, trainableParameters } from './model.ts';
export { type AnsweringOptions, answerTasks, namesTask } from './multi-task/answers.ts';
export { loadCaMtl, type SavedCaMtl, saveCaMtl } from './multi-task/ca-mtl-folder.ts';
export type { MultiTaskSummary, TaskSummary } from './multi-task/card.ts';
export type { ChosenRows } from './multi-task/chosen.ts';
export {
  evaluateTasks,
  idOfTask,
  type MultiTaskEvaluation,
  type MultiTaskEvaluationOptions,
  type TaskEvaluation,
} from './multi-task/evaluation.ts';
export { extendCaMtl } from './multi-task/extend-ca-mtl.ts';
export { isMultiTask, loadGrowing, loadMultiTask, type SavedMultiTask, saveMultiTask } from './multi-task/folder.ts';
export { type MultiTaskMethod, multiTaskMethod, multiTaskMethodNames } from './multi-task/method.ts';
export {
  drawMultiTask,
  type MultiTaskDrawing,
  type MultiTaskModel,
  multiTaskParameters,
  multiTaskStart,
} from './multi-task/model.ts';
export { type RunMultiTaskOptions, runMultiTask } from './multi-task/run.ts';
export { type MultiTaskSettings, multiTaskSettings } from './multi-task/settings.ts';
export { type MultiTaskOptions, type MultiTaskResult, trainMultiTask } from './multi-task/trainer.ts';
export { createPredictor, type Predictor } from './predictor.ts';
export { type PretrainEncoderOptions, pretrainEncoder, pretrainSettings } from './pretrain/run.ts';
export { type PretrainOptions, type PretrainSettings, type PretrainState, pretrain } from './pretrain/trainer.ts';
export { type TrainEvent, type TrainSettings, trainSettings } from './settings.ts';
export type { SpanCandidate } from './span.ts';
export { createTrainingStep, type StepOptions, type StepResult, type TrainingStep } from './step.ts';
export { headFor, sequenceLength } from './task-setup.ts';
export { type TrainTaskOptions, trainTask } from './train-task.ts';
export { type TrainTasksOptions, trainTasks } from './train-tasks.ts';
export { type Saved, type TrainOptions, type TrainResult, trainModel } from './trainer.ts';
