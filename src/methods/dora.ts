import { z } from 'zod';
import { actsAtLinears, atLinears, namesLinears, SOME_LINEAR } from './linears.ts';
import { asInAdapters, LORA_FLOATS, LORA_KEYS, loraParametersAt, plainLoraFields, updateAct } from './lora.ts';
import { magnitudeParameter, withMagnitude } from './magnitude.ts';
import { loraPath, type Method } from './method.ts';
import { gateNotes } from './per-sequence.ts';
import { checkPatterns } from './ranks.ts';

const fields = plainLoraFields.extend({
  attn_matrices: z.array(z.enum(['q', 'k', 'v'])).default(['q', 'v']),
  use_dora: z.literal(true),
});

type DoraConfig = z.infer<typeof fields>;

/**
 * DoRA (Liu et al. 2024): LoRA with the length of each row of the weight apart, at any of a layer's linears that `adapters` adapts,
 *
 *   y = m / ‖W + B A‖ ⊙ (W x + b + (α/r)·B A drop(x))
 *
 * m [out, 1] starts as the norms of W's rows; see {@link magnitudeParameter}. A, B and gates are as in LoRA.
 */
export const DORA: Method<DoraConfig> = {
  name: 'weight-decomposed low-rank',
  summary: 'a low-rank update beside chosen linears, with a trained length for each row of the weight',
  paper: 'Liu et al. 2024',
  architecture: 'lora',
  claims: (config) => config.use_dora === true && config.vera_d == null && config.vera_b == null,
  schema: fields.refine(namesLinears, SOME_LINEAR),
  presets: { dora: { use_dora: true } },
  layouts: (config) => (asInAdapters(config) ? ['adapters'] : []),
  floatKeys: LORA_FLOATS,
  ownKeys: LORA_KEYS,
  learningRate: 1e-3,
  mixesTokens: (config) => config.use_gating,
  notes: gateNotes,
  parameters(config, context) {
    checkPatterns(config, context);
    return atLinears(config, context, (linear, module) => [
      ...loraParametersAt(config, context, linear, module),
      magnitudeParameter(context, linear, module),
    ]);
  },
  acts: (config, context, read, dropout) =>
    actsAtLinears(config, context, (site) => {
      const path = loraPath(context, site.name, site.module);
      const halves = () => ({ down: read(`${path}.lora_A`), up: read(`${path}.lora_B`) });
      return withMagnitude(updateAct(config, context, read, dropout, site, halves), halves, context, read, site);
    }),
};
