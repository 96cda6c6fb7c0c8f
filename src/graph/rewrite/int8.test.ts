import { describe, expect, it } from 'vitest';
import { createRandom } from '../../base/random.ts';
import { float32, type Tensor } from '../../base/tensor.ts';
import { nodeEngine } from '../../session/node.ts';
import { referenceEngine } from '../../session/reference.ts';
import { gradients } from '../grad.ts';
import { gemm, mul, reduceSum, reshape } from '../ops/index.ts';
import { int8Linear } from '../ops/quantized.ts';
import { type Program, print, verify } from '../program.ts';
import { input, type Value, weight } from '../value.ts';
import { quantizeProducts } from './int8.ts';

const x = input('x', 'float32', ['B', 64]);
const w = weight('w', 'float32', [96, 64]);
const c = weight('c', 'float32', [96]);

const counts = (program: Program) => print(program).match(/DynamicQuantizeMatMul|Gemm/g);
const quantised = (y: Value) => {
  const program = quantizeProducts({ outputs: { y } }, 'B');
  verify(program);
  return program;
};
const normal = (count: number, seed: number) => {
  const random = createRandom(seed);
  return Float32Array.from({ length: count }, () => random.normal());
};

describe('which products', () => {
  it('linear layers of the given rows', () => {
    expect(print(quantised(gemm(x, w, c, { transB: true })))).toMatchInlineSnapshot(`
      "x: float32[B,64] = Input()
      w: float32[96,64] = Weight()
      %0: float32[96,64] = Neg(w)
      %1: float32[96,64] = Max(w, %0)
      %2: float32[96,1] = ReduceMax(%1, axes=1)
      %3: float32[96] = Reshape(%2)
      %4: float32[] = Constant() 0.01587301678955555
      %5: float32[96] = Mul(%3, %4)
      %6: float32[] = Constant() 7.888609052210118e-31
      %7: float32[96] = Max(%5, %6)
      %8: int8[96] = Constant()
      %9: int8[96,64] = QuantizeLinear(w, %7, %8)
      %10: int8[64,96] = Transpose(%9, perm=1,0)
      c: float32[96] = Weight()
      %11: float32[B,96] = DynamicQuantizeMatMul(x, %10, %7, c)
      y <- %11"
    `);
  });

  it.each<readonly [string, Value]>([
    ['of other rows', gemm(input('x', 'float32', ['B*S', 64]), w, c, { transB: true })],
    ['with few outputs', gemm(x, weight('w', 'float32', [63, 64]), weight('c', 'float32', [63]), { transB: true })],
    ['with few inputs', gemm(input('x', 'float32', ['B', 63]), weight('w', 'float32', [96, 63]), c, { transB: true })],
    ['with a weight that lies the other way', gemm(x, weight('w', 'float32', [64, 96]), c)],
    ['of a transposed operand', gemm(input('x', 'float32', [64, 'B']), w, c, { transA: true, transB: true })],
    ['with a bias for each row', gemm(x, w, input('c', 'float32', ['B', 96]), { transB: true })],
  ])('not those %s', (_, y) => {
    const before = { outputs: { y } };
    expect(print(quantizeProducts(before, 'B'))).toBe(print(before));
  });

  it('frozen or not, one after another, and what is only once stays once', () => {
    const trained = input('v', 'float32', [64, 96]);
    const first = gemm(x, w, c, { transB: true });
    const second = gemm(first, trained, input('d', 'float32', [64]), { transB: true });
    expect(counts(quantised(mul(second, gemm(x, w, c, { transB: true }).node.inputs[0] as Value)))).toEqual([
      'DynamicQuantizeMatMul',
      'DynamicQuantizeMatMul',
    ]);
  });
});

