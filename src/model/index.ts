export { maxTokens, type Prepared, prepare, type Unit } from './data.ts';
export { adapterModel, type Drawing, drawModel, type Model, trainableParameters } from './model.ts';
export {
  drawMultiTask,
  type MultiTaskDrawing,
  type MultiTaskModel,
  multiTaskParameters,
  multiTaskStart,
} from './multi-task.ts';
export { headFor, sequenceLength } from './task-setup.ts';
