import { defined, ratio, type Score, undefinedScore } from './score.ts';

/** Share of positions where both lists agree. */
export function accuracy(predictions: readonly (string | number)[], references: readonly (string | number)[]): Score {
  return ratio(references.filter((reference, i) => reference === predictions[i]).length, references.length, 'there are no rows');
}

/** Share of rows whose label sets are equal (scikit-learn's subset accuracy). */
export function subsetAccuracy(predictions: readonly (readonly string[])[], references: readonly (readonly string[])[]): Score {
  const key = (labels: readonly string[]) => JSON.stringify([...labels].sort());
  return accuracy(predictions.map(key), references.map(key));
}

/** F1 of one class: 2·tp / (2·tp + fp + fn). */
export function binaryF1(predictions: readonly string[], references: readonly string[], positive: string): Score {
  return f1Of(countsOf(asSets(predictions), asSets(references), positive), positive);
}

/** Mean of the F1 of every class that is predicted or referred to at least once, as scikit-learn does without `labels`. */
export function macroF1(predictions: readonly string[], references: readonly string[]): Score {
  return meanF1(asSets(predictions), asSets(references), [...new Set([...references, ...predictions])]);
}

/** F1 over the decisions of all classes together; equal to accuracy, each row having one label. */
export function microF1(predictions: readonly string[], references: readonly string[]): Score {
  return pooledF1(asSets(predictions), asSets(references), [...new Set([...references, ...predictions])]);
}

/** Mean F1 over the whole label set; a label nobody gives or predicts counts as 0, as in scikit-learn's indicator format. */
export function multilabelMacroF1(
  predictions: readonly (readonly string[])[],
  references: readonly (readonly string[])[],
  labels: readonly string[],
): Score {
  return meanF1(predictions, references, labels);
}

export function multilabelMicroF1(
  predictions: readonly (readonly string[])[],
  references: readonly (readonly string[])[],
  labels: readonly string[],
): Score {
  return pooledF1(predictions, references, labels);
}

/**
 * Matthews correlation for any number of classes (R_K of Gorodkin 2004, eq. 8):
 * (c·s − Σ p_k·t_k) / √((s² − Σ p_k²)(s² − Σ t_k²)), with c right of s rows, class k predicted p_k and true t_k times.
 */
export function matthews(predictions: readonly string[], references: readonly string[]): Score {
  const rows = references.length;
  const right = references.filter((reference, i) => reference === predictions[i]).length;
  const predicted = tally(predictions);
  const actual = tally(references);
  const sum = (counts: Map<string, number>, other: Map<string, number>) =>
    [...counts].reduce((total, [label, count]) => total + count * (other.get(label) ?? 0), 0);
  const spread = (rows * rows - sum(predicted, predicted)) * (rows * rows - sum(actual, actual));
  if (spread === 0) return undefinedScore('the predictions or the references are all of one class');
  return defined((right * rows - sum(predicted, actual)) / Math.sqrt(spread));
}

interface Counts {
  readonly truePositive: number;
  readonly falsePositive: number;
  readonly falseNegative: number;
}

type LabelSets = readonly (readonly string[])[];

function asSets(labels: readonly string[]): LabelSets {
  return labels.map((label) => [label]);
}

function countsOf(predictions: LabelSets, references: LabelSets, label: string): Counts {
  let truePositive = 0;
  let falsePositive = 0;
  let falseNegative = 0;
  for (const [i, reference] of references.entries()) {
    const predicted = predictions[i]?.includes(label) ?? false;
    const actual = reference.includes(label);
    if (predicted && actual) truePositive += 1;
    else if (predicted) falsePositive += 1;
    else if (actual) falseNegative += 1;
  }
  return { truePositive, falsePositive, falseNegative };
}

function f1Of({ truePositive, falsePositive, falseNegative }: Counts, label: string): Score {
  return ratio(2 * truePositive, 2 * truePositive + falsePositive + falseNegative, `"${label}" is neither predicted nor referred to`);
}

function meanF1(predictions: LabelSets, references: LabelSets, labels: readonly string[]): Score {
  const scores = labels.map((label) => f1Of(countsOf(predictions, references, label), label));
  const mean = ratio(
    scores.reduce((sum, score) => sum + score.value, 0),
    scores.length,
    'there are no rows',
  );
  const missing = scores.find((score) => score.undefined !== undefined)?.undefined;
  return missing === undefined ? mean : { ...mean, undefined: missing };
}

function pooledF1(predictions: LabelSets, references: LabelSets, labels: readonly string[]): Score {
  const pooled = { truePositive: 0, falsePositive: 0, falseNegative: 0 };
  for (const label of labels) {
    const counts = countsOf(predictions, references, label);
    pooled.truePositive += counts.truePositive;
    pooled.falsePositive += counts.falsePositive;
    pooled.falseNegative += counts.falseNegative;
  }
  const { truePositive, falsePositive, falseNegative } = pooled;
  return ratio(2 * truePositive, 2 * truePositive + falsePositive + falseNegative, 'no label is predicted or referred to');
}

function tally(labels: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return counts;
}
