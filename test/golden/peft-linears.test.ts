import { describe, expect, test } from 'vitest';
import { memoryFiles } from '../../src/base/files.ts';
import { int32 } from '../../src/base/tensor.ts';
import { type LoadedAdapter, loadAdapter, saveAdapter } from '../../src/checkpoint/index.ts';
import { type Encoder, loadEncoder } from '../../src/encoders/index.ts';
import { isJsonObject, readJson } from '../../src/formats/json.ts';
import { readSafetensors } from '../../src/formats/safetensors.ts';
import { bindAdapter, configureMethod } from '../../src/methods/index.ts';
import { adapterModel, trainableParameters } from '../../src/model/model.ts';
import type { Head } from '../../src/objectives/index.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { createTrainingStep } from '../../src/train/step.ts';
import { ADAMW, ParameterStore } from '../../src/update/index.ts';
import { goldenFiles } from './files.ts';
import { type Batch, feedsOf, forward, relativeError } from './forward.ts';
import { PEFT_LINEARS } from './peft-linears.ts';

const encoderOf = async (name: string): Promise<Encoder> => ({
  ...(await loadEncoder(goldenFiles, `test/golden/encoders/${name}`)),
  name: `multigraft-tiny-${name}`,
});

async function run(adapter: LoadedAdapter, encoder: Encoder, batch: Batch, read: 'all' | 'first') {
  const tensors = new Map([...adapter.tensors, ...(adapter.head?.tensors ?? [])]);
  return forward(await nodeEngine({ threads: 1 }), { ...adapter, encoder, tensors, read }, batch);
}

const shapesIn = async (files: Parameters<typeof readSafetensors>[0]) =>
  Object.fromEntries(
    [...(await readSafetensors(files, 'out/adapter_model.safetensors')).tensors].map(([key, { shape }]) => [key, [...shape]]),
  );

test('every method was compared on four families', () => {
  expect(PEFT_LINEARS.length).toBeGreaterThan(0);
  for (const [name, { variants, trajectories }] of PEFT_LINEARS) {
    expect(new Set(Object.values(variants).map(({ encoder }) => encoder)), name).toEqual(
      new Set(['bert', 'roberta', 'distilbert', 'albert']),
    );
    expect(Object.keys(trajectories).length, name).toBeGreaterThan(0);
  }
});

