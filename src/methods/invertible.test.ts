import { describe, expect, it } from 'vitest';
import { nodeFiles } from '../base/files-node.ts';
import { createRandom } from '../base/random.ts';
import { elementCount, float32, type Tensor } from '../base/tensor.ts';
import { drawEncoder, loadEncoder } from '../encoders/index.ts';
import { input, type Value } from '../graph/index.ts';
import { noDropout, type Parameters, parameters } from '../nn/index.ts';
import { referenceEngine } from '../session/reference.ts';
import { attach } from './attachment.ts';
import { attachComposition } from './compose.ts';
import { stack } from './composition.ts';
import { configureMethod, methodOfConfig, shortestText } from './registry.ts';

const { config, family } = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');
const facts = { encoder: config, family };

describe('the coupling', () => {
  it.each([
    ['an even width', 8, ''],
    ['an odd width', 7, "[non_linearity='gelu', inv_adapter_reduction_factor=0.5]"],
  ])('is undone by what words are read with, on %s', async (_, width, settings) => {
    const encoder = { ...config, embedding: width };
    const attachment = attach(configureMethod(`seq_bn_inv${settings}`), { encoder, family, name: 'a' });
    const { embedded, word } = attachment.hooks(
      parameters(() => false),
      noDropout,
    );
    const x = input('x', 'float32', [5, width]);
    const site = { batch: 1, length: 5, first: 0, x, mask: input('mask', 'float32', [1, 5]), added: 0, at: 0 };
    const there = embedded?.(site).x as Value;
    const session = await referenceEngine().compile({ outputs: { there, back: word?.({ x: there }) as Value } }, filled(attachment));
    const before = numbers(5 * width, 9);
    const { there: moved, back } = await session.run({ x: float32([5, width], before) });
    expect(Math.max(...before.map((value, i) => Math.abs(value - Number(moved?.data[i]))))).toBeGreaterThan(0.1);
    expect(back?.shape).toEqual([5, width]);
    for (const [i, value] of before.entries()) expect(Number(back?.data[i])).toBeCloseTo(Math.fround(value), 12);
  });

  it('of the first adapter alone is read in a stack', () => {
    const adapters = new Map(['a', 'b'].map((name) => [name, configureMethod('seq_bn_inv')]));
    const attachment = attachComposition(stack('a', 'b'), { adapters, fusions: new Map() }, facts);
    const asked = new Set<string>();
    const resolve = parameters(() => false);
    const record: Parameters = (name, shape) => {
      asked.add(name);
      return resolve(name, shape);
    };
    drawEncoder({ config, family, parameters: record, dropout: noDropout, hooks: attachment.hooks(record, noDropout), read: 'all' });
    expect(asked).toContain('bert.invertible_adapters.a.G.2.bias');
    expect(asked).toContain('bert.encoder.layer.0.output.adapters.b.adapter_up.weight');
    expect([...asked].filter((name) => name.startsWith('bert.invertible_adapters.b.'))).toEqual([]);
  });
});

describe('configurations', () => {
  it('belong to it where they name a coupling, and to the bottleneck elsewhere', () => {
    const inverting = configureMethod('double_seq_bn_inv');
    expect(methodOfConfig(inverting.config, 'file').method).toBe(inverting.method);
    expect(methodOfConfig(configureMethod('seq_bn').config, 'file').method).toBe(configureMethod('seq_bn').method);
    expect(shortestText(configureMethod('pfeiffer+inv[reduction_factor=4]'))).toBe('seq_bn_inv[reduction_factor=4]');
    // Without a bottleneck.
    const alone = configureMethod('seq_bn_inv[output_adapter=False]');
    expect(attach(alone, { ...facts, name: 'a' }).parameters).toHaveLength(8);
  });

  it('of the coupling that scales are refused by its name, and so is an inner width of 0', () => {
    expect(() => methodOfConfig({ ...configureMethod('seq_bn_inv').config, inv_adapter: 'glow' }, 'file')).toThrow(
      `file: key 'inv_adapter': found "glow"; expected 'nice', whose coupling adds; the one that also scales is not available`,
    );
    expect(() => attach(configureMethod('seq_bn_inv[inv_adapter_reduction_factor=17]'), { ...facts, name: 'a' })).toThrow(
      'inv_adapter_reduction_factor: found 17; expected at most 16, half the width of the embeddings',
    );
    expect(() => configureMethod('seq_bn_inv[inv_adapter_reduction_factor=None]')).toThrow(
      "key 'inv_adapter_reduction_factor': found null",
    );
  });
});

function filled({ parameters: specs }: ReturnType<typeof attach>): Map<string, Tensor> {
  return new Map(specs.map(({ name, shape }, i) => [name, float32(shape, numbers(elementCount(shape), i))]));
}

function numbers(count: number, seed: number): number[] {
  const random = createRandom(seed);
  return Array.from({ length: count }, () => 0.5 * random.normal());
}
