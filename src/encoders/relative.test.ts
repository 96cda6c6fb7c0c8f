import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { constant, type Value } from '../graph/index.ts';
import { nodeEngine } from '../session/node.ts';
import { referenceEngine } from '../session/reference.ts';
import { debertaBucket } from './deberta-v2.ts';
import { mpnetBucket } from './mpnet.ts';
import { byPlaces, distanceBias } from './relative.ts';

const golden = JSON.parse(readFileSync('test/golden/encoders/distances.json', 'utf8'));
const DISTANCES = Array.from({ length: 1201 }, (_, i) => i - 600);

it('distances share rows as in Python', () => {
  expect(DISTANCES.map(mpnetBucket)).toEqual(golden.mpnet);
  const shapes = Object.entries<number[]>(golden.deberta);
  expect(shapes).toHaveLength(6);
  for (const [shape, rows] of shapes) {
    const [buckets = 0, farthest = 0] = shape.split(',').map(Number);
    expect(
      DISTANCES.map((distance) => debertaBucket(distance, { buckets, farthest })),
      shape,
    ).toEqual(rows);
  }
});

const table = (shape: readonly number[], at: (i: number) => number): Value => {
  const size = shape.reduce((a, b) => a * b, 1);
  return constant({ dtype: 'float32', shape: [...shape], data: Float32Array.from({ length: size }, (_, i) => at(i)) });
};

describe.each(['node', 'reference'])('on %s', (kind) => {
  const run = async (value: Value) => {
    const engine = kind === 'node' ? await nodeEngine({ threads: 1 }) : referenceEngine();
    const session = await engine.compile({ outputs: { value } }, new Map());
    const { value: result } = await session.run({});
    return Array.from(result?.data as Float32Array);
  };

  it.each([
    [3, 5],
    [1, 4],
    [1, 1],
    [4, 1],
  ])('%i rows and %i columns by distance', async (n, m) => {
    const places = await run(byPlaces(table([1, 1, n, n + m], (i) => i % (n + m))));
    expect(places).toEqual(Array.from({ length: n * m }, (_, k) => (k % m) - Math.floor(k / m) + n - 1));
  });

  it('a bias is that of the distance, whichever rows are asked for', async () => {
    const rows = table([9, 2], (i) => Math.floor(i / 2) * 10 + (i % 2));
    const bias = distanceBias(rows, (distance) => distance + 4, { rows: [1, 3], columns: [0, 4], length: 4, text: 4 });
    const expected = [0, 1].flatMap((head) => [1, 2].flatMap((i) => [0, 1, 2, 3].map((j) => (j - i + 4) * 10 + head)));
    expect(bias.shape).toEqual([1, 2, 2, 4]);
    expect(await run(bias)).toEqual(expected);
  });
});
