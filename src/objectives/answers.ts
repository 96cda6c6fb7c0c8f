import type { Head } from './kind.ts';

/** The labels by output index. */
export function labelsOf({ config }: Pick<Head, 'config'>): string[] {
  const entries = Object.entries(config.label2id ?? {});
  return entries.sort((a, b) => a[1] - b[1]).map(([label]) => label);
}

/** The place of the largest, the first of equal ones. */
export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] as number) > (values[best] as number)) best = i;
  return best;
}

/** n zeros with a one at `place`. */
export function oneHot(n: number, place: number): number[] {
  return Array.from({ length: n }, (_, i) => Number(i === place));
}

/** The mean of numbers; 0 of none. */
export function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / Math.max(1, values.length);
}
