import { createRandom, fail } from '../base/index.ts';
import { type Matrix, matrix, multiplied, svd } from '../nn/index.ts';

/** How adapters are averaged, under the names of `adapters`. */
export const STRATEGIES = ['linear', 'lora_linear_only_negate_b', 'lora_delta_w_svd'] as const;

/** How low-rank updates of several adapters become one, under PEFT's names. */
export const COMBINATIONS = [
  'svd',
  'linear',
  'cat',
  'ties',
  'ties_svd',
  'dare_linear',
  'dare_ties',
  'dare_linear_svd',
  'dare_ties_svd',
  'magnitude_prune',
  'magnitude_prune_svd',
] as const;
export type Combination = (typeof COMBINATIONS)[number];

export interface CombinationOptions {
  /** Of the svd family: the highest rank of the adapters when left out. */
  readonly svdRank?: number;
  /** Of the svd family: a quantile beyond which the numbers of both factors are cut. */
  readonly svdClamp?: number;
  /** Of ties, dare and magnitude_prune: which part of the numbers is kept, above 0 and at most 1. */
  readonly density?: number;
  /** Of ties: whether signs are elected by the sum of the numbers, or by their number. */
  readonly majoritySignMethod?: 'total' | 'frequency';
  /** Of dare: what decides which numbers are dropped. */
  readonly seed?: number;
}

/** One adapter at one linear: W + scale·up·down; it counts with `weight`, which may be negative. */
export interface WeightedUpdate {
  readonly weight: number;
  readonly scale: number;
  /** [r, in] and [out, r] */
  readonly down: Matrix;
  readonly up: Matrix;
}

/** @throws usage.value for options that the combination needs, does not have, or that mean nothing */
export function checkCombination(combination: Combination, { svdRank, svdClamp, density, majoritySignMethod }: CombinationOptions): void {
  const wrong = (option: string, found: unknown, expected: string): never =>
    fail({ code: 'usage.value', subject: option, found: String(found ?? 'nothing'), expected: `${expected} for '${combination}'` });
  if (!COMBINATIONS.includes(combination))
    fail({ code: 'usage.value', subject: 'combinationType', found: `'${combination}'`, expected: `one of ${COMBINATIONS.join(', ')}` });
  const bySvd = combination.endsWith('svd');
  if (svdRank !== undefined && !(bySvd && Number.isInteger(svdRank) && svdRank > 0))
    wrong('svdRank', svdRank, bySvd ? 'a whole number above 0' : 'none');
  if (svdClamp !== undefined && !(bySvd && svdClamp > 0.5 && svdClamp <= 1))
    wrong('svdClamp', svdClamp, bySvd ? 'a quantile above 0.5 and at most 1' : 'none');
  const prunes = /ties|dare|prune/.test(combination);
  if (prunes ? !(density !== undefined && density > 0 && density <= 1) : density !== undefined)
    wrong('density', density, prunes ? 'a number above 0 and at most 1' : 'none');
  if (majoritySignMethod !== undefined && !combination.includes('ties')) wrong('majoritySignMethod', majoritySignMethod, 'none');
}

/**
 * The updates of several adapters at one linear as one of scale 1, as PEFT's `add_weighted_adapter` makes it: task arithmetic (Ilharco et
 * al. 2023), TIES (Yadav et al. 2023), DARE (Yu et al. 2024).
 *
 * Without `svd` in the name the factors themselves are combined, A with sign(w s)·√|w s| and B with √|w s|, so that products of one
 * adapter's B with another's A come in; `cat` is exact, at the sum of the ranks; the svd family combines the products and keeps the
 * largest singular values. `place` numbers the linear, for random numbers of its own.
 */
export function combined(
  updates: readonly WeightedUpdate[],
  combination: Combination,
  options: CombinationOptions,
  place: number,
): { readonly down: Matrix; readonly up: Matrix } {
  const [first] = updates as [WeightedUpdate];
  if (combination === 'cat') return concatenated(updates);
  if (combination.endsWith('svd')) {
    const products = updates.map(({ scale, down, up }) => times(multiplied(up, down), scale).data);
    const merged = mixed(
      products,
      updates.map(({ weight }) => weight),
      combination,
      options,
      place,
    );
    const rank = options.svdRank ?? Math.max(...updates.map(({ down }) => down.rows));
    return truncated(matrix(first.up.rows, first.down.columns, merged), rank, options.svdClamp);
  }
  const factor = (part: 'down' | 'up', signed: boolean): Matrix => {
    const weights = updates.map(({ weight, scale }) => Math.sqrt(Math.abs(weight * scale)) * (signed && weight * scale < 0 ? -1 : 1));
    const { rows, columns } = first[part];
    const data = mixed(
      updates.map((update) => update[part].data),
      weights,
      combination,
      options,
      2 * place + Number(signed),
    );
    return matrix(rows, columns, data);
  };
  return { down: factor('down', true), up: factor('up', false) };
}

