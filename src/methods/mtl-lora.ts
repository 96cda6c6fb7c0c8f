import { z } from 'zod';
import type { LinearName } from '../encoders/index.ts';
import { add, type Dim, matmul, mul, multiplyDims, reshape, scalar, softmax, transpose, type Value } from '../graph/index.ts';
import { ONE, type ParameterSpec } from '../nn/index.ts';
import type { MethodContext } from './context.ts';
import { actsAtLinears, atLinears, dropoutPlace, namesLinears, SOME_LINEAR } from './linears.ts';
import { LORA_FLOATS, loraParametersAt, plainLoraFields } from './lora.ts';
import { loraPath, type Method } from './method.ts';

/**
 * MTL-LoRA (Yang et al. 2024): for a sequence of task t, at any of a layer's linears that `adapters` adapts,
 *
 *   y = W x + b + (α/r) · Σ_i softmax_i(w_t/τ) · B_i Λ_t A drop(x)
 *
 * Tasks share A [r, in] and B [n, out, r]; Λ_t and w_t [n] are each task's own. Λ_t is diagonal, kept as [r], or a full matrix
 * [r, r] that rows are multiplied with from the right, as in Python (`linear`: the paper's, which `adapters` 1.3.0 cannot make).
 * A starts Kaiming-uniform, B at zero, Λ_t as the identity, w_t at one.
 */
const fields = plainLoraFields
  .omit({ linears: true, exclude_linears: true, rank_pattern: true, alpha_pattern: true, use_rslora: true })
  .extend({
    architecture: z.literal('mtl_lora').default('mtl_lora'),
    attn_matrices: z.array(z.enum(['q', 'k', 'v'])).default(['q', 'v']),
    use_gating: z.literal(false).default(false),
    n_up_projection: z.number().int().positive().default(1),
    task_specific_matrix_type: z.enum(['singular_values', 'linear']).default('singular_values'),
    weights_sharpness: z.number().positive().default(0.05),
  });

type MtlLoraConfig = z.infer<typeof fields>;

const schema = fields.refine(namesLinears, SOME_LINEAR);

export const MTL_LORA: Method<MtlLoraConfig> = {
  name: 'multi-task low-rank',
  summary: 'low-rank updates that tasks share, with a small matrix and weights of several up-projections for each task',
  paper: 'Yang et al. 2024',
  architecture: 'mtl_lora',
  schema,
  presets: { mtl_lora: {} },
  floatKeys: [...LORA_FLOATS, 'weights_sharpness'],
  learningRate: 1e-3,
  mixesTokens: () => false,
  parameters: (config, context) => atLinears(config, context, (linear, module) => parametersAt(config, context, linear, module)),
  acts: (config, context, read, dropout) =>
    actsAtLinears(config, context, (site) => {
      const { name, module, x, y, batch, length } = site;
      const { r, n_up_projection: n, alpha } = config;
      return {
        apply(state = x) {
          const [down, up, matrix, weights] = parametersAt(config, context, name, module).map((spec) => read(spec.name)) as [
            Value,
            Value,
            Value,
            Value,
          ];
          const low = matmul(dropout(state, config.dropout, dropoutPlace(site, context)), down, { transB: true });
          const turned = turn(reshape(low, [batch, length, r]), matrix);
          const shares = softmax(mul(weights, scalar(1 / config.weights_sharpness)));
          const mixed = mul(reshape(turned, [batch, length, 1, r]), reshape(shares, [shares.shape[0] as Dim, 1, n, 1]));
          const ups = reshape(transpose(up, [0, 2, 1]), [n * r, up.shape[1] as number]);
          return matmul(reshape(mixed, [multiplyDims(batch, length), n * r]), ups, { alpha: alpha / r });
        },
        close: (update) => (update ? add(y, update) : y),
      };
    }),
};

/** x [batch, length, r] · Λ, with Λ of each sequence, or of all: [batch or 1, r] on the diagonal, or [batch or 1, r, r]. */
function turn(x: Value, matrix: Value): Value {
  const [each, r] = matrix.shape as [Dim, number];
  return matrix.shape.length === 3 ? matmul(x, matrix) : mul(x, reshape(matrix, [each, 1, r]));
}

/** A, B, Λ and w at one linear of one layer. */
function parametersAt(config: MtlLoraConfig, context: MethodContext, linear: LinearName, module: number | undefined): ParameterSpec[] {
  const { r, n_up_projection: n } = config;
  const [down, up] = loraParametersAt(config, context, linear, module) as [ParameterSpec, ParameterSpec];
  const path = loraPath(context, linear, module);
  const matrix = `${path}.task_specific.values`;
  return [
    { ...down, shared: true },
    { ...up, shape: [n, ...up.shape], shared: true },
    config.task_specific_matrix_type === 'linear'
      ? { name: matrix, shape: [r, r], init: { kind: 'near-identity', off: 0 }, decay: true }
      : { name: matrix, shape: [r], init: ONE, decay: true },
    { name: `${path}.weights`, shape: [n], init: ONE, decay: true },
  ];
}
