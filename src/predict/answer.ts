import type { HeadAnswer } from '../objectives/index.ts';

/** What was observed in a model: for `FUSION/LAYER.PLACE` the mean attention over tokens, by adapter. */
export type Observations = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** A model's answer to one row. */
export interface Answer extends HeadAnswer {
  readonly observed?: Observations;
  /** The adapter that answered, where several are active and each answers rows, or all of them, by itself. */
  readonly adapter?: string;
  /** The head that answered, where several are active. */
  readonly head?: string;
}
