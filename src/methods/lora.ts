import { z } from 'zod';
import { fail } from '../base/index.ts';
import type { LinearName, LinearSite } from '../encoders/index.ts';
import { add, type Value } from '../graph/index.ts';
import { type Dropout, NORMAL, type ParameterSpec, ZERO } from '../nn/index.ts';
import type { Act, Opened } from './act.ts';
import type { MethodContext } from './context.ts';
import {
  actsAtLinears,
  atLinears,
  dropoutPlace,
  LINEAR_KEYS,
  linearFields,
  linearShape,
  namesLinears,
  type Placing,
  pathIn,
  placedAsInAdapters,
  SOME_LINEAR,
} from './linears.ts';
import { LORA_PEFT } from './lora-peft.ts';
import { type LowRank, product } from './low-rank.ts';
import { loraPath, type Method, type ReadParameter } from './method.ts';
import { type GateConfig, gateFields, gateNotes, gateParameters, perSequence, sequenceGate } from './per-sequence.ts';
import { checkPatterns, RANK_KEYS, type Ranked, rankAt, rankFields, ranksAlike, scaleAt } from './ranks.ts';

/** The keys of all methods whose modules stand inside linears; Python's LoRA, (IA)³, DoRA and VeRA write the same ones. */
export const loraFields = z.strictObject({
  architecture: z.literal('lora').default('lora'),
  selfattn_lora: z.boolean().default(true),
  intermediate_lora: z.boolean().default(false),
  output_lora: z.boolean().default(false),
  ...linearFields,
  r: z.number().int().positive().default(8),
  alpha: z.number().positive().default(8),
  ...rankFields,
  dropout: z.number().min(0).lt(1).default(0),
  attn_matrices: z.array(z.enum(['q', 'k', 'v', 'o'])).default(['q', 'v']),
  composition_mode: z.enum(['add', 'scale']).default('add'),
  init_weights: z.enum(['lora', 'bert', 'ia3', 'vera']).default('lora'),
  init_weights_seed: z.number().int().nullable().default(null),
  ...gateFields,
  use_dora: z.boolean().default(false),
  vera_d: z.number().nullable().default(null),
  vera_b: z.number().nullable().default(null),
  dtype: z.string().nullable().default(null),
});

/** Keys of {@link loraFields} that Python reads as floats. */
export const LORA_FLOATS = ['dropout', 'vera_d', 'vera_b'];

/** Keys of {@link loraFields} that `adapters` does not know. */
export const LORA_KEYS = [...LINEAR_KEYS, ...RANK_KEYS];

/** Of {@link loraFields}, with the values that make it plain LoRA: one update that is added. */
export const plainLoraFields = loraFields.extend({
  composition_mode: z.literal('add').default('add'),
  init_weights: z.enum(['lora', 'bert']).default('lora'),
  use_dora: z.literal(false).default(false),
  vera_d: z.null().default(null),
  vera_b: z.null().default(null),
});

type LoraConfig = z.infer<typeof plainLoraFields>;

/**
 * LoRA (Hu et al. 2022): y = W x + b + (α/r)·B A drop(x), at any linear.
 * A [r, in] starts Kaiming-uniform, B [out, r] at zero. With `use_gating` (UniPELT) a gate takes the place of α/r.
 * After another update d, as in a stack of Python's, it reads d in place of x and takes its place: y = W x + b + (α/r)·B A d.
 */
export const LORA: Method<LoraConfig> = {
  name: 'low-rank',
  summary: 'a low-rank update beside chosen linears; can be merged into the weights',
  paper: 'Hu et al. 2022',
  architecture: 'lora',
  schema: plainLoraFields.refine(namesLinears, SOME_LINEAR),
  presets: { lora: {} },
  floatKeys: LORA_FLOATS,
  ownKeys: LORA_KEYS,
  learningRate: 1e-3,
  mixesTokens: (config) => config.use_gating,
  notes: gateNotes,
  // PEFT knows no gates.
  layouts: (config) => [...(asInAdapters(config) ? (['adapters'] as const) : []), ...(config.use_gating ? [] : (['peft'] as const))],
  peft: LORA_PEFT,
  parameters(config, context) {
    checkPatterns(config, context);
    return atLinears(config, context, (linear, module) => loraParametersAt(config, context, linear, module));
  },
  acts: (config, context, read, dropout) =>
    actsAtLinears(config, context, (site) => {
      const path = loraPath(context, site.name, site.module);
      return updateAct(config, context, read, dropout, site, () => ({ down: read(`${path}.lora_A`), up: read(`${path}.lora_B`) }));
    }),
};

