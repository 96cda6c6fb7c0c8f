import { minimise } from '../update/index.ts';
import type { Features } from './logme.ts';

/** A linear model of features: W [outputs, width] row by row, b [outputs]. */
export interface LinearModel {
  readonly weights: Float64Array;
  readonly biases: Float64Array;
}

interface Solving {
  /** From where the search begins; zeros when left out. The end does not depend on it. */
  readonly start?: LinearModel;
  /** The largest number of the gradient of the mean loss at which it ends. */
  readonly tolerance?: number;
}

/** At which scikit-learn's coefficients and these agree to 1e-4. */
const TOLERANCE = 1e-8;

/**
 * Logistic regression: the only minimum of C·Σᵢ −log p(yᵢ | xᵢ) + ‖W‖²/2, with p = softmax(Wx + b) for three classes and more; for two,
 * p(1 | x) = 1/(1 + exp(−wx − b)), which is given as the two rows −w/2 and w/2. It is what scikit-learn's `LogisticRegression(C)` finds;
 * biases are not penalised, and those of several classes add up to 0.
 */
export function logisticRegression(
  features: Features,
  labels: ArrayLike<number>,
  classes: number,
  c: number,
  options: Solving = {},
): LinearModel {
  return classes === 2 ? binary(features, labels, c, options) : multinomial(features, labels, classes, c, options);
}

function multinomial(
  { rows, width, data }: Features,
  labels: ArrayLike<number>,
  classes: number,
  c: number,
  { start, tolerance }: Solving,
): LinearModel {
  const begin = new Float64Array(classes * (width + 1));
  if (start) begin.set([...start.weights, ...start.biases]);
  const scores = new Float64Array(classes);
  // Divided by C and the rows: then a tolerance means the same for all penalties.
  const [share, penalty] = [1 / rows, 1 / (c * rows)];
  const { x } = minimise(
    (w, gradient) => {
      gradient.fill(0);
      let loss = 0;
      for (let i = 0; i < rows; i++) {
        const at = i * width;
        let most = Number.NEGATIVE_INFINITY;
        for (let k = 0; k < classes; k++) {
          let score = w[classes * width + k] as number;
          const from = k * width;
          for (let j = 0; j < width; j++) score += (w[from + j] as number) * (data[at + j] as number);
          scores[k] = score;
          if (score > most) most = score;
        }
        let total = 0;
        for (let k = 0; k < classes; k++) total += Math.exp((scores[k] as number) - most);
        const label = labels[i] as number;
        loss += most + Math.log(total) - (scores[label] as number);
        for (let k = 0; k < classes; k++) {
          const error = share * (Math.exp((scores[k] as number) - most) / total - (k === label ? 1 : 0));
          const from = k * width;
          for (let j = 0; j < width; j++) gradient[from + j] = (gradient[from + j] as number) + error * (data[at + j] as number);
          gradient[classes * width + k] = (gradient[classes * width + k] as number) + error;
        }
      }
      return share * loss + penalise(w, gradient, classes * width, penalty);
    },
    begin,
    { tolerance: tolerance ?? TOLERANCE },
  );
  return { weights: x.slice(0, classes * width), biases: x.slice(classes * width) };
}

function binary({ rows, width, data }: Features, labels: ArrayLike<number>, c: number, { start, tolerance }: Solving): LinearModel {
  const begin = new Float64Array(width + 1);
  if (start) {
    for (let j = 0; j < width; j++) begin[j] = 2 * (start.weights[width + j] as number);
    begin[width] = 2 * (start.biases[1] as number);
  }
  const [share, penalty] = [1 / rows, 1 / (c * rows)];
  const { x } = minimise(
    (w, gradient) => {
      gradient.fill(0);
      let loss = 0;
      for (let i = 0; i < rows; i++) {
        const at = i * width;
        let score = w[width] as number;
        for (let j = 0; j < width; j++) score += (w[j] as number) * (data[at + j] as number);
        const sign = labels[i] === 1 ? 1 : -1;
        // log(1 + exp(−z)), without overflow on either side.
        const z = sign * score;
        loss += Math.max(0, -z) + Math.log1p(Math.exp(-Math.abs(z)));
        const error = (-share * sign) / (1 + Math.exp(z));
        for (let j = 0; j < width; j++) gradient[j] = (gradient[j] as number) + error * (data[at + j] as number);
        gradient[width] = (gradient[width] as number) + error;
      }
      return share * loss + penalise(w, gradient, width, penalty);
    },
    begin,
    { tolerance: tolerance ?? TOLERANCE },
  );
  const halves = Float64Array.from(x, (value) => value / 2);
  const [weights, bias] = [halves.subarray(0, width), halves[width] as number];
  return { weights: Float64Array.from([...weights.map((value) => -value), ...weights]), biases: Float64Array.of(-bias, bias) };
}

