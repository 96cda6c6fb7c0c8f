import {
  addDims,
  constant,
  type Dim,
  evaluateDim,
  expand,
  gather,
  multiplyDims,
  reshape,
  slice,
  transpose,
  type Value,
} from '../graph/index.ts';

/** A table by how far keys lie from queries: those from place `from` up to `to`, and keys [batch, heads, S, e]. */
export interface Distances {
  readonly from: Dim;
  readonly to: Dim;
  readonly keys: Value;
  /** The greatest length of a sequence to which methods have added nothing. */
  readonly text: number;
}

/**
 * Rows of `table` [rows, …], in the order in which {@link byPlaces} takes them: n + S of them for n queries and S keys, of the distances
 * key − query from 1 − `to` on. `rowOf` gives the row of a distance.
 */
export function byDistance(table: Value, rowOf: (distance: number) => number, { from, to, keys, text }: Distances): Value {
  const length = keys.shape[2] as Dim;
  const most = evaluateDim(length, new Map([['S', text]]));
  const rows = Int32Array.from({ length: 2 * most }, (_, i) => rowOf(i + 1 - most));
  const start = addDims(most, minus(to));
  const count = addDims(addDims(to, minus(from)), length);
  const all = constant({ dtype: 'int32', shape: [2 * most], data: rows });
  return gather(table, slice(all, 0, start, addDims(start, count)));
}

/**
 * What stands by distance, by places: x [batch, heads, n, n + S] → y [batch, heads, n, S] with y[…, i, j] = x[…, i, j − i + n − 1].
 * Each row lies one number further left than the one before it, which is what another width of rows does to the same numbers.
 */
export function byPlaces(x: Value): Value {
  const [batch, heads, n, width] = x.shape as [Dim, Dim, Dim, Dim];
  const narrower = addDims(width, -1);
  const start = addDims(n, -1);
  const rows = reshape(x, [batch, heads, multiplyDims(n, width)]);
  const shifted = slice(rows, 2, start, addDims(start, multiplyDims(n, narrower)));
  return slice(reshape(shifted, [batch, heads, n, narrower]), 3, 0, addDims(width, minus(n)));
}

/** One number for each distance and head, table [rows, heads], as what is added to the scores of attention: [1, heads, n, S]. */
export function distanceBias(table: Value, rowOf: (distance: number) => number, distances: Distances): Value {
  const values = transpose(byDistance(table, rowOf, distances), [1, 0]);
  const [heads, width] = values.shape as [Dim, Dim];
  const n = addDims(distances.to, minus(distances.from));
  return byPlaces(expand(reshape(values, [1, heads, 1, width]), [1, heads, n, width]));
}

function minus(dim: Dim): Dim {
  return multiplyDims(-1, dim);
}
