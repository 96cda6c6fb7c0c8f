import { defined, type Score, undefinedScore } from './score.ts';

/**
 * Pearson's product-moment correlation. Deviations are scaled by their largest before squaring, so values up to 1e300 neither
 * overflow nor vanish. Undefined for fewer than two rows, a constant side, or a value that is not finite.
 */
export function pearson(predictions: readonly number[], references: readonly number[]): Score {
  const why = obstacle(predictions, references);
  if (why !== undefined) return undefinedScore(why);
  const x = unitDeviations(predictions);
  const y = unitDeviations(references);
  const product = x.reduce((sum, value, i) => sum + value * (y[i] as number), 0);
  return Number.isFinite(product) ? defined(Math.min(1, Math.max(-1, product))) : undefinedScore('the values are too large to be compared');
}

/** Spearman's rank correlation: Pearson's of the ranks, equal values sharing their mean rank. */
export function spearman(predictions: readonly number[], references: readonly number[]): Score {
  const why = obstacle(predictions, references);
  return why === undefined ? pearson(averageRanks(predictions), averageRanks(references)) : undefinedScore(why);
}

/** Ranks from 1, equal values sharing the mean of theirs. */
export function averageRanks(values: readonly number[]): number[] {
  const order = values.map((_, i) => i).sort((a, b) => (values[a] as number) - (values[b] as number));
  const ranks = new Array<number>(values.length).fill(0);
  for (let start = 0; start < order.length; ) {
    let end = start + 1;
    while (end < order.length && values[order[end] as number] === values[order[start] as number]) end += 1;
    for (let i = start; i < end; i++) ranks[order[i] as number] = (start + 1 + end) / 2;
    start = end;
  }
  return ranks;
}

function obstacle(predictions: readonly number[], references: readonly number[]): string | undefined {
  if (references.length < 2) return 'there are fewer than two rows';
  for (const [name, values] of [
    ['predictions', predictions],
    ['references', references],
  ] as const) {
    if (!values.every(Number.isFinite)) return `the ${name} hold a value that is not a finite number`;
    if (values.every((value) => value === values[0])) return `all ${name} are equal`;
  }
  return undefined;
}

/** (x − mean) ÷ its Euclidean length. */
function unitDeviations(values: readonly number[]): number[] {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const deviations = values.map((value) => value - mean);
  const largest = deviations.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  const scaled = deviations.map((value) => value / largest);
  const length = Math.sqrt(scaled.reduce((sum, value) => sum + value * value, 0));
  return scaled.map((value) => value / length);
}
