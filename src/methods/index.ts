export { type Attachment, type AttachmentStart, attach } from './attachment.ts';
export {
  attachCaMtl,
  CA_MTL_PRESETS,
  type CaMtlAttachment,
  type CaMtlConfig,
  type CaMtlContext,
  type CaMtlReport,
  caMtlConfig,
  caMtlReport,
  checkCaMtlConfig,
  fromPublishedName,
  graftCaMtl,
  isCaMtlName,
} from './ca-mtl/index.ts';
export { attachComposition, FUSION_MASK, type Parts } from './composed.ts';
export { adaptersOf, type Composition, describe, type Fuse, fuse, fusionsOf, lastOf, type Stack, stack } from './composition.ts';
export { FUSION_PRESETS, type FusionConfig, fusionConfig, fusionParameters } from './fusion.ts';
export { type FusionSite, fusionSites } from './fusion-sites.ts';
export { parseGrammar } from './grammar.ts';
export { LORA } from './lora.ts';
export {
  type AdapterLayout,
  adapterPath,
  fusionPath,
  loraPath,
  type Method,
  type MethodConfig,
  type MethodContext,
  modules,
  PLACES,
} from './method.ts';
export { attachPerTask, namesAmongTasks, SHARED_NAME } from './per-task.ts';
export { type ConfiguredMethod, configureMethod, DEFAULT_METHOD, METHODS, methodNames, methodOfConfig, shortestText } from './registry.ts';
