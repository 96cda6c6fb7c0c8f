import { z } from 'zod';
import { isActivation } from '../nn/index.ts';
import { gateFields } from './per-sequence.ts';

/** The keys of all methods with a module between two small linears after a sub-block; Python's invertible adapters write the same ones. */
export const bottleneckFields = z.strictObject({
  mh_adapter: z.boolean(),
  output_adapter: z.boolean(),
  cross_adapter: z.boolean().default(false),
  reduction_factor: z.union([z.number().positive(), z.record(z.string(), z.number().positive())]),
  non_linearity: z.string().refine(isActivation, 'the name of an activation function'),
  original_ln_before: z.boolean().default(false),
  original_ln_after: z.boolean().default(true),
  ln_before: z.boolean().default(false),
  ln_after: z.boolean().default(false),
  residual_before_ln: z.union([z.boolean(), z.literal('post_add')]).default(true),
  adapter_residual_before_ln: z.boolean().default(false),
  init_weights: z.enum(['bert', 'mam_adapter', 'houlsby']).default('bert'),
  init_weights_seed: z.number().int().nullable().default(null),
  is_parallel: z.boolean().default(false),
  scaling: z.union([z.number(), z.enum(['learned', 'channel'])]).default(1),
  ...gateFields,
  leave_out: z.array(z.number().int().nonnegative()).default([]),
  dropout: z.number().min(0).lt(1).default(0),
  stochastic_depth: z.number().min(0).lt(1).default(0),
  inv_adapter: z.string().nullable().default(null),
  inv_adapter_reduction_factor: z.number().nullable().default(null),
  phm_layer: z.boolean().default(false),
  phm_dim: z.number().int().positive().default(4),
  phm_rank: z.number().int().positive().default(1),
  phm_bias: z.boolean().default(true),
  factorized_phm_W: z.boolean().default(true),
  shared_W_phm: z.boolean().default(false),
  shared_phm_rule: z.boolean().default(true),
  factorized_phm_rule: z.boolean().default(false),
  learn_phm: z.boolean().default(true),
  phm_c_init: z.enum(['normal', 'uniform']).default('normal'),
  phm_init_range: z.number().positive().default(0.0001),
  hypercomplex_nonlinearity: z.enum(['phm', 'glorot-normal', 'glorot-uniform', 'normal']).default('glorot-uniform'),
});

export type BottleneckConfig = z.infer<typeof bottleneckFields>;

/** For what has plain linears alone. */
export const NO_PHM = z.literal(false, 'false: linears of hypercomplex products are those of compacter and compacter++').default(false);

/** What no single key says. */
export function checkedTogether<
  S extends z.ZodType<
    Pick<BottleneckConfig, 'mh_adapter' | 'output_adapter' | 'inv_adapter' | 'residual_before_ln' | 'original_ln_before'>
  >,
>(fields: S): S {
  return fields
    .refine(
      (config) => config.mh_adapter || config.output_adapter || config.inv_adapter !== null,
      'mh_adapter and output_adapter are both false: the adapter would sit nowhere',
    )
    .refine(
      (config) => config.residual_before_ln !== 'post_add' || config.original_ln_before,
      "residual_before_ln 'post_add' needs original_ln_before",
    );
}

/** Ready configurations, as Python has them. */
export const SEQUENTIAL = {
  mh_adapter: false,
  output_adapter: true,
  original_ln_before: true,
  non_linearity: 'relu',
  reduction_factor: 16,
};
export const DOUBLE = { mh_adapter: true, output_adapter: true, non_linearity: 'swish', reduction_factor: 16 };
export const PARALLEL = {
  mh_adapter: false,
  output_adapter: true,
  is_parallel: true,
  non_linearity: 'relu',
  reduction_factor: 2,
  init_weights: 'mam_adapter',
  scaling: 4,
};
export const PLUS = {
  ...SEQUENTIAL,
  original_ln_after: false,
  residual_before_ln: false,
  non_linearity: 'gelu',
  reduction_factor: 96,
  scaling: 'channel',
  init_weights: 'houlsby',
  stochastic_depth: 0.1,
};
