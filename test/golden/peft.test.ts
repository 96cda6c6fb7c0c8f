import { describe, expect, test } from 'vitest';
import { memoryFiles } from '../../src/base/files.ts';
import type { Tensor } from '../../src/base/tensor.ts';
import { type LoadedAdapter, loadAdapter, saveAdapter } from '../../src/checkpoint/index.ts';
import { type Encoder, loadEncoder } from '../../src/encoders/index.ts';
import { isJsonObject, readJson } from '../../src/formats/json.ts';
import { readSafetensors, writeSafetensors } from '../../src/formats/safetensors.ts';
import { labelsOf } from '../../src/objectives/index.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { goldenFiles } from './files.ts';
import { type Batch, forward, readCases, relativeError } from './forward.ts';

interface Variant {
  readonly folder: string;
  readonly keys: Record<string, number[]>;
  readonly logits64?: number[][];
  readonly pooled64?: number[][];
}

const golden = readCases<Batch & { variants: Record<string, Variant> }>('peft/peft.json');
const VARIANTS = Object.entries(golden.variants);
const encoderOf = async (): Promise<Encoder> => ({
  ...(await loadEncoder(goldenFiles, 'test/golden/encoders/bert')),
  name: 'multigraft-tiny-bert',
});
const load = async ({ folder }: Variant) => loadAdapter(goldenFiles, `test/golden/${folder}`, { encoder: await encoderOf() });

async function run(adapter: LoadedAdapter, encoder: Encoder) {
  const tensors = new Map([...adapter.tensors, ...(adapter.head?.tensors ?? [])]);
  return forward(await nodeEngine({ threads: 1 }), { ...adapter, encoder, tensors }, golden);
}

test('there are 9 variants, of which one cannot be expressed', () => {
  expect(VARIANTS).toHaveLength(9);
});

describe.each(VARIANTS.filter(([name]) => name !== 'lora-bias'))('%s', (_name, variant) => {
  test('gives the logits or pooled vectors of PEFT, and again after saving', async () => {
    const encoder = await encoderOf();
    const adapter = await load(variant);
    expect(adapter.layout).toBe('peft');
    expect(adapter.head !== undefined).toBe(variant.logits64 !== undefined);
    const expected = (variant.logits64 ?? variant.pooled64 ?? []).flat();
    const results = await run(adapter, encoder);
    expect(relativeError(results[variant.logits64 ? 'logits' : 'pooled'], expected)).toBeLessThan(1e-5);
    for (const format of ['bin', 'safetensors'] as const) {
      const files = memoryFiles();
      await saveAdapter(files, 'out', adapter, { layout: 'peft', format });
      const again = await loadAdapter(files, 'out', { encoder, as: adapter.name });
      expect(again.method.config).toEqual(adapter.method.config);
      expect(again.tensors).toEqual(adapter.tensors);
      expect(again.head?.tensors).toEqual(adapter.head?.tensors);
      await files.remove('out/head_config.json');
      expect((await loadAdapter(files, 'out', { encoder, as: adapter.name })).head?.tensors).toEqual(adapter.head?.tensors);
    }
  });
});

test('a uniform adapter is written with the keys and shapes that PEFT wrote', async () => {
  for (const name of ['lora-attention-output', 'lora-all-linears', 'lora-bare']) {
    const variant = golden.variants[name] as Variant;
    const files = memoryFiles();
    await saveAdapter(files, 'out', await load(variant), { layout: 'peft' });
    const { tensors } = await readSafetensors(files, 'out/adapter_model.safetensors');
    expect(Object.fromEntries([...tensors].map(([key, { shape }]) => [key, [...shape]]))).toEqual(variant.keys);
  }
});

test('target modules are whole names, so that no other linear is meant', async () => {
  const files = memoryFiles();
  await saveAdapter(files, 'out', await load(golden.variants['lora-regex'] as Variant), { layout: 'peft' });
  const config = await readJson(files, 'out/adapter_config.json');
  expect(isJsonObject(config) && config.target_modules).toEqual(['encoder.layer.0.output.dense', 'encoder.layer.2.output.dense']);
  expect(isJsonObject(config) && [config.r, config.lora_alpha, config.task_type]).toEqual([4, 2, 'SEQ_CLS']);
});

test('trained biases cannot be expressed', async () => {
  await expect(load(golden.variants['lora-bias'] as Variant)).rejects.toMatchObject({
    code: 'adapter.format',
    problem: { subject: expect.stringContaining("field 'bias'"), found: '"lora_only"' },
  });
});

test('updates of the attention output have no form in adapters: PEFT is the usual layout, the other an error', async () => {
  const adapter = await load(golden.variants['lora-attention-output'] as Variant);
  const files = memoryFiles();
  await saveAdapter(files, 'out', adapter);
  expect((await files.list('out')).filter((name) => name.startsWith('adapter'))).toEqual([
    'adapter_config.json',
    'adapter_model.safetensors',
  ]);
  await expect(saveAdapter(files, 'out', adapter, { layout: 'adapters' })).rejects.toMatchObject({
    code: 'adapter.format',
    problem: { next: 'Save it as peft.' },
  });
  const plain = await load(golden.variants['lora-layers'] as Variant);
  await saveAdapter(files, 'plain', plain);
  expect((await loadAdapter(files, 'plain', { encoder: await encoderOf() })).layout).toBe('adapters');
});

test('labels and the kind of a head are those of config.json, where it names as many', async () => {
  const encoder = await encoderOf();
  const variant = golden.variants['lora-attention-output'] as Variant;
  const headWith = async (fields: Record<string, unknown>) => {
    const { head } = await loadAdapter(goldenFiles, `test/golden/${variant.folder}`, {
      encoder: { ...encoder, fields: { ...encoder.fields, ...fields } },
    });
    return [head?.config.head_type, head && labelsOf(head)];
  };
  const names = { 0: 'joy', 1: 'anger', 2: 'fear' };
  const unnamed = ['LABEL_0', 'LABEL_1', 'LABEL_2'];
  expect(await headWith({ id2label: names })).toEqual(['classification', ['joy', 'anger', 'fear']]);
  expect(await headWith({ id2label: names, problem_type: 'multi_label_classification' })).toEqual([
    'multilabel_classification',
    Object.values(names),
  ]);
  for (const id2label of [
    { 0: 'joy', 1: 'anger' },
    { ...names, 3: 'more' },
    { 0: 'joy', 1: 'joy', 2: 'fear' },
    { 0: 'joy', 1: 2, 2: 'fear' },
    ['joy'],
    null,
  ])
    expect(await headWith({ id2label })).toEqual(['classification', unnamed]);
});

test('a word table that trained is refused, whole modules are named as members of a union', async () => {
  const encoder = await encoderOf();
  const files = memoryFiles();
  const adapter = await load(golden.variants['lora-bin'] as Variant);
  await saveAdapter(files, 'out', adapter, { layout: 'peft' });
  const { tensors } = await readSafetensors(files, 'out/adapter_model.safetensors');
  const withWeight = async (name: string) => {
    const value = (await encoder.weights.get(name)?.read()) as Tensor;
    await files.write('out/adapter_model.safetensors', writeSafetensors(new Map([...tensors, [`base_model.model.${name}`, value]])));
    return loadAdapter(files, 'out', { encoder });
  };
  await expect(withWeight('bert.embeddings.word_embeddings.weight')).rejects.toThrow('in no linear and no layer norm');
  await expect(withWeight('bert.pooler.dense.weight')).rejects.toThrow('bias');
});
