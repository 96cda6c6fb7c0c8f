import { expect, test } from 'vitest';
import { float32, int32 } from '../base/tensor.ts';
import { add, gather, gemm, gradients, input, layerNorm, mul, pick, logSoftmax, reduceMean, reshape, scalar, softmax, transpose, weight, gelu, reduceSum, neg } from '../graph/index.ts';
import { nodeEngine } from './node.ts';
import { referenceEngine } from './reference.ts';

test('a small network and its gradients agree between ONNX Runtime and the reference', async () => {
  const ids = input('ids', 'int32', ['B', 'S']);
  const labels = input('labels', 'int32', ['B']);
  const table = input('table', 'float32', [7, 4]);
  const w = input('w', 'float32', [4, 4]);
  const b = weight('b', 'float32', [4]);
  const e = reshape(gather(table, ids), ['B*S', 4]);
  const h = gelu(gemm(layerNorm(e, b, b, 1e-5), w, b, { transB: true }));
  const heads = transpose(reshape(h, ['B', 'S', 2, 2]), [0, 2, 1, 3]);
  const pooled = reshape(reduceMean(softmax(heads), [1, 2]), ['B', 2]);
  const loss = reshape(neg(reduceSum(pick(logSoftmax(mul(pooled, scalar(3))), labels), [0])), []);
  const [dTable, dW] = gradients(add(loss, scalar(0)), [table, w]) as [typeof w, typeof w];
  const program = { outputs: { loss, dTable, dW } };
  const weights = new Map([['b', float32([4], [0.5, 1.5, -0.7, 0.3])]]);
  const feeds = {
    ids: int32([2, 3], [1, 2, 1, 6, 0, 1]),
    labels: int32([2], [1, 0]),
    table: float32([7, 4], Array.from({ length: 28 }, (_, i) => Math.sin(i * 1.7))),
    w: float32([4, 4], Array.from({ length: 16 }, (_, i) => Math.cos(i * 2.3))),
  };
  const reference = await (await referenceEngine().compile(program, weights)).run(feeds);
  const session = await (await nodeEngine({ threads: 1 })).compile(program, weights);
  const into = { dW: float32([4, 4], new Float32Array(16)) };
  const ours = await session.run(feeds, into);
  expect(ours.dW?.data).toBe(into.dW.data);
  for (const name of ['loss', 'dTable', 'dW']) {
    const expected = [...(reference[name]?.data as Float64Array)];
    const got = [...(ours[name]?.data as Float32Array)];
    expect(got.length).toBe(expected.length);
    got.forEach((value, i) => expect(value).toBeCloseTo(expected[i] as number, 5));
  }
  await session.release();
});
