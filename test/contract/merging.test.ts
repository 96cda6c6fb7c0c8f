import { beforeAll, describe, expect, test } from 'vitest';
import { float32, type Tensor } from '../../src/base/index.ts';
import { createRandom } from '../../src/base/random.ts';
import { configFields } from '../../src/encoders/fields.ts';
import { drawEncoder, type Encoder, type EncoderWeight, encoderSpecs, familyOf } from '../../src/encoders/index.ts';
import { type Attachment, attach, attachComposition, average, configureMethod, METHODS, stack } from '../../src/methods/index.ts';
import { affineSites } from '../../src/model/affine.ts';
import { noDropout, type ParameterSpec, parameters } from '../../src/nn/index.ts';
import { referenceEngine } from '../../src/session/reference.ts';
import type { FileWeight } from '../../src/session/session.ts';
import { settled } from './settings.ts';

/** Every preset that adds parameters, in every family with another way to keep linears and norms. */
const PRESETS = METHODS.flatMap(({ presets, architecture }) => (architecture === undefined ? [] : Object.keys(presets)));
/** Those that must be among what can be merged; more may come. */
const MERGED = ['lora', 'ia3', 'dora', 'dvora', 'vera', 'mtl_lora', 'ln_tuning', 'bitfit'];
const FAMILIES = ['bert', 'albert', 'modernbert'];
const encoders = new Map<string, Encoder>();

/** Random weights and biases; none at a neutral value. */
function tiny(name: string): Encoder {
  const fields = {
    hidden_size: 32,
    embedding_size: 8,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 24,
    vocab_size: 20,
    max_position_embeddings: 12,
    pad_token_id: 0,
    attention_bias: true,
    mlp_bias: true,
    norm_bias: true,
    global_attn_every_n_layers: 2,
    local_attention: 4,
  };
  const family = familyOf(name, 'test');
  const config = family.config(configFields(fields, 'test'));
  const specs = encoderSpecs(family, config);
  const weights = [...random(specs, 3)].map(
    ([key, value]) =>
      [key, { ...value, name: key, file: '', inPlace: false, read: async () => value } as unknown as EncoderWeight] as const,
  );
  return { name: 'tiny', folder: '', family, config, fields, weights: new Map(weights), notes: [] };
}

function random(specs: readonly ParameterSpec[], seed: number): Map<string, Tensor> {
  return new Map(
    specs.map(({ name, shape }, i) => {
      const stream = createRandom(seed, i);
      const length = shape.reduce((product, n) => product * n, 1);
      return [
        name,
        float32(
          shape,
          Float32Array.from({ length }, () => 0.3 * stream.normal() + 0.1),
        ),
      ];
    }),
  );
}

beforeAll(() => {
  for (const name of FAMILIES) encoders.set(name, tiny(name));
});

/** The encoder's output for two sequences, one of them padded. */
async function output(encoder: Encoder, attachment: Attachment | undefined, tensors: ReadonlyMap<string, Tensor>): Promise<Float64Array> {
  const { config, family } = encoder;
  const resolve = parameters(() => false);
  const hooks = attachment?.hooks(resolve, noDropout) ?? {};
  const drawing = drawEncoder({ config, family, parameters: resolve, dropout: noDropout, hooks, read: 'all' });
  const session = await referenceEngine().compile(
    { outputs: { output: drawing.output } },
    new Map<string, Tensor | FileWeight>([...encoder.weights, ...tensors]),
  );
  const inputIds: Tensor = { dtype: 'int32', shape: [2, 5], data: Int32Array.from([2, 7, 11, 5, 3, 4, 9, 6, 0, 0]) };
  const tokenTypeIds: Tensor = { ...inputIds, data: new Int32Array(10) };
  const attentionMask = float32([2, 5], [1, 1, 1, 1, 1, 1, 1, 1, 0, 0]);
  const result = await session.run({ inputIds, attentionMask, tokenTypeIds, ...family.inputs(inputIds, config) });
  return result.output?.data as Float64Array;
}

