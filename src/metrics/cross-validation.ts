import { type LinearModel, logisticRegression, ridgeRegression } from './linear-models.ts';
import type { Features } from './logme.ts';

/** Ten from 1e-4 to 1e4, evenly in logarithms: what scikit-learn's `LogisticRegressionCV` tries. */
export const PENALTIES: readonly number[] = Array.from({ length: 10 }, (_, i) => 10 ** (-4 + (8 * i) / 9));
export const FOLDS = 5;
/** While penalties are compared, less is asked of each solution. */
const COMPARED = 1e-5;

/** A penalty, and how it did: the mean over the folds, larger being better. */
export interface PenaltyScore {
  readonly penalty: number;
  readonly score: number;
}

export interface Solved {
  readonly model: LinearModel;
  /** C of classes, α of numbers. */
  readonly penalty: number;
  /** None where rows are too few to tell: then it is 1. */
  readonly scores: readonly PenaltyScore[];
  readonly folds: number;
}

interface Choosing {
  /** Where it is not to be chosen. */
  readonly penalty?: number;
  readonly onProgress?: (done: number, of: number) => void;
}

/**
 * The fold of each row: of every class as many in one as in another, up to one, by the order of the rows. As scikit-learn's
 * `StratifiedKFold` without shuffling.
 */
export function stratifiedFolds(labels: ArrayLike<number>, folds: number): Int32Array {
  const order = [...new Set(Array.from(labels))];
  const sorted = Array.from(labels, (label) => order.indexOf(label)).sort((a, b) => a - b);
  const places = order.map((_, k) =>
    Array.from({ length: folds }, (__, fold) => {
      let count = 0;
      for (let i = fold; i < sorted.length; i += folds) count += Number(sorted[i] === k);
      return new Array<number>(count).fill(fold);
    }).flat(),
  );
  const seen = order.map(() => 0);
  return Int32Array.from(labels, (label) => {
    const k = order.indexOf(label);
    const at = seen[k] as number;
    seen[k] = at + 1;
    return (places[k] as number[])[at] as number;
  });
}

/**
 * Logistic regression with a C of {@link PENALTIES} under which rows left out are likely: of those whose mean log-probability, over
 * stratified folds, is within a standard error of the best (Breiman et al. 1984, section 3.4.3) the one nearest to 1, for few rows hardly
 * tell one from another. Five folds, or as many as the rarest class has rows.
 */
export function solveClasses(features: Features, labels: ArrayLike<number>, classes: number, options: Choosing = {}): Solved {
  const present = Array.from({ length: classes }, (_, k) => k).filter((k) => Array.from(labels).includes(k));
  const solved = solvePresent(
    features,
    Array.from(labels, (label) => present.indexOf(label)),
    present.length,
    options,
  );
  return present.length === classes ? solved : { ...solved, model: withAbsent(solved.model, features, present, classes) };
}

/** By how much less likely a class without rows is than the least likely of the others at any row, in logits. */
const UNSEEN = 10;

/** A class that no row has, at a constant below what any row gave to another: its loss has no minimum. */
function withAbsent(model: LinearModel, features: Features, present: readonly number[], classes: number): LinearModel {
  let least = 0;
  for (let row = 0; row < features.rows; row++) least = Math.min(least, ...outputsOf(model, features, row));
  const weights = new Float64Array(classes * features.width);
  const biases = new Float64Array(classes).fill(least - UNSEEN);
  present.forEach((k, i) => {
    weights.set(model.weights.subarray(i * features.width, (i + 1) * features.width), k * features.width);
    biases[k] = model.biases[i] as number;
  });
  return { weights, biases };
}

function solvePresent(features: Features, labels: ArrayLike<number>, classes: number, { penalty, onProgress }: Choosing): Solved {
  if (classes < 2)
    return {
      model: { weights: new Float64Array(classes * features.width), biases: new Float64Array(classes) },
      penalty: 1,
      scores: [],
      folds: 0,
    };
  const counts = new Array<number>(classes).fill(0);
  for (let i = 0; i < labels.length; i++) (counts[labels[i] as number] as number) += 1;
  const folds = Math.min(FOLDS, ...counts);
  if (folds < 2 || penalty !== undefined)
    return { model: logisticRegression(features, labels, classes, penalty ?? 1), penalty: penalty ?? 1, scores: [], folds: 0 };
  const foldOf = stratifiedFolds(labels, folds);
  return chosen(folds, onProgress, {
    inFold: (fold) => {
      const [inside, outside] = parted(foldOf, fold);
      const [train, held] = [rowsOf(features, inside), rowsOf(features, outside)];
      const [known, asked] = [inside.map((i) => labels[i] as number), outside.map((i) => labels[i] as number)];
      let start: LinearModel | undefined;
      return (c) => {
        start = logisticRegression(train, known, classes, c, { ...(start && { start }), tolerance: COMPARED });
        return logLikelihood(start, held, asked);
      };
    },
    whole: (c) => logisticRegression(features, labels, classes, c),
    usual: 1,
  });
}