/** The best update of a rank: up = U·S, down = Vᵀ. With `clamp` numbers beyond a quantile of theirs and their negatives are cut. */
export function truncated(change: Matrix, rank: number, clamp?: number): { readonly down: Matrix; readonly up: Matrix } {
  const { u, s, vt } = svd(change, rank);
  const up = matrix(
    u.rows,
    u.columns,
    u.data.map((x, i) => x * (s[i % s.length] as number)),
  );
  if (clamp === undefined) return { down: vt, up };
  // The signs of singular vectors are nobody's choice: what is cut must not depend on them.
  const sizes = Float64Array.from([...up.data, ...vt.data], Math.abs).sort();
  const place = (2 * clamp - 1) * (sizes.length - 1);
  const [below, above] = [sizes[Math.floor(place)] as number, sizes[Math.ceil(place)] as number];
  const limit = below + (above - below) * (place - Math.floor(place));
  const cut = ({ rows, columns, data }: Matrix) =>
    matrix(
      rows,
      columns,
      data.map((x) => Math.max(-limit, Math.min(limit, x))),
    );
  return { down: cut(vt), up: cut(up) };
}

function times({ rows, columns, data }: Matrix, factor: number): Matrix {
  return matrix(
    rows,
    columns,
    data.map((x) => x * factor),
  );
}

function concatenated(updates: readonly WeightedUpdate[]): { readonly down: Matrix; readonly up: Matrix } {
  const [first] = updates as [WeightedUpdate];
  const rank = updates.reduce((sum, { down }) => sum + down.rows, 0);
  const down = matrix(rank, first.down.columns);
  const up = matrix(first.up.rows, rank);
  let start = 0;
  for (const update of updates) {
    const r = update.down.rows;
    down.data.set(times(update.down, update.weight * update.scale).data, start * down.columns);
    for (let row = 0; row < up.rows; row++) up.data.set(update.up.data.subarray(row * r, (row + 1) * r), row * rank + start);
    start += r;
  }
  return { down, up };
}

/** Arrays of one length as one. */
function mixed(
  arrays: readonly Float64Array[],
  weights: readonly number[],
  combination: Combination,
  { density = 1, majoritySignMethod = 'total', seed = 1 }: CombinationOptions,
  place: number,
): Float64Array {
  const kept = arrays.map((values, i) => {
    if (combination.startsWith('dare')) return dropped(values, density, createRandom(seed, place, i));
    return /ties|prune/.test(combination) ? largest(values, density) : values;
  });
  const out = new Float64Array(arrays[0]?.length ?? 0);
  const elects = combination.includes('ties');
  for (let j = 0; j < out.length; j++) {
    let [sum, count] = [0, 0];
    const elected = elects ? majority(kept, j, majoritySignMethod) : 0;
    for (const [i, values] of kept.entries()) {
      const value = values[j] as number;
      if (elects && Math.sign(value) !== elected) continue;
      sum += (weights[i] as number) * value;
      count++;
    }
    out[j] = elects ? sum / Math.max(1, count) : sum;
  }
  return out;
}

function majority(arrays: readonly Float64Array[], j: number, method: 'total' | 'frequency'): number {
  const sum = arrays.reduce((total, values) => total + (method === 'total' ? (values[j] as number) : Math.sign(values[j] as number)), 0);
  return sum >= 0 ? 1 : -1;
}

/** The part of the numbers that are largest in size; of equal ones the first. */
function largest(values: Float64Array, density: number): Float64Array {
  if (density >= 1) return values;
  const order = [...values.keys()].sort((a, b) => Math.abs(values[b] as number) - Math.abs(values[a] as number) || a - b);
  const out = new Float64Array(values.length);
  for (const i of order.slice(0, Math.floor(density * values.length))) out[i] = values[i] as number;
  return out;
}

/** Each number is kept with a chance of `density`, and made larger by what is lost. */
function dropped(values: Float64Array, density: number, random: { uniform(): number }): Float64Array {
  if (density >= 1) return values;
  return values.map((value) => (random.uniform() < density ? value / density : 0));
}
