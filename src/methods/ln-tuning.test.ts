import { describe, expect, it } from 'vitest';
import { memoryFiles } from '../base/files.ts';
import { nodeFiles } from '../base/files-node.ts';
import { float32, type Tensor } from '../base/tensor.ts';
import { loadAdapter } from '../checkpoint/index.ts';
import { loadEncoder } from '../encoders/index.ts';
import { readSafetensors, writeSafetensors } from '../formats/safetensors.ts';
import { firstValues } from '../model/first-values.ts';
import { attach } from './attachment.ts';
import { attachComposition } from './compose.ts';
import { average, type Composition, stack } from './composition.ts';
import { configureMethod } from './registry.ts';

const encoder = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');
const { config, family } = encoder;
const facts = { encoder: config, family };

describe('copies of norms', () => {
  it('begin as the norms are', async () => {
    const { parameters } = attach(configureMethod('ln_tuning'), { ...facts, name: 'a' });
    const values = await firstValues(parameters, encoder, { seed: 1 });
    expect(values.size).toBe(14);
    for (const [name, { data }] of values) {
      const source = (await encoder.weights.get(name.replace('.ln_tuning_layers.a.', '.'))?.read()) as Tensor;
      expect(Array.from(data, Number), name).toEqual(Array.from(source.data, Number));
    }
  });

  it('are of the norms whose names end so, and of no others', () => {
    const namesOf = (text: string) =>
      attach(configureMethod(text), { ...facts, name: 'a' }).parameters.map(({ name }) => name.replace('.ln_tuning_layers.a', ''));
    expect(namesOf("ln_tuning[target_modules=['attention.output.LayerNorm']]")).toEqual(
      [0, 1, 2].flatMap((layer) => ['weight', 'bias'].map((part) => `bert.encoder.layer.${layer}.attention.output.LayerNorm.${part}`)),
    );
    expect(namesOf("ln_tuning[target_modules=['embeddings.LayerNorm', 'layer.1.output.LayerNorm']]")).toHaveLength(4);
    for (const wrong of ['Norm', 'query', 'layer.7.output.LayerNorm'])
      expect(() => namesOf(`ln_tuning[target_modules=['${wrong}']]`)).toThrow(
        `target_modules: found '${wrong}'; expected the end of a norm's name: bert.embeddings.LayerNorm, `,
      );
  });

  it('stand beside bottlenecks, but two of one norm do not', () => {
    const adapters = new Map([
      ['a', configureMethod('ln_tuning')],
      ['b', configureMethod("ln_tuning[target_modules=['embeddings.LayerNorm']]")],
      ['c', configureMethod('seq_bn')],
    ]);
    const compose = (setup: Composition) => attachComposition(setup, { adapters, fusions: new Map() }, facts);
    expect(compose(stack('a', 'c')).parameters).toHaveLength(14 + 12);
    expect(() => compose(stack('a', 'b'))).toThrow(
      "adapter 'b': found another adapter before it at bert.embeddings.LayerNorm; expected none",
    );
    expect(() => compose(average(['a', 'c']))).toThrow("acts at the site 'norm'");
  });
});

describe('folders of PEFT that say more than gains and biases', () => {
  const NORM = 'base_model.model.bert.embeddings.LayerNorm.ln_tuning_layers.weight';
  const vector = float32([32], new Float32Array(32));

  async function load(fields: Readonly<Record<string, unknown>>, change: (tensors: Map<string, Tensor>) => unknown = () => {}) {
    const source = 'test/golden/peft/ln-all';
    const raw = JSON.parse(new TextDecoder().decode(await nodeFiles.read(`${source}/adapter_config.json`)));
    const { tensors } = await readSafetensors(nodeFiles, `${source}/adapter_model.safetensors`);
    change(tensors);
    const files = memoryFiles({
      'a/adapter_config.json': JSON.stringify({ ...raw, ...fields }),
      'a/adapter_model.safetensors': writeSafetensors(tensors),
    });
    return loadAdapter(files, 'a', { encoder: { ...encoder, name: 'tiny' } });
  }

  it('as they are, and with fields that say nothing, are read', async () => {
    expect((await load({ some_day: null, other: [] })).tensors.size).toBe(14);
  });

  it.each([
    ['a field of another day', 'adapter.format', "field 'use_scale'", () => load({ use_scale: true })],
    [
      'a linear',
      'adapter.format',
      'query: found a module that is no layer norm',
      () => load({}, copyOf('encoder.layer.0.attention.self.query')),
    ],
    ['a deeper encoder', 'adapter.mismatch', 'layer.9.output.LayerNorm', () => load({}, copyOf('encoder.layer.9.output.LayerNorm'))],
    [
      'a part of another day',
      'adapter.format',
      'ln_tuning_layers.scale',
      () => load({}, (all) => all.set(NORM.replace('weight', 'scale'), vector)),
    ],
    [
      'no bias',
      'adapter.format',
      'no bert.embeddings.LayerNorm.ln_tuning_layers.a.bias',
      () => load({}, (all) => all.delete(NORM.replace('weight', 'bias'))),
    ],
    [
      'another width',
      'adapter.format',
      '[16] instead of [32]',
      () => load({}, (all) => all.set(NORM, float32([16], new Float32Array(16)))),
    ],
    [
      'one norm with and without prefix',
      'adapter.format',
      'one copy of a norm more',
      () => load({}, (all) => all.set(NORM.replace('bert.', ''), vector)),
    ],
    ['no norms', 'adapter.format', 'no copy of a layer norm', () => load({}, (all) => all.clear())],
    [
      'a trained table',
      'adapter.format',
      'position_embeddings.weight',
      () => load({}, (all) => all.set('base_model.model.bert.embeddings.position_embeddings.weight', vector)),
    ],
  ] as const)('%s is refused by name', async (_, code, message, attempt) => {
    await expect(attempt()).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
  });

  function copyOf(module: string) {
    return (tensors: Map<string, Tensor>) => tensors.set(`base_model.model.bert.${module}.ln_tuning_layers.weight`, vector);
  }
});
