import { add, div, expand, matmul, mul, reduceSum, reshape, scalar, sub, transpose, type Value } from '../graph/index.ts';
import { identity } from './additive.ts';

/** Enough for 1 + ‖Q‖² up to 50,000 at the precision of float32. */
const STEPS = 20;

/**
 * The inverses of matrices I + Q [n, k, k] with skew-symmetric Q, by iteration (Newton, Schulz 1933): X ← X (2I − A X), which begins at
 * Aᵀ over the squared Frobenius norm of A. The singular values of A are at least one, so it converges whatever Q is, and doubles its
 * right digits each time once it is near; 20 steps are exact to rounding for Frobenius norms of Q up to 200.
 */
export function inverse(a: Value): Value {
  const size = a.shape.at(-1) as number;
  const twice = expand(reshape(mul(identity(size), scalar(2)), [1, size, size]), a.shape);
  const norm = reshape(reduceSum(mul(a, a), [1, 2]), [a.shape[0] as number, 1, 1]);
  // The largest singular value is at most the norm of Q and one: the norm of A, less that of the identity, and one.
  const bound = add(sub(norm, scalar(size)), scalar(1));
  let x = div(transpose(a, [0, 2, 1]), bound);
  for (let step = 0; step < STEPS; step++) x = matmul(x, sub(twice, matmul(a, x)));
  return x;
}
