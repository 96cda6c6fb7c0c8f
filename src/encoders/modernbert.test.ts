import { expect, it } from 'vitest';
import { memoryFiles } from '../base/files.ts';
import { float32 } from '../base/tensor.ts';
import { writeSafetensors } from '../formats/safetensors.ts';
import { type Dropout, parameters } from '../nn/index.ts';
import { configFields } from './fields.ts';
import { drawEncoder, encoderSpecs, familyOf, loadEncoder } from './index.ts';
import { MODERNBERT } from './modernbert.ts';

const family = familyOf('modernbert', 'test');
const FIELDS = { hidden_size: 16, num_hidden_layers: 3, num_attention_heads: 2, intermediate_size: 8, vocab_size: 12 };
const configOf = (fields: Record<string, unknown>) => MODERNBERT.config(configFields({ ...FIELDS, ...fields }, 'config.json'));

it('what a config.json leaves out is as in Python, and every switch is read', () => {
  expect(MODERNBERT.config(configFields({}, 'config.json'))).toEqual({
    family: 'modernbert',
    layers: 22,
    groups: 22,
    hidden: 768,
    embedding: 768,
    heads: 12,
    intermediate: 1152,
    vocabulary: 50368,
    positions: 8192,
    types: 0,
    epsilon: 1e-5,
    activation: 'gelu',
    hiddenDropout: 0,
    attentionDropout: 0,
    classifierDropout: 0,
    embeddingDropout: 0,
    padId: 50283,
    globalEvery: 3,
    window: 64,
    globalTheta: 160000,
    localTheta: 10000,
    normBias: false,
    attentionBias: false,
    feedForwardBias: false,
  });
  const specs = encoderSpecs(family, family.config(configFields({}, 'config.json')));
  // What transformers counts of its ModernBertModel.
  expect(specs.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0)).toBe(149_014_272);
  expect(configOf({ local_attention: 9, local_rope_theta: null, global_rope_theta: 7 })).toMatchObject({ window: 4, localTheta: 7 });
  const rates = { embedding_dropout: 0.1, attention_dropout: 0.2, mlp_dropout: 0.3, classifier_dropout: 0.4 };
  expect(configOf(rates)).toMatchObject({ embeddingDropout: 0.1, attentionDropout: 0.2, hiddenDropout: 0.3, classifierDropout: 0.4 });
});

it('dropout stands where Python has it', () => {
  const sites: string[] = [];
  const dropout: Dropout = (x, p, site) => {
    sites.push(`${site} ${p}`);
    return x;
  };
  const config = configOf({ embedding_dropout: 0.1, attention_dropout: 0.2, mlp_dropout: 0.3 });
  drawEncoder({ family, config, parameters: parameters(() => false), dropout, hooks: {}, read: 'all' });
  const layer = (i: number) => [`layer.${i}.attention 0.2`, `layer.${i}.attentionOutput 0.2`, `layer.${i}.intermediate 0.3`];
  expect(sites).toEqual(['embeddings 0.1', ...layer(0), ...layer(1), ...layer(2)]);
});

it('biases stand where the configuration wants them', () => {
  const biases = (fields: Record<string, unknown>) =>
    encoderSpecs(family, configOf(fields))
      .map(({ name }) => name)
      .filter((name) => name.endsWith('.bias') && !/layers\.[12]/.test(name));
  expect(biases({})).toEqual([]);
  expect(biases({ attention_bias: true })).toEqual(['model.layers.0.attn.Wqkv.bias', 'model.layers.0.attn.Wo.bias']);
  expect(biases({ mlp_bias: true })).toEqual(['model.layers.0.mlp.Wi.bias', 'model.layers.0.mlp.Wo.bias']);
  expect(biases({ norm_bias: true })).toEqual(['model.embeddings.norm.bias', 'model.layers.0.mlp_norm.bias', 'model.final_norm.bias']);
});

it('norms do not decay, though none is called a layer norm', () => {
  const kept = encoderSpecs(family, configOf({ norm_bias: true })).filter(({ decay }) => !decay);
  expect(kept).toHaveLength(2 * (1 + 2 + 3 + 1));
  expect(kept.every(({ name }) => /norm\.(weight|bias)$/.test(name))).toBe(true);
});

it.each([
  [{ rope_scaling: { type: 'linear', factor: 2 } }, "field 'rope_scaling': found a value"],
  [{ rope_parameters: {} }, "field 'rope_parameters': found a value"],
  [{ layer_types: ['full_attention'] }, "field 'layer_types': found a value"],
  [{ global_attn_every_n_layers: 0 }, "field 'global_attn_every_n_layers': found 0; expected more than 0"],
  [{ global_rope_theta: -1 }, "field 'global_rope_theta': found -1"],
  [{ local_rope_theta: 0 }, "field 'local_rope_theta': found 0"],
  [{ num_attention_heads: 16 }, "field 'num_attention_heads': found 16; expected heads of an even width"],
  [{ norm_bias: 1 }, "field 'norm_bias': found 1; expected true or false"],
])('what would change the result is refused: %j', (fields, message) => {
  expect(() => configOf(fields)).toThrow(message);
});

it('a checkpoint of masked-word prediction holds the same encoder as one without the prefix', async () => {
  const specs = encoderSpecs(family, configOf({}));
  const weights = specs.map(({ name, shape }) => [name, float32(shape, new Float32Array(shape.reduce((a, b) => a * b, 1)))] as const);
  const load = async (tensors: typeof weights) => {
    const config = JSON.stringify({ ...FIELDS, model_type: 'modernbert' });
    return loadEncoder(memoryFiles({ 'm/config.json': config, 'm/model.safetensors': writeSafetensors(new Map(tensors)) }), 'm');
  };
  const head = ['head.dense.weight', 'head.norm.weight', 'decoder.bias'].map((name) => [name, float32([1], [1])] as const);
  const whole = await load([...weights, ...head]);
  const bare = await load(weights.map(([name, value]) => [name.slice('model.'.length), value]));
  expect([whole.notes, bare.notes]).toEqual([[], []]);
  expect([...whole.weights.keys()].sort()).toEqual(specs.map(({ name }) => name).sort());
  expect([...bare.weights.keys()].sort()).toEqual([...whole.weights.keys()].sort());
});
