import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  type Features,
  type LinearModel,
  logisticRegression,
  ridgeRegression,
  solveClasses,
  stratifiedFolds,
} from '../../src/metrics/index.ts';

interface Solution {
  readonly penalty: number;
  readonly weights: number[][];
  readonly biases: number[];
}
interface Case {
  readonly features: number[][];
  readonly solutions: readonly Solution[];
}
const golden: {
  readonly classes: readonly (Case & { readonly labels: number[]; readonly folds: number[] })[];
  readonly numbers: readonly (Case & { readonly targets: number[] })[];
} = JSON.parse(readFileSync('test/golden/linear-models.json', 'utf8'));

function featuresOf({ features }: Case): Features {
  return { rows: features.length, width: (features[0] as number[]).length, data: Float64Array.from(features.flat()) };
}

/** The largest difference, by the largest coefficient. */
function error({ weights, biases }: LinearModel, solution: Solution): number {
  const [got, wanted] = [
    [...weights, ...biases],
    [...solution.weights.flat(), ...solution.biases],
  ];
  expect(got).toHaveLength(wanted.length);
  return Math.max(...got.map((x, i) => Math.abs(x - (wanted[i] as number)))) / Math.max(...wanted.map(Math.abs));
}

test('logistic regression has the coefficients of scikit-learn', () => {
  for (const one of golden.classes)
    for (const solution of one.solutions) {
      const classes = new Set(one.labels).size;
      const found = logisticRegression(featuresOf(one), one.labels, classes, solution.penalty);
      // Of two classes scikit-learn gives the difference.
      const width = found.weights.length / classes;
      const model =
        classes > 2
          ? found
          : {
              weights: found.weights.subarray(width).map((w, j) => w - (found.weights[j] as number)),
              biases: Float64Array.of((found.biases[1] as number) - (found.biases[0] as number)),
            };
      expect(error(model, solution), `${classes} classes, C = ${solution.penalty}`).toBeLessThan(1e-4);
    }
  expect(golden.classes.map(({ solutions }) => solutions.length)).toEqual([4, 4, 4]);
});

test('ridge regression has the coefficients of scikit-learn, with more columns than rows and fewer', () => {
  for (const one of golden.numbers)
    for (const solution of one.solutions)
      expect(error(ridgeRegression(featuresOf(one), Float64Array.from(one.targets), solution.penalty), solution)).toBeLessThan(1e-6);
  expect(golden.numbers).toHaveLength(2);
});

test('folds are those of StratifiedKFold', () => {
  for (const { labels, folds } of golden.classes) expect([...stratifiedFolds(labels, 4)]).toEqual(folds);
});

test('a class without rows comes last at every row, and rows too few for folds take the usual penalty', () => {
  const one = golden.classes[1] as (typeof golden.classes)[number];
  const features = featuresOf(one);
  const { model, penalty, folds } = solveClasses(
    features,
    one.labels.map((label) => [0, 2, 3][label] as number),
    4,
  );
  expect([folds, model.biases.length]).toEqual([5, 4]);
  expect(Math.min(...model.biases)).toBe(model.biases[1]);
  expect(penalty).toBeGreaterThan(1e-4);
  const two = { rows: 2, width: features.width, data: features.data.slice(0, 2 * features.width) };
  expect(solveClasses(two, [0, 1], 2)).toMatchObject({ penalty: 1, folds: 0, scores: [] });
});
