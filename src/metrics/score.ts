/**
 * A metric's value. Where the formula divides by zero the reference libraries warn and give 0 (scikit-learn, seqeval) or
 * NaN (SciPy); here the value is 0 in both cases and `undefined` says why, so that a number can always be printed and compared.
 */
export interface Score {
  readonly value: number;
  /** Why the metric has no meaning for these rows; absent when it has. */
  readonly undefined?: string;
}

export function defined(value: number): Score {
  return { value };
}

export function undefinedScore(why: string): Score {
  return { value: 0, undefined: why };
}

/** numerator ÷ denominator, or an undefined score when there is nothing to divide by. */
export function ratio(numerator: number, denominator: number, why: string): Score {
  return denominator === 0 ? undefinedScore(why) : defined(numerator / denominator);
}
