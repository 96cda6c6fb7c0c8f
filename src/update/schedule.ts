export const SCHEDULES = ['constant', 'linear', 'cosine'] as const;
export type Schedule = (typeof SCHEDULES)[number];

/**
 * The factor on the learning rate before step `step` (from 0) of `total`: rises linearly over `warmup` steps, then stays,
 * falls linearly to 0, or falls along half a cosine (as the schedules of `transformers`).
 */
export function scheduleFactor(schedule: Schedule, step: number, total: number, warmup: number): number {
  if (step < warmup) return step / Math.max(1, warmup);
  const rest = Math.max(1, total - warmup);
  switch (schedule) {
    case 'constant':
      return 1;
    case 'linear':
      return Math.max(0, (total - step) / rest);
    case 'cosine':
      return Math.max(0, 0.5 * (1 + Math.cos((Math.PI * (step - warmup)) / rest)));
  }
}
