import { describe, expect, it } from 'vitest';
import { float32, type Tensor } from '../base/tensor.ts';
import { type Dim, input } from '../graph/index.ts';
import { nodeEngine } from '../session/node.ts';
import { referenceEngine } from '../session/reference.ts';
import { paddingMask, windowMask } from './masks.ts';

const LENGTH = 7;
const MASK = float32([2, LENGTH], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]);
const REAL = [7, 3];
const LOWEST = -3.4028234663852886e38;

describe.each([
  ['node', () => nodeEngine({ threads: 1 })],
  ['reference', async () => referenceEngine()],
])('on %s', (_, engine) => {
  async function drawn(reach: number, from: Dim, to: Dim): Promise<Tensor> {
    const value = windowMask(input('mask', 'float32', ['B', 'S']), reach, 20, from, to);
    return (await (await (await engine()).compile({ outputs: { value } }, new Map())).run({ mask: MASK })).value as Tensor;
  }

  it('without a window tokens read all real ones', async () => {
    const value = paddingMask(input('mask', 'float32', ['B', 'S']));
    const found = (await (await (await engine()).compile({ outputs: { value } }, new Map())).run({ mask: MASK })).value as Tensor;
    expect(found.shape).toEqual([2, 1, 1, LENGTH]);
    const real = Array.from(MASK.data as Float32Array, (x) => x === 1);
    expect(Array.from(found.data as Float32Array, (x) => x === 0)).toEqual(real);
    expect(Array.from(found.data as Float32Array, (x) => x === LOWEST)).toEqual(real.map((one) => !one));
  });

  it.each([0, 1, 3, 10])('tokens read real ones at most %i places away', async (reach) => {
    const { shape, data } = await drawn(reach, 0, 'S');
    expect(shape).toEqual([2, 1, LENGTH, LENGTH]);
    const expected = REAL.flatMap((real) =>
      Array.from({ length: LENGTH ** 2 }, (_, i) => {
        const [query, key] = [Math.floor(i / LENGTH), i % LENGTH];
        return key < real && Math.abs(query - key) <= reach ? 0 : LOWEST;
      }),
    );
    expect(Array.from(data as Float32Array, (x) => x + 0)).toEqual(expected);
  });

  it('some tokens alone have the rows that they have among all', async () => {
    const all = (await drawn(2, 0, 'S')).data;
    const { shape, data } = await drawn(2, 3, 5);
    expect(shape).toEqual([2, 1, 2, LENGTH]);
    const expected = REAL.flatMap((_, row) => [...all.slice(row * LENGTH ** 2 + 3 * LENGTH, row * LENGTH ** 2 + 5 * LENGTH)]);
    expect([...data]).toEqual(expected);
  });
});
