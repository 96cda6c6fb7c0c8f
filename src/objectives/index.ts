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
export { drawJointLoss, type JointLoss } from './joint.ts';
export { drawDistillation, drawLoss, spanLogits, type Target } from './loss.ts';
