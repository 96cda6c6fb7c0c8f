import { expect, test } from 'vitest';
import { createRandom } from '../base/index.ts';
import { type Matrix, matrix, multiplied, qr, svd, transposed } from './linear-algebra.ts';

const random = createRandom(7);

function normal(rows: number, columns: number): Matrix {
  return matrix(
    rows,
    columns,
    Float64Array.from({ length: rows * columns }, () => random.normal()),
  );
}

function largestDifference(a: Matrix, b: Matrix): number {
  expect([a.rows, a.columns]).toEqual([b.rows, b.columns]);
  return a.data.reduce((most, x, i) => Math.max(most, Math.abs(x - (b.data[i] as number))), 0);
}

const identity = (n: number) =>
  matrix(
    n,
    n,
    Float64Array.from({ length: n * n }, (_, i) => Number(i % (n + 1) === 0)),
  );
const diagonal = (values: ArrayLike<number>) => {
  const out = matrix(values.length, values.length);
  for (let i = 0; i < values.length; i++) out.data[i * (values.length + 1)] = values[i] as number;
  return out;
};

const CASES: readonly [string, Matrix, number][] = [
  ['square', normal(30, 30), 30],
  ['tall', normal(50, 12), 12],
  ['wide', normal(9, 40), 9],
  ['of low rank', multiplied(normal(40, 3), normal(3, 25)), 3],
  ['one number', matrix(1, 1, [-4]), 1],
  ['one row', normal(1, 6), 1],
  ['one column', normal(6, 1), 1],
  ['a diagonal with a zero inside', diagonal([3, 0, 2, 1]), 3],
  ['equal values', diagonal([2, 2, 2, -2]), 4],
  ['upper bidiagonal with a zero on the diagonal', matrix(3, 3, [1, 1, 0, 0, 0, 1, 0, 0, 1]), 2],
  ['of very large numbers', multiplied(diagonal([1e120, 1e120, 1e120]), normal(3, 5)), 3],
  ['of very small numbers', multiplied(diagonal([1e-120, 1e-120, 1e-120]), normal(3, 5)), 3],
  ['graded', diagonal([1, 1e-4, 1e-8, 1e-12]), 4],
];

test.for(CASES)('singular values of a matrix: %s', ([, a, rank]) => {
  const { u, s, vt } = svd(a);
  expect(s).toHaveLength(rank);
  const size = s[0] as number;
  expect(largestDifference(multiplied(multiplied(u, diagonal(s)), vt), a) / size).toBeLessThan(1e-13);
  expect(largestDifference(multiplied(transposed(u), u), identity(rank))).toBeLessThan(1e-13);
  expect(largestDifference(multiplied(vt, transposed(vt)), identity(rank))).toBeLessThan(1e-13);
  for (let i = 0; i < rank; i++) expect(s[i]).toBeLessThanOrEqual(s[Math.max(0, i - 1)] as number);
  expect(s[rank - 1]).toBeGreaterThan(0);
});

test('a matrix of zeros has one singular value, zero, with vectors of length one', () => {
  const { u, s, vt } = svd(matrix(4, 3));
  expect([...s]).toEqual([0]);
  expect(largestDifference(multiplied(transposed(u), u), identity(1))).toBeLessThan(1e-15);
  expect(largestDifference(multiplied(vt, transposed(vt)), identity(1))).toBeLessThan(1e-15);
});

test('known singular values, and those that are kept', () => {
  const a = matrix(2, 2, [3, 0, 4, 5]);
  expect(svd(a).s[0]).toBeCloseTo(Math.sqrt(45), 12);
  expect(svd(a).s[1]).toBeCloseTo(Math.sqrt(5), 12);
  const best = svd(a, 1);
  expect([best.u.columns, best.s.length, best.vt.rows]).toEqual([1, 1, 1]);
  expect(svd(a)).toEqual(svd(matrix(2, 2, [3, 0, 4, 5])));
  expect(a.data).toEqual(Float64Array.from([3, 0, 4, 5]));
});

test('the largest number of each right vector is positive, for a matrix and for its negative', () => {
  const a = normal(6, 8);
  const [one, other] = [svd(a), svd({ ...a, data: a.data.map((x) => -x) })];
  expect(largestDifference(one.vt, other.vt)).toBeLessThan(1e-12);
  for (let i = 0; i < 6; i++) {
    const row = [...one.vt.data.subarray(i * 8, (i + 1) * 8)];
    expect(Math.max(...row)).toBe(Math.max(...row.map(Math.abs)));
  }
});

test.for(CASES)('an orthonormal basis and a triangle of a matrix: %s', ([, a]) => {
  const { q, r } = qr(a);
  const size = a.data.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  expect(largestDifference(multiplied(q, r), a) / size).toBeLessThan(1e-13);
  expect(largestDifference(multiplied(transposed(q), q), identity(Math.min(a.rows, a.columns)))).toBeLessThan(1e-13);
  for (let i = 0; i < r.rows; i++) {
    expect(r.data[i * r.columns + i]).toBeGreaterThanOrEqual(0);
    for (let j = 0; j < i; j++) expect(Math.abs(r.data[i * r.columns + j] as number)).toBe(0);
  }
});
