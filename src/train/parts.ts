import type { RunSize } from '../model/runs.ts';
import type { Unit } from '../objectives/index.ts';
import type { TrainSettings } from './settings.ts';

/** How batches are cut into parts that are computed one after another: by `microBatch` rows, or by tokens. */
export function partition<U extends Pick<Unit, 'length' | 'encodings'>>(
  units: readonly U[],
  { microBatch, batchSize }: Pick<TrainSettings, 'microBatch' | 'batchSize'>,
  { mostTokens }: Pick<RunSize, 'mostTokens'>,
) {
  const tokens = (unit: U) => unit.length * unit.encodings.length;
  const largest = units.reduce((longest, unit) => Math.max(longest, tokens(unit)), 1);
  const accumulate = microBatch === undefined ? largest * batchSize > mostTokens : microBatch < batchSize;
  const rowsFor = (batch: readonly U[]) => microBatch ?? Math.max(1, Math.floor(mostTokens / Math.max(...batch.map(tokens))));
  const parts = (batch: readonly U[]): U[][] => {
    const size = accumulate ? rowsFor(batch) : batch.length;
    return Array.from({ length: Math.ceil(batch.length / size) }, (_, i) => batch.slice(i * size, (i + 1) * size));
  };
  return { accumulate, parts };
}

/** The longest units that can come in one batch, longest first. */
export function longest<U extends Pick<Unit, 'length'>>(units: readonly U[], batchSize: number): U[] {
  return units.toSorted((a, b) => b.length - a.length).slice(0, batchSize);
}
