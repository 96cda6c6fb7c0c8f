import type { Random } from '../base/index.ts';
import { add, cast, constant, div, matmul, mul, reduceSum, reshape, scalar, slice, sub, type Value } from '../graph/index.ts';
import { matrix, qr } from './linear-algebra.ts';
import type { Initializer } from './parameters.ts';

/**
 * The rows of an orthonormal matrix as PyTorch's `parametrizations.orthogonal` keeps them: `original` [r, d] and `base` [d, d], an
 * orthogonal matrix that does not train, r < d. Row j of `original` beyond its diagonal is a reflection I − 2vvᵀ/vᵀv with
 * v = [0…0, 1, original[j, j+1], …]; the first r columns of their product, turned by `base`, are the rows of the result [r, d], each
 * times the number on its diagonal cut to an integer, which has no gradient. Gradients are those of the reflections
 * (Mhammedi et al. 2017), unrolled over r.
 */
export function orthonormalRows(original: Value, base: Value): Value {
  const [r, d] = original.shape as [number, number];
  const reflections = Array.from({ length: r }, (_, j) => {
    const beyond = mul(
      slice(original, 0, j, j + 1),
      mask([1, d], (i) => i > j),
    );
    return add(
      beyond,
      mask([1, d], (i) => i === j),
    );
  });
  const turned = reflections.reduceRight(
    (rows, v) => {
      const twice = div(scalar(2), reduceSum(mul(v, v), [1]));
      return sub(rows, matmul(mul(matmul(rows, v, { transB: true }), twice), v));
    },
    mask([r, d], (i) => i % (d + 1) === 0),
  );
  const diagonal = reduceSum(
    mul(
      original,
      mask([r, d], (i) => i % (d + 1) === 0),
    ),
    [1],
  );
  const signs = reshape(cast(cast(diagonal, 'int32'), 'float32'), [r, 1]);
  return matmul(mul(turned, signs), base, { transB: true });
}

function mask(shape: readonly [number, number], holds: (i: number) => boolean): Value {
  const data = Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => Number(holds(i)));
  return constant({ dtype: 'float32', shape, data });
}

/** First `original` [r, d] of {@link orthonormalRows}: no reflection turns anything, and the rows are the first columns of `base`. */
export function unturned(r: number, d: number): Initializer {
  const make = () => Float32Array.from({ length: r * d }, (_, i) => (i % (d + 1) === 0 ? -1 : 0));
  return { kind: 'derived', reads: [], make };
}

/** An orthogonal matrix [d, d] whose first r columns span random ones, U(±1). */
export function orthogonalBase(r: number, d: number): Initializer {
  return { kind: 'derived', reads: [], make: (_, random) => Float32Array.from(completed(randomColumns(r, d, random), r, d)) };
}

/** [d, r] orthonormal. */
function randomColumns(r: number, d: number, random: Random): Float64Array {
  return qr(
    matrix(
      d,
      r,
      Float64Array.from({ length: d * r }, () => 2 * random.uniform() - 1),
    ),
  ).q.data;
}

/** Orthonormal columns [d, r] → an orthogonal [d, d] that begins with them: the identity, in which one reflection after another puts the next. */
function completed(columns: Float64Array, r: number, d: number): Float64Array {
  const out = Float64Array.from({ length: d * d }, (_, i) => Number(i % (d + 1) === 0));
  for (let j = 0; j < r; j++) {
    const v = Float64Array.from({ length: d }, (_, i) => (out[i * d + j] as number) - (columns[i * r + j] as number));
    const length = v.reduce((sum, x) => sum + x * x, 0);
    // Already in place.
    if (length < 1e-24) continue;
    const along = new Float64Array(d);
    for (let i = 0; i < d; i++) for (let k = 0; k < d; k++) along[k] = (along[k] as number) + (v[i] as number) * (out[i * d + k] as number);
    for (let i = 0; i < d; i++) {
      const factor = (2 * (v[i] as number)) / length;
      for (let k = 0; k < d; k++) out[i * d + k] = (out[i * d + k] as number) - factor * (along[k] as number);
    }
  }
  return out;
}
