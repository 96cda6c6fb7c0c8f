import { type EncoderSpec, encoderSpecs } from '../../encoders/index.ts';
import { input, type Value } from '../../graph/index.ts';
import type { Initializer } from '../../nn/index.ts';
import type { Attachment } from '../attachment.ts';
import { type CaMtlConfig, type CaMtlContext, type CaMtlPlan, planCaMtl } from './config.ts';
import { keepsEncoder } from './freezing.ts';
import { type CaMtlParts, hooksOfCaMtl } from './hooks.ts';
import { caMtlParameters } from './parameters.ts';

/** CA-MTL on an encoder. */
export interface CaMtlAttachment extends Attachment, CaMtlParts {
  readonly taskIds: Value;
  /** Whether a tensor of the encoder or of its own keeps its value. */
  freezes(name: string): boolean;
}

/**
 * On eight tasks in 500 steps base was as good with two and three times of it, and worse with a half and a fifth, the published rate,
 * which is for tens of thousands of steps (docs/experiments/ca-mtl.md, last table); large was as good as base with it.
 */
const LEARNING_RATE = 1e-4;

/** @throws method.site, method.config */
export function attachCaMtl(config: CaMtlConfig, context: CaMtlContext): CaMtlAttachment {
  const plan = planCaMtl(config, context);
  const added = caMtlParameters(plan);
  const specs = encoderSpecs(context.family, context.encoder);
  const parts = { plan, added, taskIds: input('taskIds', 'int32', ['B']) };
  const frozen = new Set([
    ...specs.flatMap((spec) => (keepsEncoder(plan, spec) ? [spec.name] : [])),
    ...added.flatMap((spec) => (spec.trains === false ? [spec.name] : [])),
  ]);
  return {
    name: config.architecture,
    text: `${config.architecture} (${config.variant})`,
    learningRate: LEARNING_RATE,
    trainsEncoder: (weight) => !frozen.has(weight),
    mixesTokens: false,
    mostTokens: config.max_length,
    parameters: added,
    anew: drawnAnew(plan, specs),
    hooks: (parameters) => hooksOfCaMtl(parts, parameters),
    ...parts,
    freezes: (name) => frozen.has(name),
  };
}

/** As published, the top layer of base is not loaded. */
function drawnAnew({ config, context }: CaMtlPlan, specs: readonly EncoderSpec[]): ReadonlyMap<string, Initializer> {
  if (config.variant !== 'base' || !config.conditional_bottleneck || config.start !== 'published') return new Map();
  const top = context.encoder.layers - 1;
  return new Map(specs.flatMap(({ name, part, init }) => (part === top ? [[name, init] as const] : [])));
}
