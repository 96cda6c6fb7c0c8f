import { z } from 'zod';
import type { Act } from './act.ts';
import { adaptsLinear, atLinears, LORA_FLOATS, loraFields, loraLinears, loraParametersAt, SOME_LINEAR, updateAct } from './lora.ts';
import { magnitudeParameter, withMagnitude } from './magnitude.ts';
import { loraPath, type Method } from './method.ts';

const fields = loraFields.extend({
  attn_matrices: z.array(z.enum(['q', 'k', 'v'])).default(['q', 'v']),
  composition_mode: z.literal('add').default('add'),
  init_weights: z.enum(['lora', 'bert']).default('lora'),
  use_dora: z.literal(true),
  vera_d: z.null().default(null),
  vera_b: z.null().default(null),
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
  schema: fields.refine((config) => loraLinears(config).length > 0, SOME_LINEAR),
  presets: { dora: { use_dora: true } },
  floatKeys: LORA_FLOATS,
  trainsEncoder: false,
  learningRate: 1e-3,
  mixesTokens: (config) => config.use_gating,
  parameters: (config, context) =>
    atLinears(config, context, (linear, module) => [
      ...loraParametersAt(config, context, linear, module),
      magnitudeParameter(context, linear, module),
    ]),
  acts: (config, context, read, dropout) => ({
    linear(site): Act<'linear'> | undefined {
      if (!adaptsLinear(config, site)) return undefined;
      const path = loraPath(context, site.name, site.module);
      const halves = () => ({ down: read(`${path}.lora_A`), up: read(`${path}.lora_B`) });
      return withMagnitude(updateAct(config, context, read, dropout, site, halves), halves, context, read, site);
    },
  }),
};
