import { expect, it } from 'vitest';
import { float32, type Tensor } from '../base/tensor.ts';
import { type Dim, input, matmul } from '../graph/index.ts';
import { referenceEngine } from '../session/reference.ts';
import { rotaryPositions } from './rotary.ts';

const THETA = 10000;
const WIDTH = 8;
const MOST = 8192;

/** x [length, 8] turned by positions from `from` on. */
async function turned(x: readonly number[], from: Dim, length: number): Promise<Tensor> {
  const to = typeof from === 'number' ? from + length : 'S';
  const rows = typeof from === 'number' ? length : 'S';
  const value = rotaryPositions(THETA, WIDTH, MOST)(input('x', 'float32', [1, 1, rows, WIDTH]), from, to);
  const session = await referenceEngine().compile({ outputs: { value } }, new Map());
  return (await session.run({ x: float32([1, 1, length, WIDTH], x) })).value as Tensor;
}

it.each([0, 1, 127, 128, 1000, 8191])('position %i turns each pair by its own angle', async (position) => {
  const x = [0.3, -1, 2, 0.5, 0.7, 1.1, -0.2, 0.9];
  const { data } = await turned(x, position, 1);
  for (let i = 0; i < WIDTH / 2; i++) {
    const angle = position * THETA ** ((-2 * i) / WIDTH);
    const [a, b] = [x[i] as number, x[i + WIDTH / 2] as number];
    expect(data[i]).toBeCloseTo(a * Math.cos(angle) - b * Math.sin(angle), 6);
    expect(data[i + WIDTH / 2]).toBeCloseTo(b * Math.cos(angle) + a * Math.sin(angle), 6);
  }
});

it('products of what is turned depend on the distance alone', async () => {
  const query = input('q', 'float32', [1, 1, 1, WIDTH]);
  const key = input('k', 'float32', [1, 1, 1, WIDTH]);
  const turn = rotaryPositions(THETA, WIDTH, MOST);
  const product = (q: number, k: number) => matmul(turn(query, q, q + 1), turn(key, k, k + 1), { transB: true });
  const outputs = { near: product(5, 2), far: product(4005, 4002), other: product(5, 3) };
  const session = await referenceEngine().compile({ outputs }, new Map());
  const feed = (shift: number) =>
    float32(
      [1, 1, 1, WIDTH],
      Float32Array.from({ length: WIDTH }, (_, i) => Math.sin(i + shift)),
    );
  const { near, far, other } = await session.run({ q: feed(0), k: feed(2) });
  expect(Number(far?.data[0])).toBeCloseTo(Number(near?.data[0]), 5);
  expect(Math.abs(Number(other?.data[0]) - Number(near?.data[0]))).toBeGreaterThan(0.1);
});
