import { z } from 'zod';
import { fail } from '../base/index.ts';
import { matmul, reshape, transpose, type Value } from '../graph/index.ts';
import { type Initializer, type ParameterSpec, ZERO } from '../nn/index.ts';
import { bottleneckActs, bottleneckParameters } from './bottleneck.ts';
import { bottleneckFields, checkedTogether, DOUBLE, SEQUENTIAL } from './bottleneck-config.ts';
import { type BottleneckLinear, bottleneckWidth, type LinearForm } from './bottleneck-linears.ts';
import type { MethodContext } from './context.ts';
import { type Method, type ReadParameter, sharedPath } from './method.ts';
import { gateNotes } from './per-sequence.ts';

const fields = bottleneckFields.extend({
  phm_layer: z.literal(true),
  inv_adapter: z.null("null: PHM layers don't stand beside an invertible adapter").default(null),
  init_weights: z.literal('bert', "'bert': PHM layers have first values of their own").default('bert'),
});

type CompacterConfig = z.infer<typeof fields>;

const HYPERCOMPLEX = { phm_layer: true, reduction_factor: 32, non_linearity: 'gelu' };

/**
 * Compacter (Mahabadi et al. 2021): bottlenecks whose two linears are sums of Kronecker products of small matrices, as in the
 * parametrised hypercomplex multiplication of Zhang et al. 2021. With n = `phm_dim`, from k numbers to m,
 *
 *   y = x·H + b      H = Σ_i A_i ⊗ B_i      B_i = u_i·v_i      (their equations 4 and 5)
 *
 * A_i [n, n] are the same in all layers where `shared_phm_rule`; B_i is [k/n, m/n], of u_i [k/n, phm_rank] and v_i [phm_rank, m/n].
 */
export const COMPACTER: Method<CompacterConfig> = {
  name: 'hypercomplex bottleneck',
  summary: 'bottlenecks whose linears are sums of Kronecker products, of matrices that layers share and others of low rank',
  paper: 'Mahabadi et al. 2021',
  architecture: null,
  claims: ({ phm_layer }) => phm_layer === true,
  schema: checkedTogether(fields)
    .refine((config) => !config.shared_W_phm || config.factorized_phm_W, 'shared_W_phm needs factorized_phm_W: without it Python fails too')
    .refine(
      (config) => !config.shared_W_phm || typeof config.reduction_factor === 'number',
      'shared_W_phm needs one reduction_factor for all layers',
    ),
  presets: { compacter: { ...DOUBLE, ...HYPERCOMPLEX }, 'compacter++': { ...SEQUENTIAL, ...HYPERCOMPLEX } },
  floatKeys: ['scaling', 'dropout', 'stochastic_depth', 'phm_init_range'],
  learningRate: 1e-3,
  mixesTokens: (config) => config.use_gating,
  notes: gateNotes,
  parameters: (config, context) => [...sharedParameters(config, context), ...bottleneckParameters(config, context, HYPERCOMPLEX_FORM)],
  acts: (config, context, read, dropout) => bottleneckActs(config, context, read, dropout, HYPERCOMPLEX_FORM),
};

const HYPERCOMPLEX_FORM: LinearForm<CompacterConfig> = {
  parameters(linear, config, context) {
    checkDivisible(linear, config, context);
    const { path, out } = linear;
    return [
      ...(config.shared_phm_rule ? [] : ruleParameters(path, config)),
      ...(config.shared_W_phm ? [] : factors(`${path}.W`, linear, config)),
      ...(config.phm_bias ? [{ name: `${path}.b`, shape: [out], init: ZERO, decay: false }] : []),
    ];
  },
  values(linear, config, context, read) {
    const { path, position, fanIn, out } = linear;
    const shared = sharedPath(context);
    const rule = productOf(`${config.shared_phm_rule ? shared : path}.phm_rule`, config.factorized_phm_rule, read);
    const small = productOf(config.shared_W_phm ? `${shared}.W_${position}` : `${path}.W`, config.factorized_phm_W, read);
    const weight = kroneckerSum(rule, small, fanIn, out);
    return { weight, bias: config.phm_bias ? read(`${path}.b`) : undefined };
  },
};

