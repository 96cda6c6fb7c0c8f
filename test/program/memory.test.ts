import { expect, it } from 'vitest';
import { createRandom } from '../../src/base/random.ts';
import { int32, type Tensor, zeros } from '../../src/base/tensor.ts';
import {
  add,
  gather,
  gelu,
  gemm,
  gradients,
  input,
  layerNorm,
  logSoftmax,
  matmul,
  mul,
  neg,
  pick,
  reduceMean,
  reduceSum,
  reshape,
  scalar,
  softmax,
  type Value,
} from '../../src/graph/index.ts';
import { attentionScores, mergeHeads, planDropout, splitHeads } from '../../src/nn/index.ts';
import { nodeEngine } from '../../src/session/node.ts';

const [WIDTH, HEADS, VOCABULARY, BATCH] = [128, 4, 500, 16];

/** A two-layer encoder with a learning step: [loss, moved parameters]. */
function trainingStep() {
  const plan = planDropout(4 * WIDTH, 1);
  const [ids, labels] = [input('ids', 'int32', ['B', 'S']), input('labels', 'int32', ['B'])];
  const trained: Record<string, Value> = {};
  const parameter = (name: string, ...shape: number[]) => (trained[name] = input(name, 'float32', shape));
  const linear = (name: string, x: Value, out: number) =>
    gemm(x, parameter(`${name}.weight`, out, x.shape.at(-1) as number), parameter(`${name}.bias`, out), { transB: true });
  const norm = (name: string, x: Value) => layerNorm(x, parameter(`${name}.gain`, WIDTH), parameter(`${name}.shift`, WIDTH), 1e-5);
  let h = reshape(gather(parameter('table', VOCABULARY, WIDTH), ids), ['B*S', WIDTH]);
  for (const layer of ['0', '1']) {
    const [q, k, v] = ['q', 'k', 'v'].map((name) => splitHeads(linear(`${layer}.${name}`, h, WIDTH), 'B', 'S', HEADS)) as [
      Value,
      Value,
      Value,
    ];
    const attended = mergeHeads(matmul(plan.dropout(softmax(attentionScores(q, k)), 0.1, `${layer}.scores`), v), 'B*S');
    h = norm(`${layer}.first`, add(h, plan.dropout(attended, 0.1, `${layer}.attention`)));
    h = norm(`${layer}.second`, add(h, linear(`${layer}.out`, gelu(linear(`${layer}.in`, h, 4 * WIDTH)), WIDTH)));
  }
  const pooled = reshape(reduceMean(reshape(h, ['B', 'S', WIDTH]), [1]), ['B', WIDTH]);
  const rows = pick(logSoftmax(linear('head', pooled, 3)), labels);
  const loss = neg(reshape(reduceSum(rows, [0]), []));
  const names = Object.keys(trained);
  const slopes = gradients(loss, Object.values(trained));
  const moved = names.map((name, i) => [name, add(trained[name] as Value, mul(slopes[i] as Value, scalar(-1e-3)))] as const);
  return { program: { outputs: { loss, ...Object.fromEntries(moved) } }, trained, plan };
}

it('300 steps over many shapes hold the memory of the first 50', { timeout: 240_000 }, async () => {
  const { program, trained, plan } = trainingStep();
  const engine = await nodeEngine({ threads: 1 });
  const session = await engine.compile(program, plan.pools);
  const random = createRandom(5);
  const fresh = () => Object.fromEntries(Object.entries(trained).map(([name, { shape }]) => [name, zeros('float32', shape as number[])]));
  let from: Record<string, Tensor> = fresh();
  for (const { data } of Object.values(from)) for (let i = 0; i < data.length; i++) data[i] = 0.05 * random.normal();
  const lengths = Array.from({ length: 10 }, (_, i) => 8 * (i + 1));

  const step = async (t: number): Promise<number> => {
    // Every length within the first ten steps, afterwards in a random order.
    const length = t < lengths.length ? (lengths[t] as number) : (lengths[random.below(lengths.length)] as number);
    const batch = t % 7 === 0 ? BATCH / 2 : BATCH;
    const draw = (count: number, below: number) => Int32Array.from({ length: count }, () => random.below(below));
    const feeds: Record<string, Tensor> = {
      ids: int32([batch, length], draw(batch * length, VOCABULARY)),
      labels: int32([batch], draw(batch, 3)),
      ...plan.feeds(
        5,
        t,
        0,
        new Map([
          ['B', batch],
          ['S', length],
        ]),
      ),
      ...from,
    };
    const { loss, ...next } = await session.run(feeds);
    from = next;
    return loss?.data[0] as number;
  };

  let early = 0;
  for (let t = 0; t < 300; t++) {
    expect(Number.isFinite(await step(t))).toBe(true);
    if (t < 50) early = Math.max(early, process.memoryUsage().rss);
  }
  const late = process.memoryUsage().rss;
  await session.release();
  expect(late / early).toBeLessThan(1.1);
  expect(engine.compilations).toBe(1);
});
