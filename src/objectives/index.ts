export {
  batchOf,
  checkHeadConfig,
  drawLogits,
  HEAD_TYPES,
  type Head,
  type HeadConfig,
  type HeadType,
  headParameters,
  labelsOf,
  outputsOf,
  readsOf,
} from './head.ts';
export { drawLoss, spanLogits } from './loss.ts';
