export type { Act, Acts, Opened, ResidualState, States } from './act.ts';
export { type Adapter, bindAdapter } from './adapter.ts';
export { type Attachment, attach, type Sequence, type Shares, trained } from './attachment.ts';
export type { BlockKind, BoundBlock, Extent, Wrong } from './blocks/block.ts';
export { allFusionParameters, FUSION_MASK } from './blocks/fuse.ts';
export { BLOCKS, blockKind, checkNesting } from './blocks/index.ts';
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
  hooksOfCaMtl,
  isCaMtlName,
} from './ca-mtl/index.ts';
export { attachComposition, type CompositionParts } from './compose.ts';
export {
  type Average,
  adaptersOf,
  average,
  type BatchSplit,
  type Block,
  batchSplit,
  blocksOf,
  type Composition,
  describe,
  type Fuse,
  firstOf,
  fuse,
  fusionsOf,
  isFuse,
  lastBlockOf,
  lastOf,
  type MultiTask,
  multiTask,
  nameOf,
  type Parallel,
  parallel,
  type Split,
  type Stack,
  split,
  stack,
} from './composition.ts';
export { formatComposition, parseComposition } from './composition-text.ts';
export { type EncoderFacts, encoderFacts, type MethodConfig, type MethodContext, type Observe } from './context.ts';
export { FUSION_PRESETS, type FusionConfig, fusionConfig } from './fusion.ts';
export { type FusionSite, fusionPath, fusionSites } from './fusion-sites.ts';
export { parseGrammar, splitUnion } from './grammar.ts';
export { type LowRankUpdate, loraOf } from './lora-made.ts';
export {
  type AdapterLayout,
  adapterPath,
  type ConfiguredMethod,
  configInAdapters,
  loraPath,
  type Members,
  type Method,
  modules,
  type ReadingOptions,
  type ReadParameter,
} from './method.ts';
export type { Placed } from './mixed-feeds.ts';
export { attachMixedRows, type MixedRows, mixedParameters } from './mixed-rows.ts';
export type { PeftFolder, PeftLayout, PeftReading, PeftWriting } from './peft-layout.ts';
export { attachPerTask, namesAmongTasks, SHARED_NAME } from './per-task.ts';
export { configureMethod, DEFAULT_METHOD, METHODS, methodNames, methodOfConfig, notesOf, shortestText } from './registry.ts';
export { checkLayers, withoutLayers } from './skip-layers.ts';
