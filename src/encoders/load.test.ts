import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type Files, memoryFiles } from '../base/files.ts';
import { nodeFiles } from '../base/files-node.ts';
import { float32, type Tensor, tensor } from '../base/tensor.ts';
import { readSafetensors, writeSafetensors } from '../formats/safetensors.ts';
import { writeTorch } from '../formats/torch.ts';
import { loadEncoder } from './load.ts';

const FOLDER = 'test/golden/encoders/bert';
const config = JSON.parse(readFileSync(`${FOLDER}/config.json`, 'utf8')) as Record<string, unknown>;
const original = async () =>
  new Map(
    [...(await readSafetensors(nodeFiles, `${FOLDER}/model.safetensors`)).tensors].map(([name, value]) => [
      name.replace(/^bert\./, ''),
      value,
    ]),
  );

/** A folder in memory with the golden weights, changed. */
async function folder(change: (weights: Map<string, Tensor>) => Map<string, Tensor>, fields: Record<string, unknown> = {}): Promise<Files> {
  const weights = change(await original());
  return memoryFiles({ 'm/config.json': JSON.stringify({ ...config, ...fields }), 'm/model.safetensors': writeSafetensors(weights) });
}

const renamed = (weights: Map<string, Tensor>, rename: (name: string) => string) =>
  new Map([...weights].map(([name, value]) => [rename(name), value]));
const plain = async () => (await loadEncoder(nodeFiles, FOLDER)).weights;

describe('checkpoints of other shapes hold the same encoder', () => {
  const word = 'bert.embeddings.word_embeddings.weight';
  const cases: [string, (weights: Map<string, Tensor>) => Map<string, Tensor>][] = [
    ['with the family prefix', (weights) => renamed(weights, (name) => `bert.${name}`)],
    [
      'with old names of layer norms',
      (weights) =>
        renamed(weights, (name) => name.replace('LayerNorm.weight', 'LayerNorm.gamma').replace('LayerNorm.bias', 'LayerNorm.beta')),
    ],
    [
      'with pretraining heads and position ids',
      (weights) =>
        new Map([
          ...renamed(weights, (name) => `bert.${name}`),
          ['cls.predictions.bias', float32([2], [1, 2])],
          ['cls.seq_relationship.weight', float32([2, 1], [1, 2])],
          ['bert.embeddings.position_ids', tensor('int64', [1, 3], BigInt64Array.of(0n, 1n, 2n))],
        ]),
    ],
  ];
  test.each(cases)('%s', async (_, change) => {
    const encoder = await loadEncoder(await folder(change), 'm');
    const expected = await plain();
    expect([...encoder.weights.keys()].sort()).toEqual([...expected.keys()].sort());
    expect(encoder.notes).toEqual([]);
    expect((await encoder.weights.get(word)?.read())?.data).toEqual((await expected.get(word)?.read())?.data);
    expect((await encoder.weights.get('bert.encoder.layer.1.output.LayerNorm.bias')?.read())?.data).toEqual(
      (await expected.get('bert.encoder.layer.1.output.LayerNorm.bias')?.read())?.data,
    );
  });

  test('as a torch file, in place', async () => {
    const files = memoryFiles({ 'm/config.json': JSON.stringify(config), 'm/pytorch_model.bin': writeTorch(await original()) });
    const encoder = await loadEncoder(files, 'm');
    expect([...encoder.weights.values()].every((weight) => weight.inPlace)).toBe(true);
    expect((await encoder.weights.get(word)?.read())?.data).toEqual((await (await plain()).get(word)?.read())?.data);
  });
});

describe('wrong checkpoints are explained', () => {
  const load = async (change: (weights: Map<string, Tensor>) => Map<string, Tensor>, fields?: Record<string, unknown>) =>
    loadEncoder(await folder(change, fields), 'm', { checkFinite: true });
  const same = (weights: Map<string, Tensor>) => weights;

  test('missing weights are listed', async () => {
    const gone = (weights: Map<string, Tensor>) => new Map([...weights].filter(([name]) => !name.includes('layer.2.output.dense')));
    await expect(load(gone)).rejects.toMatchObject({
      code: 'encoder.weights',
      message: expect.stringContaining('no bert.encoder.layer.2.output.dense.weight, bert.encoder.layer.2.output.dense.bias; expected the'),
    });
  });

  test('an absent pooler is no error: it matters only where it is used', async () => {
    const encoder = await load((weights) => new Map([...weights].filter(([name]) => !name.startsWith('pooler'))));
    expect([...encoder.weights.keys()].some((name) => name.includes('pooler'))).toBe(false);
  });

  test('misshapen weights are listed with both shapes', async () => {
    await expect(load(same, { intermediate_size: 48 })).rejects.toMatchObject({
      code: 'encoder.weights',
      message: expect.stringMatching(/intermediate\.dense\.weight \[64,32\].*expected.*\[48,32\]/),
    });
  });

  test('unknown extras are noted', async () => {
    const { notes } = await load((weights) => new Map([...weights, ['surprise.weight', float32([1], [1])]]));
    expect(notes).toEqual(['Not part of a bert encoder, ignored: surprise.weight.']);
  });

  test('NaN is noted', async () => {
    const { notes } = await load((weights) => {
      (weights.get('encoder.layer.0.output.dense.bias')?.data as Float32Array)[3] = Number.NaN;
      return weights;
    });
    expect(notes).toEqual(['bert.encoder.layer.0.output.dense.bias holds 1 numbers that are not finite.']);
  });

  test.each([
    [{ model_type: 'roberto' }, "Did you mean 'roberta'?"],
    [{ model_type: undefined }, "field 'model_type': found nothing"],
    [{ num_attention_heads: 5 }, 'found 32 hidden units and 5 heads'],
    [{ hidden_size: '32' }, 'field \'hidden_size\': found "32"; expected an integer'],
    [{ num_hidden_layers: -1 }, "field 'num_hidden_layers': found -1"],
    [{ hidden_act: 'geluu' }, "Did you mean 'gelu'?"],
  ])('config %j', async (fields, message) => {
    await expect(load(same, fields)).rejects.toMatchObject({ code: 'encoder.config', message: expect.stringContaining(message) });
  });

  test('a folder without config or weights', async () => {
    await expect(loadEncoder(memoryFiles({ 'm/x': '' }), 'm')).rejects.toMatchObject({
      code: 'file.missing',
      message: expect.stringContaining('a folder without config.json'),
    });
    await expect(loadEncoder(memoryFiles({ 'm/config.json': JSON.stringify(config) }), 'm')).rejects.toMatchObject({
      code: 'file.missing',
      message: expect.stringContaining('no weights'),
    });
  });
});