/** (Σ_i A_i ⊗ B_i)ᵀ [m, k] of A [n, n, n] and B [n, k/n, m/n], i first: block (a, b) of the sum is Σ_i A_i[a, b]·B_i. */
function kroneckerSum(rule: Value, small: Value, k: number, m: number): Value {
  const n = rule.shape[0] as number;
  const blocks = matmul(reshape(rule, [n, n * n]), reshape(small, [n, (k / n) * (m / n)]), { transA: true });
  return reshape(transpose(reshape(blocks, [n, n, k / n, m / n]), [1, 3, 0, 2]), [m, k]);
}

/** A tensor, or the product of the two that it is kept as. */
function productOf(path: string, factorized: boolean, read: ReadParameter): Value {
  return factorized ? matmul(read(`${path}_left`), read(`${path}_right`)) : read(path);
}

function sharedParameters(config: CompacterConfig, context: MethodContext): ParameterSpec[] {
  const path = sharedPath(context);
  const d = context.encoder.hidden;
  const r = bottleneckWidth(config, d, 0);
  return [
    ...(config.shared_W_phm
      ? [...factors(`${path}.W_down`, { fanIn: d, out: r }, config), ...factors(`${path}.W_up`, { fanIn: r, out: d }, config)]
      : []),
    ...(config.shared_phm_rule ? ruleParameters(path, config) : []),
  ];
}

/** B as one tensor or its two factors; each matrix begins Xavier-normal, whatever `hypercomplex_nonlinearity` says, as in Python. */
function factors(path: string, { fanIn, out }: Pick<BottleneckLinear, 'fanIn' | 'out'>, config: CompacterConfig): ParameterSpec[] {
  const { phm_dim: n, phm_rank: rank, factorized_phm_W: factorized } = config;
  const part = (name: string, rows: number, columns: number): ParameterSpec => {
    const init: Initializer = { kind: 'normal', deviation: Math.sqrt(2 / (rows + columns)) };
    return { name, shape: [n, rows, columns], init, decay: true };
  };
  return factorized ? [part(`${path}_left`, fanIn / n, rank), part(`${path}_right`, rank, out / n)] : [part(path, fanIn / n, out / n)];
}

/** A, or its two factors. Python's ranges: those of `phm_init_range` and ±1 where layers share A, 0.01 where each has its own. */
function ruleParameters(path: string, config: CompacterConfig): ParameterSpec[] {
  const { phm_dim: n, phm_c_init: kind, shared_phm_rule: shared } = config;
  const uniform = (limit: number): Initializer => ({ kind: 'fan-in-uniform', fanIn: 1 / limit ** 2 });
  const init: Initializer =
    kind === 'uniform' ? uniform(shared ? 1 : 0.01) : { kind: 'normal', deviation: shared ? config.phm_init_range : 0.01 };
  const part = (name: string, shape: readonly number[]): ParameterSpec => ({
    ...{ name: `${path}.${name}`, shape, init, decay: true },
    ...(!config.learn_phm && { trains: false }),
  });
  return config.factorized_phm_rule ? [part('phm_rule_left', [n, n, 1]), part('phm_rule_right', [n, 1, n])] : [part('phm_rule', [n, n, n])];
}

/** @throws method.config for widths that don't fall into `phm_dim` parts */
function checkDivisible({ fanIn, out }: BottleneckLinear, { phm_dim: n }: CompacterConfig, { name }: MethodContext): void {
  if (fanIn % n === 0 && out % n === 0) return;
  fail({
    code: 'method.config',
    subject: `adapter '${name}': key 'phm_dim'`,
    found: `${n}, for a linear from ${fanIn} numbers to ${out}`,
    expected: 'a number by which both can be divided',
    next: 'Set another reduction_factor.',
  });
}
