export { ATTACHMENT_RULES, type AttachmentCase, type AttachmentRule, checkAttachment } from './attachment-contract.ts';
export { checkGradient, type GradientCase, type GradientReport, projection, type Tolerance } from './gradient-check.ts';
