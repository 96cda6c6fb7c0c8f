import { z } from 'zod';
import { expectationIn, fail, nearest, shown } from '../base/index.ts';
import { add, constant, gemm, matmul, mul, reduceSum, reshape, scalar, softmax, sub, type Value } from '../graph/index.ts';
import { type Initializer, NORMAL, type ParameterSpec, ZERO } from '../nn/index.ts';
import { concatenated, type LowRank } from './low-rank.ts';

/**
 * AdapterFusion (Pfeiffer et al. 2021, eq. 4–6). Per token, over the contributions u_a of n adapters, q being what they read:
 *
 *   s_a = (W_q q + b_q) · (W_k u_a + b_k)      α = softmax(drop(s) / T)      c = W_v Σ_a α_a u_a
 *
 * Every u_a is a product of low rank, u_a = U_a d_a + b_a, so keys and values are never formed per adapter:
 *
 *   t = W_kᵀ(W_q q + b_q)      s_a = (U_aᵀ t)·d_a + t·b_a + (W_q q + b_q)·b_k      Σ_a α_a u_a = [U_1 … U_n][α_a d_a] + Σ_a α_a b_a
 *
 * which is 3·d² + 3·n·d·r multiplications per token in place of (2n + 1)·d² + 2·n·d·r. The same numbers but for rounding.
 */
const schema = z.strictObject({
  key: z.boolean(),
  query: z.boolean(),
  value: z.boolean(),
  query_before_ln: z.boolean(),
  regularization: z.boolean(),
  residual_before: z.boolean(),
  temperature: z.boolean(),
  value_before_softmax: z.boolean(),
  value_initialized: z.boolean(),
  dropout_prob: z.number().min(0).lt(1).nullable(),
});

export type FusionConfig = z.infer<typeof schema>;

const DYNAMIC: FusionConfig = {
  key: true,
  query: true,
  value: true,
  query_before_ln: false,
  regularization: true,
  residual_before: false,
  temperature: false,
  value_before_softmax: true,
  value_initialized: true,
  dropout_prob: null,
};

/** Ready configurations by their names in the Python library. */
export const FUSION_PRESETS: Readonly<Record<string, FusionConfig>> = {
  dynamic: DYNAMIC,
  static: { ...DYNAMIC, value: false, regularization: false, value_initialized: false },
};

/** A preset, or a configuration; fields left out are those of `dynamic`. @throws method.config */
export function fusionConfig(config: string | Readonly<Record<string, unknown>> = 'dynamic', subject = 'fusion'): FusionConfig {
  const names = Object.keys(FUSION_PRESETS);
  if (typeof config === 'string') {
    const near = nearest(config, names);
    const next = near === undefined ? {} : { next: `Did you mean '${near}'?` };
    return (
      (Object.hasOwn(FUSION_PRESETS, config) ? FUSION_PRESETS[config] : undefined) ??
      fail({ code: 'method.config', subject, found: shown(config), expected: names.join(' or '), ...next })
    );
  }
  const result = schema.safeParse({ ...DYNAMIC, ...config });
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const key = issue?.code === 'unrecognized_keys' ? (issue.keys[0] as string) : String(issue?.path[0] ?? '');
  return fail({
    code: 'method.config',
    subject: `${subject}: key '${key}'`,
    found: issue?.code === 'unrecognized_keys' ? 'no such key' : shown(config[key]),
    expected: issue?.code === 'unrecognized_keys' || !issue ? Object.keys(schema.shape).join(', ') : expectationIn(issue.message),
  });
}

/** The parameters of one fusion at one site, under `path`; d is the width of the site. */
export function fusionParameters(config: FusionConfig, path: string, d: number): ParameterSpec[] {
  const linear = (name: string, withBias: boolean, init: Initializer): ParameterSpec[] => [
    { name: `${path}.${name}.weight`, shape: [d, d], init, decay: true },
    ...(withBias ? [{ name: `${path}.${name}.bias`, shape: [d], init: ZERO, decay: false }] : []),
  ];
  // With none of the three Python still makes a linear that nothing reads, and expects it in the file.
  if (!config.query && !config.key && !config.value) return [];
  return [
    ...(config.query ? linear('query', true, NORMAL) : []),
    ...(config.key ? linear('key', true, NORMAL) : []),
    ...(config.value ? linear('value', false, config.value_initialized ? { kind: 'near-identity', off: 1e-6 } : NORMAL) : []),
  ];
}

function identity(d: number): Value {
  const data = new Float32Array(d * d);
  for (let i = 0; i < d; i++) data[i * (d + 1)] = 1;
  return constant({ dtype: 'float32', shape: [d, d], data });
}

export interface FusionInputs {
  readonly config: FusionConfig;
  /** A parameter of this fusion by its tail: `query.weight`. */
  readonly parameter: (tail: string) => Value;
  /** [rows, d] */
  readonly query: Value;
  readonly residual: Value;
  readonly parts: readonly LowRank[];
  readonly dropout: (scores: Value) => Value;
  /** [n]: added to the scores, to leave parts out. */
  readonly mask?: Value;
  /** 1/T: a scalar; 1 where absent. */
  readonly sharpness?: Value;
}

/** The mixture with its residual [rows, d], and the attention α [rows, n] in the order of the parts. */
export function drawFusion({ config, parameter, query, residual, parts, dropout, mask, sharpness }: FusionInputs): {
  readonly output: Value;
  readonly attention: Value;
} {
  const { ups, biases, keep, sums, weighted, inOrder, inColumns } = concatenated(parts);
  const d = query.shape.at(-1) as number;
  const asked = config.query ? gemm(query, parameter('query.weight'), parameter('query.bias'), { transB: true }) : query;
  const t = config.key ? matmul(asked, parameter('key.weight')) : asked;

  let scores = add(sums(matmul(t, ups)), matmul(t, biases, { transB: true }));
  if (keep) scores = mul(scores, keep);
  // Equal for all adapters: it matters only to the dropout below, which is applied to scores.
  if (config.residual_before) scores = add(scores, reduceSum(mul(t, residual), [1]));
  if (config.key) scores = add(scores, matmul(asked, reshape(parameter('key.bias'), [d, 1])));
  const dropped = dropout(scores);
  const sharp = sharpness ? mul(dropped, sharpness) : dropped;
  const attention = softmax(mask ? add(sharp, inColumns(mask)) : sharp);

  const weights = keep ? mul(attention, keep) : attention;
  let mixture = add(matmul(weighted(weights), ups, { transB: true }), matmul(weights, biases));
  if (config.residual_before) mixture = add(mixture, residual);
  const valued = config.value ? matmul(mixture, parameter('value.weight'), { transB: true }) : mixture;
  return { output: config.residual_before ? valued : add(valued, residual), attention: inOrder(attention) };
}

/** Σ ‖I − W_v‖² / 100, which keeps the value matrix near the identity (Pfeiffer et al. 2021, section 3.2): a scalar. */
export function valueRegularizer(values: readonly Value[]): Value | undefined {
  const eye = values[0] && identity(values[0].shape[0] as number);
  const terms = values.map((value) => {
    const difference = sub(value, eye as Value);
    return reshape(reduceSum(mul(difference, difference), [0, 1]), []);
  });
  const [first, ...rest] = terms;
  return first && mul(rest.reduce(add, first), scalar(0.01));
}
