import { type Dim, gemm, layerNorm, matmul, reshape, transpose, type Value } from '../graph/index.ts';
import type { Parameters } from './parameters.ts';

/** Layers as functions of named parameters. Weights of linears are [out, in], as PyTorch stores them. */

/** x [n, in] → x·Wᵀ + b [n, out], from `name.weight` and `name.bias`. */
export function linear(parameters: Parameters, name: string, x: Value, out: number): Value {
  const width = x.shape.at(-1) as number;
  return gemm(x, parameters(`${name}.weight`, [out, width]), parameters(`${name}.bias`, [out]), { transB: true });
}

/** x [..., d] → layer norm with `name.weight` as gain and `name.bias`. */
export function norm(parameters: Parameters, name: string, x: Value, epsilon: number): Value {
  const { gain, bias } = normParameters(parameters, name, x.shape.at(-1) as number);
  return layerNorm(x, gain, bias, epsilon);
}

/** Gain and bias [width] of a layer norm. */
export function normParameters(parameters: Parameters, name: string, width: number): { readonly gain: Value; readonly bias: Value } {
  return { gain: parameters(`${name}.weight`, [width]), bias: parameters(`${name}.bias`, [width]) };
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

/** Scaled products of queries and keys [batch, heads, n, e], [batch, heads, m, e] → [batch, heads, n, m] (Vaswani et al. 2017, eq. 1). */
export function attentionScores(query: Value, key: Value): Value {
  const each = query.shape.at(-1) as number;
  return matmul(query, key, { transB: true, alpha: 1 / Math.sqrt(each) });
}
