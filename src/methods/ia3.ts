import { z } from 'zod';
import { expand, mul, reshape, scalar } from '../graph/index.ts';
import { type Initializer, NORMAL, ONE, ZERO } from '../nn/index.ts';
import { actsAtLinears, atLinears, linearShape, namesLinears, SOME_LINEAR } from './linears.ts';
import { asInAdapters, LORA_FLOATS, LORA_KEYS, linearGate, plainLoraFields } from './lora.ts';
import { loraPath, type Method } from './method.ts';
import { gateNotes, gateParameters, perSequence } from './per-sequence.ts';
import { noRankFields } from './ranks.ts';

const fields = plainLoraFields.extend({
  ...noRankFields,
  r: z.literal(1),
  dropout: z.literal(0).default(0),
  attn_matrices: z.array(z.enum(['q', 'k', 'v'])).default(['q', 'v']),
  composition_mode: z.literal('scale'),
  init_weights: z.enum(['ia3', 'lora', 'bert']).default('lora'),
});

type Ia3Config = z.infer<typeof fields>;

const INITIALIZERS: Readonly<Record<Ia3Config['init_weights'], Initializer>> = { ia3: ONE, bert: NORMAL, lora: ZERO };

/**
 * (IA)³ (Liu et al. 2022), at any of a layer's linears that `adapters` adapts:
 *
 *   y = α · l ⊙ (W x + b)
 *
 * l [out] starts at one. With `use_gating` a gate takes the place of α. In a stack vectors are multiplied, in an average averaged.
 */
export const IA3: Method<Ia3Config> = {
  name: 'rescaling',
  summary: 'a trained factor for each number that chosen linears give',
  paper: 'Liu et al. 2022',
  architecture: 'lora',
  claims: (config) => config.composition_mode === 'scale',
  schema: fields.refine(namesLinears, SOME_LINEAR),
  presets: {
    ia3: { r: 1, alpha: 1, attn_matrices: ['k', 'v'], intermediate_lora: true, composition_mode: 'scale', init_weights: 'ia3' },
  },
  layouts: (config) => (asInAdapters(config) ? ['adapters'] : []),
  floatKeys: LORA_FLOATS,
  ownKeys: LORA_KEYS,
  learningRate: 1e-2,
  mixesTokens: (config) => config.use_gating,
  notes: gateNotes,
  parameters: (config, context) =>
    atLinears(config, context, (linear, module) => {
      const { fanIn, out } = linearShape(context, linear);
      const path = loraPath(context, linear, module);
      return [
        { name: `${path}.lora_B`, shape: [out, 1], init: INITIALIZERS[config.init_weights], decay: true },
        ...(config.use_gating ? gateParameters(path, fanIn) : []),
      ];
    }),
  acts: (config, context, read) =>
    actsAtLinears(config, context, (site) => {
      const { y, name, module } = site;
      const vector = reshape(read(`${loraPath(context, name, module)}.lora_B`), [y.shape.at(-1) as number]);
      const scaled = config.use_gating ? vector : mul(vector, scalar(config.alpha));
      return {
        apply(state) {
          const factors = state ? mul(state, scaled) : expand(scaled, y.shape);
          return config.use_gating ? perSequence(factors, linearGate(config, context, read, site), site) : factors;
        },
        close: (factors) => (factors ? mul(y, factors) : y),
      };
    }),
};