async function mergedInto(encoder: Encoder, attachment: Attachment, tensors: ReadonlyMap<string, Tensor>) {
  const changed = new Map<string, Tensor>();
  let sites = 0;
  for await (const { matrix, from, shape, newWeight, bias, newBias } of affineSites(encoder, attachment, tensors)) {
    sites++;
    for (const [name, values, start] of [
      [`${matrix}.weight`, newWeight, from * (shape[1] ?? 1)],
      ...(bias ? [[`${matrix}.bias`, newBias, from] as const] : []),
    ] as const) {
      const before = (changed.get(name) ?? (await encoder.weights.get(name)?.read())) as Tensor;
      const data = Float32Array.from(before.data as Float32Array);
      data.set(values, start);
      changed.set(name, float32(before.shape, data));
    }
  }
  return { changed, sites };
}

function difference(a: Float64Array, b: Float64Array): number {
  const size = a.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  return a.reduce((most, x, i) => Math.max(most, Math.abs(x - (b[i] as number))), 0) / size;
}

const bound = (encoder: Encoder, text: string) =>
  attach(configureMethod(text), { encoder: encoder.config, family: encoder.family, name: 'one' });
const canMerge = (attachment: Attachment) =>
  Object.keys(
    attachment.hooks(
      parameters(() => false),
      noDropout,
    ),
  ).every((site) => site === 'linear' || site === 'norm');

describe.each(FAMILIES)('merging into %s', (family) => {
  test.each(PRESETS)('%s gives the same output from the encoder alone, or is refused by name', async (name) => {
    const encoder = encoders.get(family) as Encoder;
    const attachment = bound(encoder, settled(name));
    const tensors = random(attachment.parameters, 9);
    if (!canMerge(attachment)) {
      expect(MERGED).not.toContain(name);
      await expect(mergedInto(encoder, attachment, tensors)).rejects.toThrow(/where no weights stand/);
      return;
    }
    const { changed, sites } = await mergedInto(encoder, attachment, tensors);
    expect(sites).toBeGreaterThan(0);
    const unmerged = await output(encoder, attachment, tensors);
    const stock = await output(encoder, undefined, new Map());
    expect(difference(await output(encoder, undefined, changed), unmerged)).toBeLessThan(1e-5);
    expect(difference(stock, unmerged)).toBeGreaterThan(1e-3);
  });

  test.each(['lora', 'dora', 'ia3', 'vera'])('a gated %s is refused', async (name) => {
    const encoder = encoders.get(family) as Encoder;
    const attachment = bound(encoder, `${name}[use_gating=True]`);
    await expect(mergedInto(encoder, attachment, random(attachment.parameters, 9))).rejects.toThrow(/a gate/);
  });

  test.each([
    ['a stack', stack('one', 'two')],
    ['an average', average(['one', 'two'], { weights: [0.3, 0.7] })],
    ['a stack with an average', stack('one', average(['two', 'three']))],
  ])('%s of adapters', async (_name, setup) => {
    const encoder = encoders.get(family) as Encoder;
    const facts = { encoder: encoder.config, family: encoder.family };
    for (const method of ['lora', 'ia3']) {
      const adapters = new Map(
        ['one', 'two', 'three'].map((one) => [one, configureMethod(method === 'ia3' ? 'ia3[attn_matrices=["q"]]' : method)]),
      );
      const attachment = attachComposition(setup, { adapters, fusions: new Map() }, facts);
      const tensors = random(attachment.parameters, 5);
      const { changed } = await mergedInto(encoder, attachment, tensors);
      expect(difference(await output(encoder, undefined, changed), await output(encoder, attachment, tensors))).toBeLessThan(1e-5);
    }
  });
});

test('every preset is tried, and the known ones can be merged', () => {
  expect(PRESETS.length).toBeGreaterThanOrEqual(MERGED.length);
  for (const name of MERGED) expect(PRESETS).toContain(name);
});