/** Whether the layout of `adapters` has a place for all that a configuration of LoRA's keys sets. */
export function asInAdapters(config: Placing & Ranked): boolean {
  return placedAsInAdapters(config) && ranksAlike(config);
}

/** How an update of low rank is scaled and gated. */
type UpdateConfig = Ranked & Pick<LoraConfig, 'dropout'> & GateConfig;

/** y + s·up·down·drop(x) at a linear, with down [r, in], up [out, r] and s = α/r; a gate takes the place of s, a state that of x. */
export function updateAct(
  config: UpdateConfig,
  context: MethodContext,
  read: ReadParameter,
  dropout: Dropout,
  site: LinearSite,
  halves: () => Pick<LowRank, 'down' | 'up'>,
): Act<'linear'> {
  const { x, y, name } = site;
  const { dropout: p, use_gating: gated } = config;
  const scale = gated ? 1 : scaleAt(config, pathIn(context, name, site.module));
  const lowRank = (state = x): LowRank => {
    checkWidths(state, x, name, context);
    const input = dropout(state, p, dropoutPlace(site, context));
    return { input, ...halves(), scale };
  };
  const close: Act<'linear'>['close'] = (update) => (update ? add(y, update) : y);
  // A gate averages over tokens, so a gated update is no product of low rank.
  if (gated) {
    const gate = linearGate(config, context, read, site);
    return { apply: (state) => perSequence(product(lowRank(state)), gate, site), close };
  }
  const open: Opened<'linear'> = { read: (state) => ({ query: y, queryBeforeNorm: y, residual: y, state }), lowRank };
  return { apply: (state) => product(lowRank(state)), close, open };
}

/** The gate of a linear, which reads what the linear reads: [batch, 1, 1]. */
export function linearGate(config: GateConfig, context: MethodContext, read: ReadParameter, site: LinearSite): Value {
  const path = loraPath(context, site.name, site.module);
  return sequenceGate(site.x, [read(`${path}.gate.weight`), read(`${path}.gate.bias`)], config, site, site, context, site.name);
}

/** @throws method.config for an update of another width than the linear's input: it came from an adapter before */
function checkWidths(state: Value, x: Value, linear: LinearName, { name }: MethodContext): void {
  if (state.shape.at(-1) !== x.shape.at(-1))
    fail({
      code: 'method.config',
      subject: `adapter '${name}'`,
      found: `an update of ${state.shape.at(-1)} numbers before it at '${linear}', which reads ${x.shape.at(-1)}`,
      expected: 'stacked updates at linears that are as wide as their input',
    });
}

/** A, B and the gate at one linear. */
export function loraParametersAt(
  { init_weights, use_gating, ...ranks }: Ranked & Pick<LoraConfig, 'init_weights' | 'use_gating'>,
  context: MethodContext,
  linear: LinearName,
  module: number | undefined,
): ParameterSpec[] {
  const { fanIn, out } = linearShape(context, linear);
  const r = rankAt(ranks, pathIn(context, linear, module));
  const path = loraPath(context, linear, module);
  return [
    { name: `${path}.lora_A`, shape: [r, fanIn], init: init_weights === 'bert' ? NORMAL : { kind: 'fan-in-uniform', fanIn }, decay: true },
    { name: `${path}.lora_B`, shape: [out, r], init: init_weights === 'bert' ? NORMAL : ZERO, decay: true },
    ...(use_gating ? gateParameters(path, fanIn) : []),
  ];
}
