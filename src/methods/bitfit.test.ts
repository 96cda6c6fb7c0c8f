import { describe, expect, it } from 'vitest';
import { memoryFiles } from '../base/files.ts';
import { nodeFiles } from '../base/files-node.ts';
import { float32, int32, type Tensor } from '../base/tensor.ts';
import { loadAdapter, saveAdapter } from '../checkpoint/index.ts';
import { drawEncoder, type Encoder, loadEncoder } from '../encoders/index.ts';
import { firstValues } from '../model/first-values.ts';
import { noDropout, parameters } from '../nn/index.ts';
import { referenceEngine } from '../session/reference.ts';
import type { FileWeight } from '../session/session.ts';
import { type Attachment, attach } from './attachment.ts';
import { configureMethod } from './registry.ts';

const bert = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');
const attached = (text: string, { config, family }: Encoder = bert) =>
  attach(configureMethod(text), { encoder: config, family, name: 'a' });
const encoderName = (name: string) => name.replace('.adapters.a.', '.');

async function encode(encoder: Encoder, weights: ReadonlyMap<string, Tensor>, attachment?: Attachment): Promise<number[]> {
  const { config, family } = encoder;
  const resolve = parameters(() => false);
  const hooks = attachment?.hooks(resolve, noDropout) ?? {};
  const { output } = drawEncoder({ config, family, parameters: resolve, dropout: noDropout, hooks, read: 'all' });
  const all = new Map<string, Tensor | FileWeight>([...encoder.weights, ...weights]);
  const session = await referenceEngine().compile({ outputs: { output } }, all);
  const ids = int32([1, 4], [7, 50, 3, 99]);
  const results = await session.run({
    inputIds: ids,
    tokenTypeIds: int32([1, 4], [0, 0, 1, 1]),
    attentionMask: float32([1, 4], [1, 1, 1, 1]),
  });
  return Array.from(results.output?.data ?? [], Number);
}

describe('trained biases', () => {
  // 6 linears and 2 norms a layer, and the norm of the embeddings; layers of ALBERT are tied.
  it.each([
    ['bert', 3 * 8 + 1],
    ['electra', 3 * 8 + 1],
    ['albert', 8 + 1],
  ])('stand in the place of the biases of %s', async (name, count) => {
    const encoder = await loadEncoder(nodeFiles, `test/golden/encoders/${name}`);
    const attachment = attached('bitfit', encoder);
    expect(attachment.parameters).toHaveLength(count);
    const moved = new Map(attachment.parameters.map((spec, i) => [spec.name, float32(spec.shape, spread(spec.shape[0] as number, i))]));
    const replaced = new Map([...moved].map(([key, value]) => [encoderName(key), value]));
    expect([...replaced.keys()].every((key) => encoder.weights.has(key))).toBe(true);
    const [ours, expected, before] = [
      await encode(encoder, moved, attachment),
      await encode(encoder, replaced),
      await encode(encoder, new Map()),
    ];
    expect(ours).toHaveLength(4 * 32);
    expect(distance(ours, expected)).toBeLessThan(1e-6);
    expect(distance(before, expected)).toBeGreaterThan(0.1);
  });

  it('begin as the biases are', async () => {
    const values = await firstValues(attached('bitfit').parameters, bert, { seed: 1 });
    expect(values.size).toBe(25);
    for (const [name, { data }] of values)
      expect(Array.from(data, Number), name).toEqual(Array.from((await bert.weights.get(encoderName(name))?.read())?.data ?? [], Number));
  });

  it('can be those of some linears alone', () => {
    const specs = attached("bitfit[linears=['query', 'intermediate'], norms=False]").parameters;
    expect(specs.map(({ name }) => name)).toEqual(
      [0, 1, 2].flatMap((layer) =>
        ['attention.self.query', 'intermediate.dense'].map((path) => `bert.encoder.layer.${layer}.${path}.adapters.a.bias`),
      ),
    );
    expect(() => attached("bitfit[linears=['pooler']]")).toThrow("linears: found 'pooler'; expected of query, key, value, ");
    expect(() => attached('bitfit[linears=[], norms=False]')).toThrow('linears, norms: found no bias');
  });
});

it('a folder keeps them, under another name too', async () => {
  const encoder = { ...bert, name: 'tiny' };
  const method = configureMethod('bitfit[norms=False]');
  const tensors = await firstValues(attached('bitfit[norms=False]').parameters, bert, { seed: 1 });
  const files = memoryFiles();
  await saveAdapter(files, 'out', { name: 'a', method, tensors, model: encoder });
  const loaded = await loadAdapter(files, 'out', { encoder, as: 'b' });
  expect([loaded.layout, loaded.notes, loaded.method.config]).toEqual(['adapters', [], method.config]);
  expect([...loaded.tensors]).toEqual([...tensors].map(([key, value]) => [key.replace('.adapters.a.', '.adapters.b.'), value]));
});

function spread(count: number, seed: number): number[] {
  return Array.from({ length: count }, (_, i) => (seed % 3) + Math.sin(seed + i));
}

function distance(a: readonly number[], b: readonly number[]): number {
  return Math.max(...a.map((value, i) => Math.abs(value - (b[i] as number))));
}
