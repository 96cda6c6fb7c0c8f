import { z } from 'zod';
import type { Graft, LinearName, LinearSite } from '../encoders/index.ts';
import { add, expand, matmul, mul, scalar, type Value } from '../graph/index.ts';
import { NORMAL, type ParameterSpec, type Parameters, ZERO } from '../nn/index.ts';
import { loraPath, type Method, type MethodContext, modules } from './method.ts';
import { perSequence, sequenceGate } from './per-sequence.ts';

/**
 * LoRA (Hu et al. 2022): y = W x + b + (α/r)·B A drop(x), at any of a layer's six linears.
 * A [r, in] starts Kaiming-uniform, B [out, r] at zero. With `use_gating` (UniPELT) a gate takes the place of α/r.
 */
export const loraFields = z.strictObject({
  architecture: z.literal('lora').default('lora'),
  selfattn_lora: z.boolean().default(true),
  intermediate_lora: z.boolean().default(false),
  output_lora: z.boolean().default(false),
  leave_out: z.array(z.number().int().nonnegative()).default([]),
  r: z.number().int().positive().default(8),
  alpha: z.number().positive().default(8),
  dropout: z.number().min(0).lt(1).default(0),
  attn_matrices: z.array(z.enum(['q', 'k', 'v', 'o'])).default(['q', 'v']),
  composition_mode: z.literal('add').default('add'),
  init_weights: z.enum(['lora', 'bert']).default('lora'),
  init_weights_seed: z.number().int().nullable().default(null),
  use_gating: z.boolean().default(false),
  use_dora: z.literal(false).default(false),
  vera_d: z.null().default(null),
  vera_b: z.null().default(null),
  dtype: z.string().nullable().default(null),
});

type LoraConfig = z.infer<typeof loraFields>;
type Placing = Pick<LoraConfig, 'selfattn_lora' | 'attn_matrices' | 'intermediate_lora' | 'output_lora' | 'leave_out'>;

/** What a configuration without any linear is told. */
export const SOME_LINEAR = 'some linear to adapt: selfattn_lora, intermediate_lora or output_lora';

const schema = loraFields.refine((config) => loraLinears(config).length > 0, SOME_LINEAR);

export const LORA: Method<LoraConfig> = {
  name: 'low-rank',
  summary: 'a low-rank update beside chosen linears; can be merged into the weights',
  paper: 'Hu et al. 2022',
  architecture: 'lora',
  schema,
  presets: { lora: {} },
  floatKeys: ['dropout', 'vera_d', 'vera_b'],
  trainsEncoder: false,
  learningRate: 1e-3,
  mixesTokens: (config) => config.use_gating,
  // `adapters` never wraps the attention's output; PEFT knows no gates.
  layouts: (config) =>
    loraLinears(config).includes('attentionOutput') ? ['peft'] : config.use_gating ? ['adapters'] : ['adapters', 'peft'],
  parameters: (config, context) =>
    modules(context.encoder, config.leave_out).flatMap((module) =>
      loraLinears(config).flatMap((name) => loraParametersAt(config, context, name, module)),
    ),
  graft(config, context, parameters, dropout): Graft {
    return {
      linear(site) {
        const { name, layer, module, x, y, ...rows } = site;
        if (!adaptsLinear(config, site)) return y;
        const own = resolver(config, context, parameters, site);
        const dropped = dropout(x, config.dropout, `layer.${layer}.${name}.${context.name}`);
        const low = matmul(dropped, own('lora_A'), { transB: true });
        if (!config.use_gating) return add(y, matmul(low, own('lora_B'), { transB: true, alpha: config.alpha / config.r }));
        const gate = sequenceGate(x, own('gate.weight'), own('gate.bias'), rows);
        return add(y, perSequence(matmul(low, own('lora_B'), { transB: true }), gate, rows));
      },
    };
  },
  // A gate averages over tokens, so a gated update is no product of low rank.
  linears: (config) => (config.use_gating ? [] : loraLinears(config)),
  lowRankAt(config, context, parameters, dropout, site) {
    const { name, layer, x } = site;
    if (!adaptsLinear(config, site)) return undefined;
    const own = resolver(config, context, parameters, site);
    const [down, up] = [own('lora_A'), own('lora_B')];
    return {
      input: dropout(x, config.dropout, `layer.${layer}.${name}.${context.name}`),
      down,
      downBias: expand(scalar(0), [config.r]),
      activation: 'linear',
      up: mul(up, scalar(config.alpha / config.r)),
      upBias: expand(scalar(0), [up.shape[0] as number]),
    };
  },
};

/** Whether a configuration adapts the linear at a site. */
export function adaptsLinear(config: Placing, { name, module }: LinearSite): boolean {
  return loraLinears(config).includes(name) && !config.leave_out.includes(module);
}

/** A parameter at one linear by the end of its name. */
function resolver(
  config: LoraConfig,
  context: MethodContext,
  parameters: Parameters,
  { name, module }: LinearSite,
): (tail: string) => Value {
  const specs = loraParametersAt(config, context, name, module);
  return (tail) => {
    const spec = specs.find((one) => one.name.endsWith(`.${tail}`)) as ParameterSpec;
    return parameters(spec.name, spec.shape);
  };
}

const ATTENTION: Readonly<Record<LoraConfig['attn_matrices'][number], LinearName>> = {
  q: 'query',
  k: 'key',
  v: 'value',
  o: 'attentionOutput',
};

/** The adapted linears. `o`, the attention's output, has no form in `adapters`; PEFT has it. */
export function loraLinears(config: Omit<Placing, 'leave_out'>): LinearName[] {
  return [
    ...(config.selfattn_lora ? config.attn_matrices.map((letter) => ATTENTION[letter]) : []),
    ...(config.intermediate_lora ? (['intermediate'] as const) : []),
    ...(config.output_lora ? (['output'] as const) : []),
  ];
}

/** A, B and the gate at one linear of one layer. */
export function loraParametersAt(
  { r, init_weights, use_gating }: Pick<LoraConfig, 'r' | 'init_weights' | 'use_gating'>,
  context: MethodContext,
  name: LinearName,
  module: number,
): ParameterSpec[] {
  const { hidden, intermediate } = context.encoder;
  const fanIn = name === 'output' ? intermediate : hidden;
  const out = name === 'intermediate' ? intermediate : hidden;
  const path = loraPath(context, name, module);
  return [
    { name: `${path}.lora_A`, shape: [r, fanIn], init: init_weights === 'bert' ? NORMAL : { kind: 'fan-in-uniform', fanIn }, decay: true },
    { name: `${path}.lora_B`, shape: [out, r], init: init_weights === 'bert' ? NORMAL : ZERO, decay: true },
    ...(use_gating
      ? [
          { name: `${path}.gate.weight`, shape: [1, fanIn], init: NORMAL, decay: true },
          { name: `${path}.gate.bias`, shape: [1], init: ZERO, decay: false },
        ]
      : []),
  ];
}
