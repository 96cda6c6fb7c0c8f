export {
  type EncoderConfig,
  type EncoderFamily,
  LINEARS,
  type LinearName,
  type LinearPlace,
  layerModule,
  linearPath,
  linearPlace,
  PLACES,
  type Place,
} from './config.ts';
export { drawEncoder, drawPooled, drawWordScores, type EncoderDrawing, type EncoderSpec, encoderSpecs, poolerPath } from './draw.ts';
export { FAMILIES, familyOf } from './families.ts';
export { configFields } from './fields.ts';
export { type Encoder, type EncoderWeight, EXPANDED, type LoadOptions, loadEncoder, readWeightIndex } from './load.ts';
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
export { type DrawingOptions, type EncoderTools, firstTokens, type Layer, type Layers } from './tools.ts';