describe.each(PEFT_LINEARS)('%s', (_group, golden) => {
  test.each(Object.entries(golden.variants))('%s: the numbers of PEFT, and again after saving with its keys', async (_name, variant) => {
    const encoder = await encoderOf(variant.encoder);
    const adapter = await loadAdapter(goldenFiles, `test/golden/${variant.folder}`, { encoder });
    expect(adapter.layout).toBe('peft');
    expect(adapter.notes).toEqual([]);
    const output = variant.logits64 ? 'logits' : 'pooled';
    for (const read of ['all', 'first'] as const) {
      const results = await run(adapter, encoder, golden.batches[variant.encoder] as Batch, read);
      expect(relativeError(results[output], (variant.logits64 ?? variant.pooled64 ?? []).flat())).toBeLessThan(1e-5);
    }
    const theirs = await readJson(goldenFiles, `test/golden/${variant.folder}/adapter_config.json`);
    for (const format of ['bin', 'safetensors'] as const) {
      const files = memoryFiles();
      await saveAdapter(files, 'out', adapter, { format });
      const again = await loadAdapter(files, 'out', { encoder, as: 'other' });
      expect(again.method.config).toEqual(adapter.method.config);
      expect([...again.tensors]).toEqual([...adapter.tensors].map(([key, value]) => [key.replace(`.${adapter.name}.`, '.other.'), value]));
      const ours = await readJson(files, 'out/adapter_config.json');
      if (!isJsonObject(ours) || !isJsonObject(theirs)) throw new Error('no objects');
      const [config = adapter.method.config] = (adapter.method.config.configs as (typeof adapter.method.config)[] | undefined) ?? [];
      const own = Object.entries(ours).filter(([key]) => Object.hasOwn(config, key) && key !== 'target_modules');
      expect(own).toEqual(own.map(([key]) => [key, theirs[key]]));
      expect(Object.keys(ours).length).toBeGreaterThan(own.length);
      if (!Array.isArray(adapter.method.config.configs)) expect(own.length).toBeGreaterThan(0);
      if (format === 'safetensors') expect(await shapesIn(files)).toEqual(variant.keys);
    }
  });

  test.each(Object.entries(golden.trajectories))(
    '%s: losses, gradient norms and parameters follow PEFT for 6 steps',
    async (_name, steps) => {
      const loaded = await encoderOf(steps.encoder);
      const encoder = { ...loaded, config: { ...loaded.config, hiddenDropout: 0, attentionDropout: 0, classifierDropout: 0 } };
      const adapter = await loadAdapter(goldenFiles, `test/golden/${steps.folder}`, { encoder });
      const head = adapter.head as Head & NonNullable<LoadedAdapter['head']>;
      const model = adapterModel(encoder, adapter.method, adapter.name, head);
      const store = new ParameterStore(trainableParameters(model));
      const start = new Map([...adapter.tensors, ...head.tensors]);
      for (const { name } of store.specs) store.set(name, start.get(name)?.data as Float32Array);
      const untrained = [...adapter.tensors].filter(([name]) => !store.specs.some((spec) => spec.name === name));
      const step = await createTrainingStep(await nodeEngine({ threads: 1 }), { ...model, frozen: new Map(untrained) }, store, {
        adamw: { ...ADAMW, clip: steps.optimiser.clip, weightDecay: steps.optimiser.weightDecay },
        seed: 1,
      });
      const count = steps.labels.length;
      const part = {
        ...feedsOf(steps, encoder),
        labels: int32([count], steps.labels),
        lossWeights: { dtype: 'float32' as const, shape: [count], data: new Float32Array(count).fill(1 / count) },
      };
      for (let t = 1; t <= steps.optimiser.steps; t++) {
        const result = await step.run([part], steps.optimiser.learningRate, t);
        expect(Math.abs(result.loss / (steps.losses64[t - 1] as number) - 1), `loss ${t}`).toBeLessThan(1e-4);
        expect(Math.abs(result.gradientNorm / (steps.gradientNorms64[t - 1] as number) - 1), `norm ${t}`).toBeLessThan(1e-4);
      }
      await step.release();
      const files = memoryFiles();
      const values = new Map([...start, ...store.values()]);
      const named = (tensors: LoadedAdapter['tensors']) => new Map([...tensors.keys()].map((key) => [key, values.get(key) as never]));
      const trained = { ...adapter, tensors: named(adapter.tensors), head: { ...head, tensors: named(head.tensors) } };
      await saveAdapter(files, 'out', trained, { format: 'safetensors' });
      const { tensors } = await readSafetensors(files, 'out/adapter_model.safetensors');
      for (const [key, sum] of Object.entries(steps.finalAbsSums64)) {
        const ours = [...(tensors.get(key)?.data ?? [])].reduce<number>((total, value) => total + Math.abs(Number(value)), 0);
        expect(Math.abs(ours / sum - 1), key).toBeLessThan(1e-4);
      }
    },
  );

  test('as many parameters train on BERT-base as in PEFT', async () => {
    const { family, config } = await encoderOf('bert');
    const encoder = { ...config, layers: 12, groups: 12, hidden: 768, intermediate: 3072, embedding: 768 };
    for (const [text, count] of Object.entries(golden.bertBaseTrainable)) {
      const { parameters } = bindAdapter(configureMethod(text), { encoder, family, name: 'x' });
      const trained = parameters.filter(({ trains }) => trains !== false);
      expect(
        trained.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
        text,
      ).toBe(count);
    }
  });
});
