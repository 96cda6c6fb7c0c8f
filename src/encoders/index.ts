export { type EncoderConfig, type EncoderFamily, LINEARS, type LinearName, layerModule, type NormPlace } from './config.ts';
export { FAMILIES, familyOf } from './families.ts';
export { configFields } from './fields.ts';
export { type Encoder, type EncoderWeight, EXPANDED, encoderShapes, type LoadOptions, loadEncoder, readWeightIndex } from './load.ts';
export type { AddNormSite, Graft, HiddenSite, LayerSite, LinearSite, Rows, ScoresSite } from './sites.ts';
export { type DrawingOptions, drawEncoder, drawPooled, type EncoderDrawing, firstTokens } from './transformer.ts';
