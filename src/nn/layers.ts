import { type Dim, expand, gemm, layerNorm, matmul, reshape, scalar, transpose, type Value } from '../graph/index.ts';
import type { Parameters } from './parameters.ts';

/** Layers as functions of named parameters. Weights of linears are [out, in], as PyTorch stores them. */

/** x [n, in] → x·Wᵀ + b [n, out], from `name.weight` and, unless `bias` is false, `name.bias`. */
export function linear(parameters: Parameters, name: string, x: Value, out: number, { bias = true } = {}): Value {
  return applyLinear(linearParameters(parameters, name, x.shape.at(-1) as number, out, { bias }), x);
}

export interface LinearParameters {
  /** [out, in] */
  readonly weight: Value;
  /** [out] */
  readonly bias: Value | undefined;
}

export function linearParameters(parameters: Parameters, name: string, width: number, out: number, { bias = true } = {}): LinearParameters {
  const weight = parameters(`${name}.weight`, [out, width], { role: 'matrix' });
  return { weight, bias: bias ? parameters(`${name}.bias`, [out], { role: 'bias' }) : undefined };
}

/** x [n, in] → [n, out] */
export function applyLinear({ weight, bias }: LinearParameters, x: Value): Value {
  return bias ? gemm(x, weight, bias, { transB: true }) : matmul(x, weight, { transB: true });
}

export interface NormParameters {
  /** [width] */
  readonly gain: Value;
  /** [width]; zeros where the norm has no bias. */
  readonly bias: Value;
}

/** x [..., d] → layer norm with `name.weight` as gain and `name.bias`. */
export function norm(parameters: Parameters, name: string, x: Value, epsilon: number): Value {
  const { gain, bias } = normParameters(parameters, name, x.shape.at(-1) as number);
  return layerNorm(x, gain, bias, epsilon);
}

/** Gain and bias of a layer norm, from `name.weight` and, unless `bias` is false, `name.bias`. */
export function normParameters(parameters: Parameters, name: string, width: number, { bias = true } = {}): NormParameters {
  return {
    gain: parameters(`${name}.weight`, [width], { role: 'gain' }),
    bias: bias ? parameters(`${name}.bias`, [width], { role: 'bias' }) : expand(scalar(0), [width]),
  };
}

/** [batch·length, heads·e] → [batch, heads, length, e]. */
export function splitHeads(x: Value, batch: Dim, length: Dim, heads: number): Value {
  const each = (x.shape.at(-1) as number) / heads;
  return transpose(reshape(x, [batch, length, heads, each]), [0, 2, 1, 3]);
}

/** [batch, heads, length, e] → [batch·length, heads·e]. */
export function mergeHeads(x: Value, rows: Dim): Value {
  const [, heads, , each] = x.shape as [Dim, number, Dim, number];
  return reshape(transpose(x, [0, 2, 1, 3]), [rows, heads * each]);
}

/**
 * Scaled products of queries and keys [batch, heads, n, e], [batch, heads, m, e] → [batch, heads, n, m], by default by 1/√e (Vaswani et
 * al. 2017, eq. 1).
 */
export function attentionScores(query: Value, key: Value, scale = 1 / Math.sqrt(query.shape.at(-1) as number)): Value {
  return matmul(query, key, { transB: true, alpha: scale });
}
