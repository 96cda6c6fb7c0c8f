export { attachCaMtl, type CaMtlAttachment } from './attach.ts';
export { CA_MTL_PRESETS, type CaMtlConfig, type CaMtlContext, type CaMtlPlan, caMtlConfig, checkCaMtlConfig, planCaMtl } from './config.ts';
export { type CaMtlParts, hooksOfCaMtl } from './hooks.ts';
export { fromPublishedName, isCaMtlName } from './names.ts';
export { CA_MTL_PARTS, type CaMtlPart, type CaMtlReport, type Count, caMtlReport } from './report.ts';
