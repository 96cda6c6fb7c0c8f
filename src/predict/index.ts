export type { SpanCandidate } from '../objectives/index.ts';
export type { Answer, Observations } from './answer.ts';
export { type AnsweringModel, type AnsweringOptions, answerTasks, namesTask } from './answer-tasks.ts';
export type { AttentionTable } from './attention.ts';
export {
  evaluateTasks,
  idOfTask,
  type MultiTaskEvaluation,
  type MultiTaskEvaluationOptions,
  type TaskEvaluation,
} from './evaluate-tasks.ts';
export type { Evaluation } from './evaluation.ts';
export { createPredictor, type Predictor, type PredictorOptions } from './predictor.ts';
export { rowInWords } from './words.ts';
