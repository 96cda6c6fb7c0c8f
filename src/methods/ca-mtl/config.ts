import { z } from 'zod';
import { expectationIn, fail, nearest } from '../../base/index.ts';
import type { EncoderConfig, EncoderFamily } from '../../encoders/index.ts';

/**
 * Conditionally Adaptive Multi-Task Learning (Pilault, El hattami & Pal, ICLR 2021): one encoder for all tasks, in which a
 * learned vector per task conditions small modules. Keys that switch a module off are those of the paper's ablation.
 */
const schema = z
  .strictObject({
    architecture: z.literal('ca-mtl').default('ca-mtl'),
    /** 'base': one bottleneck in the top layer. 'large': one per layer, as a ladder whose end is the encoder's output. */
    variant: z.enum(['base', 'large']).default('base'),
    /** S: tokens in the longest input. Shapes of conditional attention depend on it. */
    max_length: z.number().int().positive().default(128),
    conditional_alignment: z.boolean().default(true),
    conditional_attention: z.boolean().default(true),
    conditional_layer_norm: z.boolean().default(true),
    conditional_bottleneck: z.boolean().default(true),
    task_transformation: z.boolean().default(true),
    /** 'pretrained': the encoder starts as what it was. 'published': generators, top layer and ladder start as in the published code. */
    start: z.enum(['pretrained', 'published']).default('pretrained'),
    /** Rank of the matrices that generate modulations from the task vector; null: full matrices, as published. */
    generator_rank: z.number().int().positive().nullable().default(null),
    /** 'half', or how many layers from below keep their pretrained weights (the paper's rule), or "a-b", the published code's setting. */
    freeze: z
      .union([z.literal('half'), z.number().int().nonnegative(), z.string().regex(/^\d+-\d+$/)], {
        error: "'half', a number of layers, or the first and the last as in '0-4'",
      })
      .default('half'),
  })
  .refine(
    (config) =>
      config.conditional_alignment || config.conditional_attention || config.conditional_layer_norm || config.conditional_bottleneck,
    'at least one conditional_… key to be true: nothing would depend on the task',
  );

export type CaMtlConfig = z.infer<typeof schema>;

/** Ready configurations. `ca_mtl_compact` is the base variant with generators of rank 32. */
export const CA_MTL_PRESETS = {
  ca_mtl_base: { variant: 'base' },
  ca_mtl_large: { variant: 'large' },
  ca_mtl_compact: { variant: 'base', generator_rank: 32 },
} as const;

/** Checks and completes a configuration; `values` are added to those of `preset`. @throws method.config naming the key */
export function caMtlConfig(preset: keyof typeof CA_MTL_PRESETS, values: z.input<typeof schema> = {}): CaMtlConfig {
  return checkCaMtlConfig({ ...CA_MTL_PRESETS[preset], ...values }, preset);
}

/** Checks a configuration that was read. @throws method.config naming the key */
export function checkCaMtlConfig(values: Readonly<Record<string, unknown>>, subject: string): CaMtlConfig {
  const result = schema.safeParse(values);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
  const key = unknown ?? issue?.path.join('.');
  const keys = Object.keys(schema.shape).filter((name) => name !== 'architecture');
  const near = unknown && nearest(unknown, keys);
  return fail({
    code: 'method.config',
    subject: key ? `${subject}: key '${key}'` : subject,
    found: unknown ? 'no such key' : key ? (JSON.stringify(values[key]) ?? 'nothing') : 'none of them',
    expected: unknown ? keys.join(', ') : issue ? expectationIn(issue.message) : 'another value',
    ...(near && { next: `Did you mean '${near}'?` }),
  });
}

/** What CA-MTL is attached to. */
export interface CaMtlContext {
  readonly encoder: EncoderConfig;
  readonly family: EncoderFamily;
  /** T: how many tasks there are; `taskIds` run from 0. */
  readonly tasks: number;
}

/** Sizes and places that follow from configuration and encoder. */
export interface CaMtlPlan {
  readonly config: CaMtlConfig;
  readonly context: CaMtlContext;
  /** Layers from below with an ordinary layer norm: half of them, rounded up. */
  readonly plainLayers: number;
  /** w: positions in a block of conditional attention. */
  readonly blockWidth: number;
  /** Width of a bottleneck: a third of the hidden size. */
  readonly bottleneckWidth: number;
}

/** @throws method.site for an encoder whose layers share parameters; method.config for more tokens or layers than it has */
export function planCaMtl(config: CaMtlConfig, context: CaMtlContext): CaMtlPlan {
  const { encoder, family, tasks } = context;
  const { layers, groups, hidden } = encoder;
  if (groups !== layers)
    fail({
      code: 'method.site',
      subject: 'CA-MTL',
      found: `${layers} layers that share the parameters of ${groups}, as the family ${family.name} has them`,
      expected: 'layers with parameters of their own: the lower half is kept and the upper half trained',
      next: 'Take an encoder of another family.',
    });
  if (tasks < 1) fail({ code: 'method.config', subject: 'CA-MTL', found: `${tasks} tasks`, expected: 'at least one' });
  const room = family.mostTokens(encoder);
  if (config.max_length > room)
    fail({ code: 'method.config', subject: "CA-MTL: key 'max_length'", found: String(config.max_length), expected: `at most ${room}` });
  const [first, last] = frozenLayers(config.freeze) ?? [0, layers - 1];
  if (first > last || last >= layers)
    fail({
      code: 'method.config',
      subject: "CA-MTL: key 'freeze'",
      found: JSON.stringify(config.freeze),
      expected: `layers of 0 to ${layers - 1}, or a number up to ${layers}`,
    });
  const blocks = Math.max(1, Math.floor(hidden / config.max_length));
  return {
    config,
    context,
    // The top layer of the base variant is conditioned in any case.
    plainLayers: Math.min(Math.ceil(layers / 2), config.variant === 'base' ? layers - 1 : layers),
    blockWidth: Math.ceil(config.max_length / blocks),
    bottleneckWidth: Math.max(1, Math.floor(hidden / 3)),
  };
}

/** The first and the last layer of a setting that names layers; undefined for none, and for half of them. */
export function frozenLayers(freeze: CaMtlConfig['freeze']): readonly [number, number] | undefined {
  if (freeze === 'half' || freeze === 0) return undefined;
  if (typeof freeze === 'number') return [0, freeze - 1];
  return freeze.split('-').map(Number) as [number, number];
}