function penalise(w: Float64Array, gradient: Float64Array, count: number, penalty: number): number {
  let squares = 0;
  for (let i = 0; i < count; i++) {
    const value = w[i] as number;
    squares += value * value;
    gradient[i] = (gradient[i] as number) + penalty * value;
  }
  return (penalty * squares) / 2;
}

/**
 * Ridge regression: the minimum of Σᵢ (yᵢ − wxᵢ − b)² + α‖w‖², as scikit-learn's `Ridge(alpha)` has it; b is not penalised. Solved by
 * Cholesky in as many unknowns as there are rows or columns, whichever are fewer.
 */
export function ridgeRegression({ rows, width, data }: Features, targets: Float64Array, alpha: number): LinearModel {
  const means = new Float64Array(width);
  for (let i = 0; i < rows; i++) for (let j = 0; j < width; j++) means[j] = (means[j] as number) + (data[i * width + j] as number) / rows;
  const mean = targets.reduce((sum, y) => sum + y, 0) / rows;
  const x = data.map((value, i) => value - (means[i % width] as number));
  const y = targets.map((value) => value - mean);
  const weights = new Float64Array(width);
  const dual = rows <= width;
  const size = dual ? rows : width;
  const at = dual ? (i: number, k: number) => x[i * width + k] as number : (j: number, k: number) => x[k * width + j] as number;
  const products = new Float64Array(size * size);
  for (let i = 0; i < size; i++)
    for (let j = 0; j <= i; j++) {
      let sum = i === j ? alpha : 0;
      for (let k = 0; k < (dual ? width : rows); k++) sum += at(i, k) * at(j, k);
      products[i * size + j] = sum;
    }
  if (dual) {
    const shares = choleskySolve(products, y);
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < width; j++) weights[j] = (weights[j] as number) + (shares[i] as number) * (x[i * width + j] as number);
  } else {
    const right = new Float64Array(width);
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < width; j++) right[j] = (right[j] as number) + (x[i * width + j] as number) * (y[i] as number);
    weights.set(choleskySolve(products, right));
  }
  let bias = mean;
  for (let j = 0; j < width; j++) bias -= (weights[j] as number) * (means[j] as number);
  return { weights, biases: Float64Array.of(bias) };
}

/** The solution of A z = b, A symmetric and positive definite, of which the lower half is read, and overwritten. */
function choleskySolve(a: Float64Array, b: Float64Array): Float64Array {
  const n = b.length;
  for (let j = 0; j < n; j++) {
    for (let i = j; i < n; i++) {
      let sum = a[i * n + j] as number;
      for (let k = 0; k < j; k++) sum -= (a[i * n + k] as number) * (a[j * n + k] as number);
      a[i * n + j] = i === j ? Math.sqrt(sum) : sum / (a[j * n + j] as number);
    }
  }
  const z = Float64Array.from(b);
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) z[i] = (z[i] as number) - (a[i * n + k] as number) * (z[k] as number);
    z[i] = (z[i] as number) / (a[i * n + i] as number);
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) z[i] = (z[i] as number) - (a[k * n + i] as number) * (z[k] as number);
    z[i] = (z[i] as number) / (a[i * n + i] as number);
  }
  return z;
}
