import type { HeadAnswer } from '../objectives/index.ts';

/** What was observed in a model: for `FUSION/LAYER.PLACE` the mean attention over tokens, by adapter. */
export type Observations = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** A model's answer to one row. */
export interface Answer extends HeadAnswer {
  readonly observed?: Observations;
}
