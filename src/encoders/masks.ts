import { constant, type Dim, mul, relu, reshape, scalar, slice, sub, type Value } from '../graph/index.ts';

/** Taken from scores that nothing reads, rather than ∞: a row of nothing but pads must stay finite. */
export const LOWEST = 3.4028234663852886e38;

/** What attention adds to its scores: mask [batch, length], 1 for real tokens, → [batch, 1, 1, length], 0 or the lowest float32. */
export function paddingMask(mask: Value): Value {
  return added(overKeys(mask));
}

/**
 * The same for tokens that read only those at most `reach` places away: [batch, 1, tokens, length], where the tokens are those from
 * place `from` up to `to`; `most` is the greatest length. Runtimes compute every step in the place of the one before it but for two,
 * so that it takes twice the memory of the mask, and that of the mask is kept.
 */
export function windowMask(mask: Value, reach: number, most: number, from: Dim, to: Dim): Value {
  const places = constant({ dtype: 'float32', shape: [most], data: Float32Array.from({ length: most }, (_, i) => i) });
  const query = slice(places, 0, from, to);
  const key = slice(places, 0, 0, mask.shape[1] as Dim);
  const distance = sub(reshape(key, [1, 1, 1, key.shape[0] as Dim]), reshape(query, [1, 1, query.shape[0] as Dim, 1]));
  // 0 within reach, and 1 or more beyond it: places are whole numbers.
  const beyond = relu(sub(mul(distance, distance), scalar(reach * reach)));
  const near = relu(sub(scalar(1), beyond));
  return added(mul(near, overKeys(mask)));
}

function overKeys(mask: Value): Value {
  const [batch, length] = mask.shape as [Dim, Dim];
  return reshape(mask, [batch, 1, 1, length]);
}

/** Of 1 for what is read and 0 for what is not. */
function added(read: Value): Value {
  return mul(sub(read, scalar(1)), scalar(LOWEST));
}
