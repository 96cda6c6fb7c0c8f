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

/** Places of sequences that meet each other: rows from place `rows[0]` up to `rows[1]`, and columns likewise. */
export interface Places {
  readonly rows: readonly [Dim, Dim];
  readonly columns: readonly [Dim, Dim];
  /** The length of a sequence that `S` tokens of text have become, and the greatest of those tokens. */
  readonly length: Dim;
  readonly text: number;
}

/**
 * Rows of `table` [rows, …] in the order in which {@link byPlaces} takes them: n + m of them for n rows and m columns, of the distances
 * column − row from the least one on. `rowOf` gives the row of a distance.
 */
export function byDistance(table: Value, rowOf: (distance: number) => number, { rows, columns, length, text }: Places): Value {
  const most = evaluateDim(length, new Map([['S', text]]));
  const all = constant({ dtype: 'int32', shape: [2 * most], data: Int32Array.from({ length: 2 * most }, (_, i) => rowOf(i + 1 - most)) });
  const start = addDims(most, addDims(columns[0], minus(rows[1])));
  return gather(table, slice(all, 0, start, addDims(start, addDims(count(rows), count(columns)))));
}

/**
 * What stands by distance, by places: x [batch, heads, n, n + m] → y [batch, heads, n, m] with y[…, i, j] = x[…, i, j − i + n − 1].
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

/** One number for each distance and head, table [rows, heads], as what is added to the scores of attention: [1, heads, n, m]. */
export function distanceBias(table: Value, rowOf: (distance: number) => number, places: Places): Value {
  const values = transpose(byDistance(table, rowOf, places), [1, 0]);
  const [heads, width] = values.shape as [Dim, Dim];
  return byPlaces(expand(reshape(values, [1, heads, 1, width]), [1, heads, count(places.rows), width]));
}

function count([from, to]: readonly [Dim, Dim]): Dim {
  return addDims(to, minus(from));
}

function minus(dim: Dim): Dim {
  return multiplyDims(-1, dim);
}
