import type { Rows } from '../../encoders/index.ts';
import {
  add,
  concat,
  constant,
  type Dim,
  expand,
  gemm,
  layerNorm,
  matmul,
  mul,
  multiplyDims,
  reshape,
  scalar,
  slice,
  type Value,
} from '../../graph/index.ts';

/** The parameters that CA-MTL brings, by full name. */
export interface Own {
  has(name: string): boolean;
  get(name: string): Value;
}

/** γ and β of FiLM (Perez et al. 2018), one row per example: [batch, n] each. */
interface Modulation {
  readonly gamma: Value;
  readonly beta: Value;
}

/** [γ; β] = W z + b for z [batch, d]. */
export function modulation(own: Own, name: string, z: Value): Modulation {
  const both = generated(own, name, z);
  const n = (both.shape[1] as number) / 2;
  return { gamma: slice(both, 1, 0, n), beta: slice(both, 1, n, 2 * n) };
}

/** W z + b for z [batch, d], where W [n, d] may be the product of `up` [n, r] and `down` [r, d]. */
function generated(own: Own, name: string, z: Value): Value {
  if (!own.has(`${name}.down.weight`)) return linear(own, name, z);
  return linear(own, `${name}.up`, matmul(z, own.get(`${name}.down.weight`), { transB: true }));
}

function linear(own: Own, name: string, x: Value): Value {
  return gemm(x, own.get(`${name}.weight`), own.get(`${name}.bias`), { transB: true });
}

/** z' = W z + b: the task vectors [batch, d] that everything above the embeddings is conditioned on. */
export function taskTransformation(own: Own, name: string, z: Value): Value {
  return linear(own, name, z);
}

/** (1 + γ) ⊙ x + β for x [batch·length, d]. */
export function film(x: Value, { gamma, beta }: Modulation, rows: Rows): Value {
  return scaleAndShift(x, add(gamma, scalar(1)), beta, rows);
}

/** A layer norm's own parameters: gain and bias [d]. */
export interface Norm {
  readonly gain: Value;
  readonly bias: Value;
  readonly epsilon: number;
}

/** Conditional layer norm of x [batch·length, d]: the gain is (1 + γ) ⊙ w + β, one per example; the bias is not conditioned. */
export function conditionalNorm(x: Value, { gain, bias, epsilon }: Norm, { gamma, beta }: Modulation, rows: Rows): Value {
  const width = gain.shape as readonly number[];
  const normalised = layerNorm(x, expand(scalar(1), width), expand(scalar(0), width), epsilon);
  return scaleAndShift(normalised, add(mul(add(gamma, scalar(1)), gain), beta), bias, rows);
}

/** scale ⊙ x + shift for x [batch·length, d], one scale per example [batch, d], and one shift each or one for all [d]. */
function scaleAndShift(x: Value, scale: Value, shift: Value, { batch, length }: Rows): Value {
  const d = x.shape[1] as number;
  const perExample = (value: Value) => (value.shape.length === 1 || length === 1 ? value : reshape(value, [batch, 1, d]));
  const apart = length === 1 ? x : reshape(x, [batch, length, d]);
  return reshape(add(mul(apart, perExample(scale)), perExample(shift)), [multiplyDims(batch, length), d]);
}

/** Conditional bottleneck: up(down(FiLM(x))) for x [batch·length, d], with γ and β from W_e z' + b_e; nothing non-linear between. */
export function bottleneck(own: Own, name: string, z: Value, x: Value, rows: Rows): Value {
  const by = modulation(own, `${name}.hidden_modulation.gb_weights`, generated(own, `${name}.emb_transf`, z));
  return linear(own, `${name}.up_proj_layer`, linear(own, `${name}.down_proj_layer`, film(x, by, rows)));
}

/** [S, S]: 1 where both positions lie in one block of `width`, else 0. */
export function sameBlock(size: number, width: number): Value {
  const blockOf = (position: number) => Math.floor(position / width);
  const inside = Array.from({ length: size * size }, (_, i) => Number(blockOf(Math.floor(i / size)) === blockOf(i % size)));
  return constant({ dtype: 'float32', shape: [size, size], data: Float32Array.from(inside) });
}

/**
 * Conditional attention's M [batch, queries, keys]: the leading corner of a block-diagonal matrix over S positions. Position p
 * lies in block ⌊p / w⌋; inside a block, M_pq = (1 + γ_j) A_pj + β_j with j = q mod w. A is [S, w]; γ and β are [batch, w];
 * `mask` [S, S] is {@link sameBlock}. `queries` is 1 where only first tokens ask.
 */
export function blockDiagonal(matrix: Value, { gamma, beta }: Modulation, mask: Value, { batch, length: queries }: Rows, keys: Dim): Value {
  const [size, width] = matrix.shape as readonly [number, number];
  const across = (value: Value) => slice(concat(new Array<Value>(Math.ceil(size / width)).fill(value), 1), 1, 0, keys);
  const perKey = (value: Value) => reshape(across(value), [batch, 1, keys]);
  const corner = slice(slice(mask, 0, 0, queries), 1, 0, keys);
  const masked = mul(slice(across(matrix), 0, 0, queries), corner);
  return add(mul(masked, perKey(add(gamma, scalar(1)))), mul(corner, perKey(beta)));
}
