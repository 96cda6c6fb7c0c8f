import { invariant } from '../base/index.ts';
import { eigenSymmetric } from './eigen.ts';

/** Observations of a model, one a row: [rows, width]. */
export interface Features {
  readonly rows: number;
  readonly width: number;
  readonly data: Float64Array;
}

/**
 * How well a linear model of the features explains targets: LogME, the logarithm of the maximum of evidence a row (You et al.
 * 2021, "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", algorithm 1). Nothing is trained and no
 * split is needed: evidence punishes what only fits noise. Only scores of the same targets can be compared.
 */
export interface EvidenceModel {
  /** Mean over the targets, each [rows]. */
  score(targets: readonly Float64Array[]): number;
  /** What is left of a target once these features have explained it: each row predicted from the other rows. */
  residual(target: Float64Array): Float64Array;
}

/** The part that does not depend on targets: the features in the directions in which they spread. */
export function evidenceModel(features: Features): EvidenceModel {
  const { rows } = features;
  const { spread, turned } = directions(features);
  const width = spread.length;

  return { score: (targets) => targets.reduce((sum, target) => sum + solve(target).evidence, 0) / targets.length, residual };

  function solve(target: Float64Array): Solution {
    invariant(target.length === rows, `a target of ${target.length} rows for ${rows}`);
    const projected = new Float64Array(width);
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < width; j++) projected[j] = (projected[j] as number) + (turned[i * width + j] as number) * (target[i] as number);
    return maximizeEvidence(
      spread,
      projected,
      target.reduce((sum, y) => sum + y * y, 0),
      rows,
    );
  }

  function residual(target: Float64Array): Float64Array {
    const { alpha, beta, weights } = solve(target);
    return Float64Array.from(target, (y, i) => {
      let [predicted, leverage] = [0, 0];
      for (let j = 0; j < width; j++) {
        const x = turned[i * width + j] as number;
        predicted += x * (weights[j] as number);
        leverage += (x * x * beta) / (alpha + beta * (spread[j] as number));
      }
      return (y - predicted) / Math.max(1 - leverage, 1e-6);
    });
  }
}

interface Solution {
  /** log p(y | F, α, β) / rows at the largest. */
  readonly evidence: number;
  /** Precision of the weights, and of the noise. */
  readonly alpha: number;
  readonly beta: number;
  /** Mean of the posterior, in the directions of `spread`. */
  readonly weights: Float64Array;
}

const ITERATIONS = 200;
const TOLERANCE = 1e-8;

/**
 * MacKay's fixed point. `spread` σ are the eigenvalues of FᵀF, `projected` V Fᵀ y, `squares` yᵀy, n the rows:
 * γ = Σ βσ/(α + βσ), m = β(α + βσ)⁻¹ V Fᵀ y, α = γ/mᵀm, β = (n − γ)/‖Fm − y‖².
 */
export function maximizeEvidence(spread: Float64Array, projected: Float64Array, squares: number, n: number): Solution {
  let [alpha, beta] = [1, 1];
  const tiny = 1e-12 * squares;
  const at = () => {
    const weights = spread.map((value, j) => (beta * (projected[j] as number)) / (alpha + beta * value));
    let [gamma, norm, error, logarithm] = [0, 0, squares, 0];
    spread.forEach((value, j) => {
      const [m, z] = [weights[j] as number, projected[j] as number];
      gamma += (beta * value) / (alpha + beta * value);
      norm += m * m;
      error += m * (m * value - 2 * z);
      logarithm += Math.log(alpha + beta * value);
    });
    return { weights, gamma, norm, error: Math.max(error, tiny), logarithm };
  };
  for (let i = 0; i < ITERATIONS; i++) {
    const { gamma, norm, error } = at();
    // Features that say nothing: the evidence grows for ever as their weights go to 0.
    const next = Math.min(gamma / Math.max(norm, Number.MIN_VALUE), 1e12);
    const before = alpha / beta;
    [alpha, beta] = [next, (n - gamma) / error];
    if (Math.abs(alpha / beta - before) <= TOLERANCE * before) break;
  }
  const { weights, norm, error, logarithm } = at();
  const d = spread.length;
  const evidence =
    (n * Math.log(beta) + d * Math.log(alpha) - n * Math.log(2 * Math.PI) - beta * error - alpha * norm - logarithm) / (2 * n);
  return { evidence, alpha, beta, weights };
}

/** The eigenvalues σ of FᵀF that can be other than 0, and F in their directions: [rows, σ]. Those of 0 do not change the evidence. */
function directions({ rows, width, data }: Features): { readonly spread: Float64Array; readonly turned: Float64Array } {
  const at = (row: number) => data.subarray(row * width, (row + 1) * width);
  if (rows < width) {
    // F Fᵀ has the same ones, and is smaller: its eigenvectors are those directions but for their length.
    const { values, vectors } = eigenSymmetric(products(rows, at), rows);
    const spread = values.map((value) => Math.max(0, value));
    const turned = Float64Array.from({ length: rows * rows }, (_, place) => {
      const [row, k] = [Math.floor(place / rows), place % rows];
      return (vectors[k * rows + row] as number) * Math.sqrt(spread[k] as number);
    });
    return { spread, turned };
  }
  const columns = new Float64Array(rows * width);
  data.forEach((value, place) => {
    columns[(place % width) * rows + Math.floor(place / width)] = value;
  });
  const { values, vectors } = eigenSymmetric(
    products(width, (column) => columns.subarray(column * rows, (column + 1) * rows)),
    width,
  );
  const turned = new Float64Array(rows * width);
  for (let i = 0; i < rows; i++)
    for (let k = 0; k < width; k++) turned[i * width + k] = dot(at(i), vectors.subarray(k * width, (k + 1) * width));
  return { spread: values.map((value) => Math.max(0, value)), turned };
}

/** Every vector times every vector: [count, count]. */
function products(count: number, vector: (i: number) => Float64Array): Float64Array {
  const all = new Float64Array(count * count);
  for (let i = 0; i < count; i++)
    for (let j = 0; j <= i; j++) {
      all[i * count + j] = dot(vector(i), vector(j));
      all[j * count + i] = all[i * count + j] as number;
    }
  return all;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

/** The same columns, each with its mean taken away: what a constant explains does not count. */
export function centered({ rows, width, data }: Features): Features {
  const means = new Float64Array(width);
  data.forEach((value, i) => {
    means[i % width] = (means[i % width] as number) + value / rows;
  });
  return { rows, width, data: data.map((value, i) => value - (means[i % width] as number)) };
}
