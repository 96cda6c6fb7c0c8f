import { describe, expect, it } from 'vitest';
import { startValues } from '../../test/start-values.ts';
import { nodeFiles } from '../base/files-node.ts';
import { float32, int32 } from '../base/tensor.ts';
import { loadEncoder } from '../encoders/index.ts';
import type { Value } from '../graph/index.ts';
import { attachCaMtl, type CaMtlConfig, caMtlConfig } from '../methods/index.ts';
import { noDropout, planDropout } from '../nn/index.ts';
import { createHead, type Head } from '../objectives/index.ts';
import { nodeEngine } from '../session/node.ts';
import { compileStep } from '../train/step.ts';
import { ADAMW, ParameterStore } from '../update/index.ts';
import { drawModel } from './draw.ts';
import { drawLoss } from './loss.ts';
import { type Model, trainableParameters, weightsOf } from './model.ts';

const head = (name: string, values: object): Head => createHead(name, { num_labels: 2, ...values }, 'test');
const HEADS = [
  head('sentiment', { head_type: 'classification', use_pooler: true, num_labels: 3 }),
  head('similarity', { head_type: 'classification', num_labels: 1 }),
  head('names', { head_type: 'tagging', num_labels: 4 }),
];

async function modelOf(values: Partial<CaMtlConfig>, heads = HEADS, folder = 'bert'): Promise<Model> {
  const encoder = await loadEncoder(nodeFiles, `test/golden/encoders/${folder}`);
  const config = caMtlConfig('ca_mtl_base', { max_length: 8, ...values });
  return { encoder, heads, attachment: attachCaMtl(config, { encoder: encoder.config, family: encoder.family, tasks: heads.length }) };
}

describe('first values', () => {
  it('are the encoder’s where it trains, a copy for the third norm, and drawn for the rest', async () => {
    const model = await modelOf({});
    const start = await startValues(model, 3);
    const specs = trainableParameters(model);
    expect([...start.keys()]).toEqual(specs.map(({ name }) => name));
    const top = await model.encoder.weights.get('bert.encoder.layer.2.output.LayerNorm.weight')?.read();
    expect(start.get('bert.encoder.layer.2.output.LayerNorm.weight')).toEqual(top);
    expect(start.get('bert.encoder.layer.2.adapter.condlayernorm.weight')).toEqual(top);
    expect(start.has('bert.encoder.layer.1.output.LayerNorm.weight')).toBe(false);
    expect(new Set(start.get('heads.names.1.weight')?.data as Float32Array).size).toBe(4 * 32);
    expect(await startValues(model, 3)).toEqual(start);
    expect((await startValues(model, 4)).get('heads.names.1.weight')).not.toEqual(start.get('heads.names.1.weight'));
  });

  it('as published, draw the top layer anew, frozen or not, and hold what the code’s filter freezes', async () => {
    const model = await modelOf({ start: 'published', freeze: '0-2' });
    const start = await startValues(model, 3);
    const name = 'bert.encoder.layer.2.attention.self.query.weight';
    const drawn = start.get(name)?.data as Float32Array;
    expect(Math.abs(Math.sqrt(drawn.reduce((sum, x) => sum + x * x, 0) / drawn.length) - 0.02)).toBeLessThan(0.002);
    expect(new Set(start.get('bert.encoder.layer.2.output.LayerNorm.weight')?.data as Float32Array)).toEqual(new Set([1]));
    expect(start.has('bert.encoder.layer.1.attention.self.cond_block_diag_attn.gb_weights.weight')).toBe(true);
    const trained = trainableParameters(model).map((spec) => spec.name);
    expect(trained).not.toContain(name);
    expect(trained).not.toContain('bert.encoder.layer.1.attention.self.cond_block_diag_attn.gb_weights.weight');
    expect(trained).toContain('bert.encoder.layer.1.attention.self.random_weight_matrix');
  });
});

it('trains heads of several kinds in one batch, with dropout, and every trained tensor moves', async () => {
  const model = await modelOf({ freeze: 1 });
  const store = new ParameterStore(trainableParameters(model));
  for (const [name, { data }] of await startValues(model, 1)) store.set(name, data as Float32Array);
  const before = new Map([...store.values()].map(([name, { data }]) => [name, Float32Array.from(data as Float32Array)]));
  const plan = planDropout(128, 1);
  const { logits, trainable } = drawModel(model, plan.dropout, (name) => store.values().has(name));
  const { loss } = drawLoss(model, logits);
  const sizes = new Map([
    ['B', 3],
    ['S', 5],
  ]);
  const masks = (_part: unknown, t: number, microBatch: number) => plan.feeds(1, t, microBatch, sizes);
  const goal = { loss, trainable, weights: weightsOf(model, plan.pools), masks };
  const step = await compileStep(await nodeEngine({ threads: 1 }), goal, store, { adamw: ADAMW });
  const third = 1 / 3;
  const batch = {
    inputIds: int32([3, 5], [2, 9, 8, 7, 3, 2, 5, 3, 0, 0, 2, 30, 31, 32, 3]),
    tokenTypeIds: int32([3, 5], new Int32Array(15)),
    attentionMask: float32([3, 5], [1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1]),
    taskIds: int32([3], [1, 0, 2]),
    taskWeights: float32([3], [third, third, third]),
    'labels.0': int32([3], [0, 2, 0]),
    'lossWeights.0': float32([3], [0, 1, 0]),
    'labels.1': float32([3], [0.5, 0, 0]),
    'lossWeights.1': float32([3], [1, 0, 0]),
    'labels.2': int32([15], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 0]),
    'lossWeights.2': float32([15], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, third, third, third, 0]),
  };
  const losses: number[] = [];
  for (let t = 1; t <= 12; t++) losses.push((await step.run([batch], 3e-3, t)).loss);
  await step.release();
  expect(losses[11]).toBeLessThan((losses[0] as number) * 0.5);
  const still = [...store.values()].filter(([name, { data }]) => before.get(name)?.every((x, i) => x === data[i])).map(([name]) => name);
  expect(still).toEqual([]);
});

it('a head on the pooler of an encoder without one is named', async () => {
  const model = await modelOf({}, HEADS, 'distilbert');
  expect(() => drawModel(model, noDropout, () => false)).toThrow("head 'sentiment': key 'use_pooler'");
});

it('computes the last layer for first tokens alone where no head reads others', async () => {
  const model = await modelOf({}, HEADS.slice(0, 2));
  const shapes = (drawn: { logits: readonly Value[]; output: Value }) => [drawn.output.shape, ...drawn.logits.map(({ shape }) => shape)];
  expect(shapes(drawModel(model, noDropout, () => false))).toEqual([
    ['B', 32],
    ['B', 3],
    ['B', 1],
  ]);
  const tagging = await modelOf({});
  expect(shapes(drawModel(tagging, noDropout, () => false))).toEqual([
    ['B*S', 32],
    ['B', 3],
    ['B', 1],
    ['B*S', 4],
  ]);
});
