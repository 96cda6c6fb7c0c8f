import type { MajorityScore } from '../metrics/index.ts';

/** What a model scores on labelled rows of one task. */
export interface Evaluation {
  readonly rows: number;
  readonly metrics: Readonly<Record<string, number>>;
  /** Why a metric is undefined on these rows. */
  readonly warnings: Readonly<Record<string, string>>;
  /** What always giving the most frequent answer scores; absent for regression and spans. */
  readonly majority?: MajorityScore;
}
