export { BERT, likeBert } from './bert.ts';
export { type EncoderConfig, LINEARS, type LinearName, layerModule, PLACES, type Place } from './config.ts';
export { drawEncoder, drawPooled, drawWordScores, type EncoderDrawing, type EncoderSpec, encoderSpecs, poolerPath } from './draw.ts';
export type { Attention, EncoderTools, Layer, Layers } from './drawing.ts';
export { FAMILIES, familyOf } from './families.ts';
export {
  type EncoderFamily,
  type LinearPlace,
  linearPath,
  linearPlace,
  matrixPath,
  OUTER_LINEARS,
  outerLinears,
  pythonClass,
} from './family.ts';
export { configFields, standardConfig } from './fields.ts';
export { type Encoder, type EncoderWeight, EXPANDED, type LoadOptions, loadEncoder, readWeightIndex } from './load.ts';
export { LOWEST } from './masks.ts';
export { type EncoderNorm, encoderNorms } from './norms.ts';
export { type PostNorm, postNormFamily, postNormLinears } from './post-norm.ts';
export { MODULES, readSentenceModel, type SentenceModel, usualPooling } from './sentence.ts';
export type {
  AttentionSite,
  EmbeddedSite,
  HiddenSite,
  Hooks,
  KeysAndValues,
  LayerRows,
  LayerSite,
  LinearSite,
  NormSite,
  ResidualSite,
  Rows,
  ScoresSite,
  SiteName,
  SiteResults,
  Sites,
} from './sites.ts';
export { type DrawingOptions, firstTokens, withText } from './tools.ts';
