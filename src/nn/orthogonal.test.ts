import { expect, it } from 'vitest';
import { createRandom } from '../base/random.ts';
import { float32 } from '../base/tensor.ts';
import { input, type Value } from '../graph/index.ts';
import { nodeEngine } from '../session/node.ts';
import { referenceEngine } from '../session/reference.ts';
import { checkGradient } from '../testing/index.ts';
import { orthogonalBase, orthonormalRows, unturned } from './orthogonal.ts';
import type { Initializer } from './parameters.ts';

const [R, D] = [2, 5];
const made = (init: Initializer) => (init.kind === 'derived' ? init.make([], createRandom(3)) : new Float32Array());
const base = float32([D, D], made(orthogonalBase(R, D)));

/** The largest number by which the products of rows miss those of an orthonormal matrix. */
function miss(data: ArrayLike<number>, rows: number): number {
  const d = data.length / rows;
  const products = Array.from({ length: rows * rows }, (_, at) => {
    const [i, j] = [Math.floor(at / rows), at % rows];
    const dot = Array.from({ length: d }, (_, k) => (data[i * d + k] as number) * (data[j * d + k] as number)).reduce((a, b) => a + b);
    return Math.abs(dot - Number(i === j));
  });
  return Math.max(...products);
}

async function rowsOf(original: ArrayLike<number>): Promise<number[]> {
  const rows = orthonormalRows(input('original', 'float32', [R, D]), input('base', 'float32', [D, D]));
  const session = await referenceEngine().compile({ outputs: { rows } }, new Map());
  const results = await session.run({ original: float32([R, D], Array.from(original)), base });
  return Array.from(results.rows?.data ?? [], Number);
}

it('a first base is orthogonal, and the first rows are its first columns', async () => {
  expect(miss(base.data as Float32Array, D)).toBeLessThan(1e-6);
  const rows = await rowsOf(made(unturned(R, D)));
  for (const [at, value] of rows.entries()) expect(value).toBeCloseTo(Number(base.data[(at % D) * D + Math.floor(at / D)]), 6);
});

const TURNED = [-1, 0.4, -0.7, 1.2, 0.3, 9, -1, 0.5, -0.2, 0.8];

it('rows are orthonormal wherever they are turned to; what lies before the diagonal has no part', async () => {
  const rows = await rowsOf(TURNED);
  expect(miss(rows, R)).toBeLessThan(1e-6);
  expect(await rowsOf(TURNED.with(5, -3))).toEqual(rows);
  expect(await rowsOf(made(unturned(R, D)))).not.toEqual(rows);
});

it('the diagonal is cut to an integer, as PyTorch does: a row that is not at ±1 is lost', async () => {
  const rows = await rowsOf(TURNED);
  expect(await rowsOf(TURNED.with(0, 1))).toEqual(rows.map((x, at) => (at < D ? 0 - x : x)));
  expect((await rowsOf(TURNED.with(0, -0.9999))).slice(0, D).every((x) => x === 0)).toBe(true);
});

it('gradients pass through the reflections', async () => {
  const { worst } = await checkGradient({
    name: 'orthonormal rows',
    // Away from ±1, where a difference would jump.
    inputs: { original: float32([R, D], TURNED.with(0, -1.5).with(6, 1.5)), base },
    build: ({ original, base: turn }) => orthonormalRows(original as Value, turn as Value),
    engines: [await nodeEngine({ threads: 1 })],
  });
  expect(Object.keys(worst).sort()).toEqual(['engine', 'finiteDifference']);
});
