import { describe, expect, it } from 'vitest';
import { createRandom } from '../base/random.ts';
import { eigenSymmetric } from './eigen.ts';
import { centered, evidenceModel, type Features, maximizeEvidence } from './logme.ts';

const random = createRandom(3);
const draw = (count: number) => Float64Array.from({ length: count }, () => random.normal());

describe('the eigenvectors of a symmetric matrix', () => {
  it.each([
    ['random', 9, (i: number, j: number) => Math.sin(3 * i * j + i + j)],
    ['diagonal', 4, (i: number, j: number) => (i === j ? i - 1 : 0)],
    ['of equal numbers: one direction only', 5, () => 2],
    ['nothing', 3, () => 0],
    ['one number', 1, () => -7],
  ])('%s', (_, n, entry) => {
    const matrix = Float64Array.from({ length: n * n }, (__, at) =>
      entry(Math.min(Math.floor(at / n), at % n), Math.max(Math.floor(at / n), at % n)),
    );
    const { values, vectors } = eigenSymmetric(matrix, n);
    const product = (i: number, j: number, between: (k: number) => number) => {
      let sum = 0;
      for (let k = 0; k < n; k++) sum += (vectors[k * n + i] as number) * between(k) * (vectors[k * n + j] as number);
      return sum;
    };
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++) {
        expect(product(i, j, (k) => values[k] as number)).toBeCloseTo(matrix[i * n + j] as number, 12);
        expect(product(i, j, () => 1)).toBeCloseTo(i === j ? 1 : 0, 12);
      }
  });
});

/** log N(y | 0, β⁻¹ I + α⁻¹ F Fᵀ) / n, by Cholesky: the evidence as it is defined. */
function literalEvidence({ rows: n, width, data }: Features, y: Float64Array, alpha: number, beta: number): number {
  const cell = (i: number, j: number) => {
    let sum = i === j ? 1 / beta : 0;
    for (let k = 0; k < width; k++) sum += ((data[i * width + k] as number) * (data[j * width + k] as number)) / alpha;
    return sum;
  };
  const factor: number[][] = [];
  const solved: number[] = [];
  let logarithm = 0;
  for (let i = 0; i < n; i++) {
    const row: number[] = [];
    for (let j = 0; j <= i; j++) {
      const rest = row
        .slice(0, j)
        .reduce((sum, value, k) => sum - value * ((j === i ? row : (factor[j] as number[]))[k] as number), cell(i, j));
      row.push(j === i ? Math.sqrt(rest) : rest / ((factor[j] as number[])[j] as number));
    }
    factor.push(row);
    const diagonal = row[i] as number;
    logarithm += Math.log(diagonal);
    solved.push(((y[i] as number) - solved.reduce((sum, value, k) => sum + value * (row[k] as number), 0)) / diagonal);
  }
  return (-logarithm - 0.5 * solved.reduce((sum, value) => sum + value * value, 0) - (n / 2) * Math.log(2 * Math.PI)) / n;
}

