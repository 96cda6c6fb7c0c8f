import { createRandom, fail, invariant, type Random } from '../base/index.ts';
import { paddedLength } from './collate.ts';

/**
 * Batches of rows of similar length, in random order: rows are shuffled, sorted by padded length within pools of
 * {@link POOL_BATCHES} batches (rows that cost the same stay shuffled), cut into batches, and the batches shuffled.
 * Every row stands in exactly one batch; one batch may be smaller than the others.
 */
export function lengthBuckets(lengths: Int32Array, batchSize: number, random: Random): Int32Array[] {
  const order = random.shuffle(Int32Array.from(lengths, (_, row) => row));
  const pool = batchSize * POOL_BATCHES;
  for (let start = 0; start < order.length; start += pool) {
    order.subarray(start, start + pool).sort(byPaddedLength(lengths, order.slice(start, start + pool)));
  }
  return random.shuffle(cut(order, batchSize));
}

const POOL_BATCHES = 64;

/** Rows in the order of the data set. */
export function sequentialBatches(rowCount: number, batchSize: number): Int32Array[] {
  return cut(
    Int32Array.from({ length: rowCount }, (_, row) => row),
    batchSize,
  );
}

export interface SamplerOptions {
  /** Tokens of each row of the data set. */
  readonly lengths: Int32Array;
  readonly batchSize: number;
  /** False: file order, no length buckets. */
  readonly shuffle: boolean;
  readonly seed: number;
}

/** Where a sampler stands: the batch that {@link Sampler.next} gives next. Plain data. */
export interface SamplerState {
  readonly epoch: number;
  readonly batch: number;
  /** What the order depends on; restoring over anything else is refused. */
  readonly rowCount: number;
  readonly batchSize: number;
  readonly shuffle: boolean;
  readonly seed: number;
}

export interface SampledBatch {
  readonly rows: Int32Array;
  readonly epoch: number;
  /** Number within the epoch, from 0. */
  readonly batch: number;
}

/** An endless stream of batches, epoch after epoch; each epoch has an order of its own given by (seed, epoch). */
export interface Sampler {
  readonly batchesPerEpoch: number;
  next(): SampledBatch;
  state(): SamplerState;
}

/** Continues from `state` when given. Throws `usage.value`, `task.empty`, and `train.resume` when the state is of other data or settings. */
export function createSampler(options: SamplerOptions, state?: SamplerState): Sampler {
  const { lengths, batchSize, shuffle, seed } = options;
  if (!Number.isInteger(batchSize) || batchSize < 1)
    fail({ code: 'usage.value', subject: 'batch size', found: `${batchSize}`, expected: 'an integer ≥ 1' });
  if (lengths.length === 0) fail({ code: 'task.empty', subject: 'the rows to train on', found: 'none' });
  const identity = { rowCount: lengths.length, batchSize, shuffle, seed };
  const batchesPerEpoch = Math.ceil(lengths.length / batchSize);
  if (state !== undefined) checkState(state, identity, batchesPerEpoch);
  let { epoch, batch } = state ?? { epoch: 0, batch: 0 };
  let order: Int32Array[] | null = null;
  return {
    batchesPerEpoch,
    next() {
      order ??= shuffle ? lengthBuckets(lengths, batchSize, createRandom(seed, epoch)) : sequentialBatches(lengths.length, batchSize);
      const rows = order[batch];
      invariant(rows !== undefined, `batch ${batch} of ${batchesPerEpoch}`);
      const result = { rows, epoch, batch };
      batch++;
      if (batch === batchesPerEpoch) {
        batch = 0;
        epoch++;
        if (shuffle) order = null;
      }
      return result;
    },
    state: () => ({ epoch, batch, ...identity }),
  };
}

function checkState(state: SamplerState, identity: Omit<SamplerState, 'epoch' | 'batch'>, batchesPerEpoch: number): void {
  for (const key of ['rowCount', 'batchSize', 'shuffle', 'seed'] as const) {
    if (state[key] === identity[key]) continue;
    fail({
      code: 'train.resume',
      subject: `sampler, ${key}`,
      found: `${identity[key]} now`,
      expected: `${state[key]}, as in the saved run`,
      next: 'Resume with the same data and settings, or start a new run.',
    });
  }
  if (!Number.isInteger(state.epoch) || state.epoch < 0 || !(state.batch >= 0 && state.batch < batchesPerEpoch)) {
    fail({
      code: 'train.resume',
      subject: 'sampler',
      found: `epoch ${state.epoch}, batch ${state.batch}`,
      expected: `a batch below ${batchesPerEpoch}`,
    });
  }
}

function byPaddedLength(lengths: Int32Array, shuffled: Int32Array): (a: number, b: number) => number {
  const place = new Map(Array.from(shuffled, (row, i) => [row, i]));
  const cost = (row: number) => paddedLength(lengths[row] as number);
  return (a, b) => cost(a) - cost(b) || (place.get(a) as number) - (place.get(b) as number);
}

function cut(order: Int32Array, batchSize: number): Int32Array[] {
  return Array.from({ length: Math.ceil(order.length / batchSize) }, (_, i) => order.slice(i * batchSize, (i + 1) * batchSize));
}