describe('what they compute', () => {
  const rows = 7;
  const point: Record<string, Tensor> = {
    x: float32([rows, 64], normal(rows * 64, 1)),
    w: float32([96, 64], normal(96 * 64, 2)),
    c: float32([96], normal(96, 3)),
  };
  // A row of zeros has no scale, and one outlier takes the steps of all the others.
  const weights = point.w?.data as Float32Array;
  weights.fill(0, 5 * 64, 6 * 64);
  weights[9 * 64] = 50;
  const fed: readonly [Value, Value] = [input('w', 'float32', [96, 64]), input('c', 'float32', [96])];

  async function run(program: Program, feeds: Record<string, Tensor>, reference = false): Promise<ArrayLike<number>> {
    const engine = reference ? referenceEngine() : await nodeEngine({ threads: 1 });
    const session = await engine.compile(program, new Map(Object.entries(feeds)));
    const { y } = await session.run(feeds);
    await session.release();
    return (y as Tensor).data as Float32Array;
  }

  it.each([
    ['frozen weights', quantised(gemm(x, w, c, { transB: true }))],
    ['weights that are fed', quantised(gemm(x, ...fed, { transB: true }))],
  ])('%s: ONNX Runtime agrees with the reference, within half a step of each operand of the exact product', async (_, program) => {
    const [ours, reference] = [await run(program, point), await run(program, point, true)];
    const exact = await run({ outputs: { y: gemm(x, w, c, { transB: true }) } }, point, true);
    const [a, b] = [point.x?.data as Float32Array, point.w?.data as Float32Array];
    const step = (Math.max(...a) - Math.min(...a)) / 255;
    let distant = 0;
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < 96; j++) {
        const [left, right] = [a.subarray(i * 64, i * 64 + 64), b.subarray(j * 64, j * 64 + 64)];
        const scale = Math.max(...right.map(Math.abs)) / 63;
        const bound = left.reduce((sum, v, k) => sum + (Math.abs(v) * scale + (Math.abs(right[k] as number) + scale / 2) * step) / 2, 0);
        const at = i * 96 + j;
        expect(Math.abs((ours[at] as number) - (reference[at] as number))).toBeLessThan(1e-4);
        expect(Math.abs((ours[at] as number) - (exact[at] as number))).toBeLessThan(bound + 1e-5);
        if (ours[at] !== exact[at]) distant++;
      }
    expect(distant).toBeGreaterThan(90 * rows);
    expect(ours[5]).toBe((point.c as Tensor).data[5]);
  });

  it('numbers that lie on the steps are exact, at the ends of their ranges too', async () => {
    const random = createRandom(4);
    const feeds = {
      x: float32(
        [3, 64],
        Float32Array.from({ length: 3 * 64 }, (_, i) => (i < 64 ? 255 : i === 64 ? 0 : random.below(256))),
      ),
      w: float32(
        [96, 64],
        Float32Array.from({ length: 96 * 64 }, (_, i) => (i < 64 ? 63 : i < 128 || i % 64 === 0 ? -63 : random.below(127) - 63)),
      ),
      c: float32(
        [96],
        Float32Array.from({ length: 96 }, () => random.below(9)),
      ),
    };
    const [ours, exact] = await Promise.all([
      run(quantised(gemm(x, w, c, { transB: true })), feeds),
      run({ outputs: { y: gemm(x, w, c, { transB: true }) } }, feeds, true),
    ]);
    expect(Array.from(ours)).toEqual(Array.from(exact));
    expect(ours[0]).toBe(64 * 255 * 63 + (feeds.c.data[0] as number));
  });

  it('no rows, and rows of zeros', async () => {
    const program = quantised(gemm(x, w, c, { transB: true }));
    expect(await run(program, { ...point, x: float32([0, 64], []) })).toHaveLength(0);
    const zeros = await run(program, { ...point, x: float32([2, 64], new Float32Array(128)) });
    expect(Array.from(zeros)).toEqual([...(point.c as Tensor).data, ...(point.c as Tensor).data].map(Number));
  });
});

describe('what it refuses', () => {
  it('gradients, with the reason', () => {
    const y = int8Linear(x, input('w', 'float32', [96, 64]), c);
    expect(() => gradients(reshape(reduceSum(y, [0, 1]), []), [x])).toThrow('differentiate the product of floats');
  });

  it('shapes that do not fit', () => {
    expect(() => int8Linear(x, weight('w', 'float32', [96, 63]), c)).toThrow('equal inner dimensions');
    expect(() => int8Linear(x, w, weight('c', 'float32', [95]))).toThrow('scales and a bias of [96]');
  });
});