describe.each([
  ['more rows than columns', 14, 3],
  ['fewer rows than columns', 6, 8],
])('the evidence of %s', (_, rows, width) => {
  const features: Features = { rows, width, data: draw(rows * width) };
  const noise = draw(rows);
  const y = noise.map((value, i) => 0.5 * value + 2 * (features.data[i * width] as number));

  it('is that of the definition, and the largest', () => {
    const score = evidenceModel(features).score([y]);
    const { values, vectors } = eigenSymmetric(gramOf(features), width);
    const projected = Float64Array.from({ length: width }, (__, k) => {
      let sum = 0;
      for (let i = 0; i < rows; i++)
        for (let j = 0; j < width; j++)
          sum += (vectors[k * width + j] as number) * (features.data[i * width + j] as number) * (y[i] as number);
      return sum;
    });
    const squares = y.reduce((sum, value) => sum + value * value, 0);
    const { alpha, beta, evidence } = maximizeEvidence(
      values.map((value) => Math.max(0, value)),
      projected,
      squares,
      rows,
    );
    expect(evidence).toBeCloseTo(score, 12);
    expect(score).toBeCloseTo(literalEvidence(features, y, alpha, beta), 9);
    for (const [a, b] of [
      [1.2, 1],
      [0.8, 1],
      [1, 1.2],
      [1, 0.8],
    ] as const)
      expect(literalEvidence(features, y, a * alpha, b * beta)).toBeLessThan(score);
  });

  it('leaves for each row what the other rows do not predict', () => {
    const left = evidenceModel(features).residual(y);
    expect(left).toHaveLength(rows);
    // The ridge of the same α/β, fitted anew without the first row.
    const ratio = ratioOf(features, y);
    expect(left[0]).toBeCloseTo((y[0] as number) - predictWithout(0, ratio), 6);
  });

  function predictWithout(held: number, ratio: number): number {
    const kept = Array.from({ length: rows }, (__, i) => i).filter((i) => i !== held);
    const matrix = Array.from({ length: width }, (__, a) =>
      Array.from({ length: width + 1 }, (___, b) =>
        kept.reduce(
          (sum, i) =>
            sum + (features.data[i * width + a] as number) * (b === width ? (y[i] as number) : (features.data[i * width + b] as number)),
          a === b ? ratio : 0,
        ),
      ),
    );
    for (let p = 0; p < width; p++)
      for (let i = 0; i < width; i++) {
        if (i === p) continue;
        const times = ((matrix[i] as number[])[p] as number) / ((matrix[p] as number[])[p] as number);
        for (let j = p; j <= width; j++)
          (matrix[i] as number[])[j] = ((matrix[i] as number[])[j] as number) - times * ((matrix[p] as number[])[j] as number);
      }
    return matrix.reduce(
      (sum, row, p) => sum + ((row[width] as number) / (row[p] as number)) * (features.data[held * width + p] as number),
      0,
    );
  }
});

function gramOf({ rows, width, data }: Features): Float64Array {
  return Float64Array.from({ length: width * width }, (_, at) => {
    let sum = 0;
    for (let i = 0; i < rows; i++) sum += (data[i * width + Math.floor(at / width)] as number) * (data[i * width + (at % width)] as number);
    return sum;
  });
}

/** α/β at the largest evidence, found by looking for it. */
function ratioOf(features: Features, y: Float64Array): number {
  let [a, b, step] = [0, 0, 1];
  let best = literalEvidence(features, y, 1, 1);
  while (step > 1e-9) {
    const tries = [
      [step, 0],
      [-step, 0],
      [0, step],
      [0, -step],
    ].map(([x, z]) => [a + (x as number), b + (z as number)] as const);
    const [found, value] = tries
      .map((one) => [one, literalEvidence(features, y, Math.exp(one[0]), Math.exp(one[1]))] as const)
      .reduce((left, right) => (right[1] > left[1] ? right : left));
    if (value > best) [[a, b], best] = [found, value];
    else step /= 2;
  }
  return Math.exp(a - b);
}

describe('features', () => {
  const signal = draw(60);
  const target = signal.map((value) => 3 * value + 0.1 * random.normal());
  const made = (share: number): Features => ({
    rows: 60,
    width: 4,
    data: draw(240).map((value, at) => (at % 4 === 0 ? share * (signal[at / 4] as number) : 0) + (at % 4 === 0 ? 1 - share : 1) * value),
  });

  it('that know the target score more than those that know it less, and those more than noise', () => {
    const scores = [1, 0.6, 0].map((share) => evidenceModel(made(share)).score([target]));
    expect(scores[0]).toBeGreaterThan((scores[1] as number) + 0.1);
    expect(scores[1]).toBeGreaterThan((scores[2] as number) + 0.1);
  });

  it('have nothing left to say of what they explained', () => {
    const model = evidenceModel(made(1));
    const left = model.residual(target);
    const size = (values: Float64Array) => values.reduce((sum, value) => sum + value * value, 0);
    expect(size(left)).toBeLessThan(size(target) / 100);
  });

  it('without their means do not see a constant', () => {
    const { data, rows, width } = centered({ rows: 3, width: 2, data: Float64Array.of(1, 10, 2, 10, 6, 10) });
    expect([rows, width, [...data]]).toEqual([3, 2, [-2, 0, -1, 0, 3, 0]]);
  });
});
