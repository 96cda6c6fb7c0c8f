export { labelsOf } from './answers.ts';
export type { SpanCandidate } from './best-spans.ts';
export { CHOICE } from './choice.ts';
export { CLASSIFICATION, type ClassTarget } from './classification.ts';
export { CONTRASTIVE } from './contrastive.ts';
export {
  DENSE_KEYS,
  denseParameters,
  drawDense,
  LABEL_FIELDS,
  type LabelConfig,
  labelDefaults,
} from './dense.ts';
export { headFeeds, headInputs } from './inputs.ts';
export type {
  FixedHead,
  Head,
  HeadAnswer,
  HeadConfig,
  HeadDrawing,
  HeadInputs,
  HeadKind,
  LabelScale,
  Numbers,
  Objective,
  Question,
  Tokenized,
  UnitTools,
} from './kind.ts';
export { binaryCrossEntropy, crossEntropy, meanSquaredError, squaredError } from './loss.ts';
export { drawTransform, MASKED_LM, type MaskedTarget } from './masked-lm.ts';
export { MULTILABEL } from './multilabel.ts';
export { DISTILLATION, LABELS, type LogitsTarget } from './objective.ts';
export { poolingOf, readsTokens, sequenceVector, withPooling } from './pooling.ts';
export { createHead, HEAD_KINDS, headParameters, kindForTask } from './registry.ts';
export { type NumberTarget, REGRESSION } from './regression.ts';
export { type LogitRows, logitRows, realRows } from './rows.ts';
export { SPANS } from './spans.ts';
export { TAGGING } from './tagging.ts';
export { textColumns, textUnit } from './text-rows.ts';
export type { Feeds, HeadBatch, PlacedUnit, Target, TaskUnit, Unit, UnitLogits } from './unit.ts';
export { vectorHead } from './vector.ts';