/** Ridge regression with the α of {@link PENALTIES} under which rows left out are told with the smallest mean squared error. */
export function solveNumbers(features: Features, targets: Float64Array, { onProgress }: Choosing = {}): Solved {
  const folds = Math.min(FOLDS, targets.length);
  if (folds < 2) return { model: ridgeRegression(features, targets, 1), penalty: 1, scores: [], folds: 0 };
  const foldOf = Int32Array.from(targets, (_, i) => i % folds);
  return chosen(folds, onProgress, {
    inFold: (fold) => {
      const [inside, outside] = parted(foldOf, fold);
      const [train, held] = [rowsOf(features, inside), rowsOf(features, outside)];
      const [known, asked] = [Float64Array.from(inside, (i) => targets[i] as number), outside.map((i) => targets[i] as number)];
      return (alpha) => -squaredError(ridgeRegression(train, known, alpha), held, asked);
    },
    whole: (alpha) => ridgeRegression(features, targets, alpha),
  });
}

interface Problem {
  /** What rows left out say of a penalty. Asked from the smallest on. */
  inFold(fold: number): (penalty: number) => number;
  whole(penalty: number): LinearModel;
  /** Of penalties that cannot be told from the best the one nearest to this is taken; the best itself where it is left out. */
  readonly usual?: number;
}

function chosen(folds: number, onProgress: Choosing['onProgress'], { inFold, whole, usual }: Problem): Solved {
  const found = PENALTIES.map((): number[] => []);
  const all = folds * PENALTIES.length + 1;
  for (let fold = 0; fold < folds; fold++) {
    const judge = inFold(fold);
    PENALTIES.forEach((penalty, i) => {
      found[i]?.push(judge(penalty));
      onProgress?.(fold * PENALTIES.length + i + 1, all);
    });
  }
  const scores = PENALTIES.map((penalty, i) => ({ penalty, score: mean(found[i] as number[]) }));
  const first = scores.reduce((a, b) => (b.score > a.score ? b : a));
  const error = standardError(found[scores.indexOf(first)] as number[]);
  const distance = ({ penalty }: PenaltyScore) => Math.abs(Math.log(penalty / (usual as number)));
  const close = scores.filter(({ score }) => score >= first.score - error);
  const best = usual === undefined ? first : close.reduce((a, b) => (distance(b) < distance(a) ? b : a));
  const model = whole(best.penalty);
  onProgress?.(all, all);
  return { model, penalty: best.penalty, scores, folds };
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

function standardError(values: readonly number[]): number {
  const middle = mean(values);
  return Math.sqrt(mean(values.map((value) => (value - middle) ** 2)) / values.length);
}

function parted(foldOf: Int32Array, fold: number): [number[], number[]] {
  const places = [...foldOf.keys()];
  return [places.filter((i) => foldOf[i] !== fold), places.filter((i) => foldOf[i] === fold)];
}

function rowsOf({ width, data }: Features, places: readonly number[]): Features {
  const out = new Float64Array(places.length * width);
  places.forEach((place, i) => void out.set(data.subarray(place * width, (place + 1) * width), i * width));
  return { rows: places.length, width, data: out };
}

/** The outputs of a model for one row. */
export function outputsOf({ weights, biases }: LinearModel, { width, data }: Features, row: number): Float64Array {
  return biases.map((bias, k) => {
    let sum = bias;
    for (let j = 0; j < width; j++) sum += (weights[k * width + j] as number) * (data[row * width + j] as number);
    return sum;
  });
}

function logLikelihood(model: LinearModel, features: Features, labels: readonly number[]): number {
  let total = 0;
  labels.forEach((label, row) => {
    const scores = outputsOf(model, features, row);
    const most = Math.max(...scores);
    total += (scores[label] as number) - most - Math.log(scores.reduce((sum, score) => sum + Math.exp(score - most), 0));
  });
  return total / labels.length;
}

function squaredError(model: LinearModel, features: Features, targets: readonly number[]): number {
  return targets.reduce((sum, y, row) => sum + (y - (outputsOf(model, features, row)[0] as number)) ** 2, 0) / targets.length;
}
