import type { PredictionRow, Row } from './types.ts';

/** All texts of a row's input; words that come one by one are put together with spaces. */
export function textsOf(row: PredictionRow): readonly string[] {
  switch (row.kind) {
    case 'tagging':
      return [row.tokens.join(' ')];
    case 'span':
      return [row.question, row.context];
    case 'choice':
      return [row.text, ...row.choices];
    default:
      return row.textPair === undefined ? [row.text] : [row.text, row.textPair];
  }
}

/** A text or a pair that belong together. */
export interface Passage {
  readonly texts: readonly [string] | readonly [string, string];
  /** Whether its last text may be long, and be cut where sentences end. */
  readonly cuts: boolean;
}

/** What a language model can learn from a row: pairs stay pairs, a choice goes with the right answer. */
export function passagesOf(row: Row): readonly Passage[] {
  switch (row.kind) {
    case 'tagging':
      return [{ texts: [row.tokens.join(' ')], cuts: false }];
    case 'span':
      return [
        { texts: [row.question], cuts: false },
        { texts: [row.context], cuts: true },
      ];
    case 'choice':
      return [{ texts: [row.text, row.choices[row.label] as string], cuts: false }];
    default:
      return [{ texts: row.textPair === undefined ? [row.text] : [row.text, row.textPair], cuts: true }];
  }
}
