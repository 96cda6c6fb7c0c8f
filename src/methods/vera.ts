import { z } from 'zod';
import { fail } from '../base/index.ts';
import type { LinearName } from '../encoders/index.ts';
import { matmul } from '../graph/index.ts';
import { type Initializer, NORMAL, ONE, type ParameterSpec } from '../nn/index.ts';
import type { MethodContext } from './context.ts';
import { actsAtLinears, atLinears, linearShape, namesLinears, placedLinears, SOME_LINEAR } from './linears.ts';
import { asInAdapters, LORA_FLOATS, LORA_KEYS, loraFields, updateAct } from './lora.ts';
import { magnitudeParameter, withMagnitude } from './magnitude.ts';
import { loraPath, type Method, sharedPath } from './method.ts';
import { gateNotes, gateParameters } from './per-sequence.ts';
import { noRankFields } from './ranks.ts';

const fields = loraFields.extend({
  ...noRankFields,
  attn_matrices: z.array(z.enum(['q', 'k', 'v'])).default(['q', 'v']),
  composition_mode: z.literal('add').default('add'),
  init_weights: z.enum(['vera', 'bert', 'ia3'], "'vera', 'bert' or 'ia3': 'lora' would start the frozen B at zero, where it stays"),
  vera_d: z.number(),
  vera_b: z.number(),
});

type VeraConfig = z.infer<typeof fields>;

const PRESET = { init_weights: 'vera', vera_d: 0.1, vera_b: 0 };

/**
 * VeRA (Kopiczko et al. 2024), at linears of one shape that `adapters` adapts,
 *
 *   y = W x + b + (α/r) · V_B B V_D A drop(x)
 *
 * A [r, in] and B [out, r] are random, frozen, and the same at all linears of an adapter. V_D [r, r] and V_B [out, out] start as
 * diagonal matrices of `vera_d` and `vera_b`; the paper's stay diagonal, Python's `adapters` trains all of them. With `use_dora`
 * (DVoRA) the length of each row of the weight is trained too: see {@link magnitudeParameter}. Gates are as in LoRA.
 */
export const VERA: Method<VeraConfig> = {
  name: 'shared random low-rank',
  summary: 'a frozen random low-rank update for all chosen linears, between two small trained matrices for each',
  paper: 'Kopiczko et al. 2024; Liu et al. 2024',
  architecture: 'lora',
  claims: (config) => typeof config.vera_d === 'number' || typeof config.vera_b === 'number',
  schema: fields.refine(namesLinears, SOME_LINEAR),
  presets: { vera: PRESET, dvora: { ...PRESET, use_dora: true } },
  layouts: (config) => (asInAdapters(config) ? ['adapters'] : []),
  floatKeys: LORA_FLOATS,
  ownKeys: LORA_KEYS,
  learningRate: 1e-3,
  mixesTokens: (config) => config.use_gating,
  notes: gateNotes,
  parameters: (config, context) => [
    ...sharedParameters(config, context),
    ...atLinears(config, context, (linear, module) => {
      const { fanIn, out } = linearShape(context, linear);
      const path = loraPath(context, linear, module);
      return [
        { name: `${path}.vera_D`, shape: [config.r, config.r], init: diagonal(config.r, config.vera_d), decay: true },
        { name: `${path}.vera_B`, shape: [out, out], init: diagonal(out, config.vera_b), decay: true },
        ...(config.use_dora ? [magnitudeParameter(context, linear, module)] : []),
        ...(config.use_gating ? gateParameters(path, fanIn) : []),
      ];
    }),
  ],
  acts: (config, context, read, dropout) =>
    actsAtLinears(config, context, (site) => {
      const path = loraPath(context, site.name, site.module);
      const shared = sharedPath(context);
      const halves = () => ({
        down: matmul(read(`${path}.vera_D`), read(`${shared}.lora_A`)),
        up: matmul(read(`${path}.vera_B`), read(`${shared}.lora_B`)),
      });
      const act = updateAct(config, context, read, dropout, site, halves);
      return config.use_dora ? withMagnitude(act, halves, context, read, site) : act;
    }),
};

/** A and B. @throws method.config for linears of several shapes, between which no matrix can be shared */
function sharedParameters(config: VeraConfig, context: MethodContext): ParameterSpec[] {
  const linears = placedLinears(config, context).map(({ linear }) => linear);
  const [first] = linears as [LinearName];
  const { fanIn, out } = linearShape(context, first);
  const other = linears.find((linear) => linearShape(context, linear).fanIn !== fanIn || linearShape(context, linear).out !== out);
  if (other !== undefined)
    fail({
      code: 'method.config',
      subject: `${context.name}: the linears that share A and B`,
      found: `'${first}' [${out}, ${fanIn}] and '${other}' [${linearShape(context, other).out}, ${linearShape(context, other).fanIn}]`,
      expected: 'linears of one shape',
      next: 'Adapt those of attention, or one of intermediate_lora and output_lora alone.',
    });
  const path = sharedPath(context);
  return [
    { name: `${path}.lora_A`, shape: [config.r, fanIn], init: initializer(config, fanIn), decay: false, trains: false },
    { name: `${path}.lora_B`, shape: [out, config.r], init: initializer(config, config.r), decay: false, trains: false },
  ];
}

/** 'vera' is Kaiming-uniform with a = 0: U(±√(6/fanIn)). */
function initializer({ init_weights: kind }: VeraConfig, fanIn: number): Initializer {
  if (kind === 'vera') return { kind: 'fan-in-uniform', fanIn: fanIn / 6 };
  return kind === 'bert' ? NORMAL : ONE;
}

function diagonal(size: number, value: number): Initializer {
  return {
    kind: 'derived',
    reads: [],
    make: () => Float32Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? value : 0)),
  };
}
