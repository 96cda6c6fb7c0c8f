import { describe, expect, it } from 'vitest';
import { memoryFiles } from '../base/files.ts';
import { nodeFiles } from '../base/files-node.ts';
import { float32, type Tensor } from '../base/tensor.ts';
import { loadAdapter, saveAdapter } from '../checkpoint/index.ts';
import { type Encoder, loadEncoder } from '../encoders/index.ts';
import type { Json } from '../formats/json.ts';
import { firstValues } from '../model/first-values.ts';
import { bindAdapter } from './adapter.ts';
import { encoderFacts } from './context.ts';
import { peftAtLinears } from './peft-linears.ts';
import { configureMethod, METHODS } from './registry.ts';

const load = (family: string) => loadEncoder(nodeFiles, `test/golden/encoders/${family}`);

const layout = peftAtLinears({
  type: 'X',
  parts: { one: 'x_one', two: 'x_two.weight' },
  prefix: 'x_',
  keys: ['r'],
  fixed: { bias: 'none' },
  idle: { use_effective_conv2d: false },
});
const one = float32([2], [1, 2]);
const read = (encoder: Encoder, raw: { [key: string]: Json }, names: readonly string[]) =>
  layout.read(
    { raw, path: 'c', weights: 'w', model: encoder.name, tensors: new Map<string, Tensor>(names.map((name) => [name, one])) },
    { ...encoderFacts(encoder), name: 'a' },
  );
const QUERY = 'bert.encoder.layer.1.attention.self.query';

describe('what PEFT keeps at linears', () => {
  it('is read by whole names, with the prefix or without it, and the rest is left', async () => {
    const encoder = await load('bert');
    const { config, tensors, rest } = read(encoder, { r: 3, bias: 'none', use_effective_conv2d: true, target_modules: ['x'] }, [
      `${QUERY}.x_one`,
      'encoder.layer.2.attention.self.query.x_two.weight',
      'classifier.weight',
    ]);
    expect(config).toEqual({ r: 3, linears: ['query'], leave_out: [0] });
    expect([...tensors.keys()]).toEqual([`${QUERY}.loras.a.one`, 'bert.encoder.layer.2.attention.self.query.loras.a.two']);
    expect([...rest.keys()]).toEqual(['classifier.weight']);
    const uneven = read(encoder, {}, [`${QUERY}.x_one`, 'pooler.dense.x_one', 'encoder.layer.0.attention.self.key.x_one']);
    expect(uneven.config).toEqual({
      linears: ['encoder.layer.0.attention.self.key', 'encoder.layer.1.attention.self.query', 'pooler.dense'],
      leave_out: [],
    });
  });

  it.each([
    [{ bias: 'all' }, [`${QUERY}.x_one`], 'adapter.format', "field 'bias'"],
    [{ use_magic: true }, [`${QUERY}.x_one`], 'adapter.format', "field 'use_magic'"],
    [{}, [`${QUERY}.x_three`], 'adapter.format', 'x_three'],
    [{}, [`${QUERY}.x_one`, `${QUERY}.base_layer.bias`], 'adapter.format', 'base_layer.bias'],
    [{}, [`${QUERY}.x_one`, `${QUERY.slice('bert.'.length)}.x_one`], 'adapter.format', 'one tensor more'],
    [{}, ['bert.embeddings.word_embeddings.x_one'], 'adapter.format', 'no linear'],
    [{}, ['bert.encoder.layer.9.attention.self.query.x_one'], 'adapter.mismatch', 'does not have'],
    [{}, ['classifier.weight'], 'adapter.format', 'no x_one or x_two.weight'],
  ] as const)('%j with %j is refused: %s', async (raw, names, code, message) => {
    const encoder = await load('bert');
    expect(() => read(encoder, raw as { [key: string]: Json }, names)).toThrow(expect.objectContaining({ code }));
    expect(() => read(encoder, raw as { [key: string]: Json }, names)).toThrow(message);
  });
});

/** Methods that only PEFT's layout holds, with ranks that narrow linears have. */
const OF_PEFT = METHODS.filter(({ peft, presets }) => peft && Object.keys(presets).some((name) => layoutsOf(name).join() === 'peft'));
function layoutsOf(name: string): readonly string[] {
  const { method, config } = configureMethod(name);
  return method.layouts?.(config) ?? ['adapters'];
}

it.each(
  OF_PEFT.filter(({ schema }) => schema.safeParse({ linears: ['query'] }).success).map(({ presets }) => Object.keys(presets)[0] as string),
)('%s: parts of a wider matrix have no form in PEFT, the whole of it has', async (name) => {
  const encoder = await load('modernbert');
  const saved = async (linears: string[]) => {
    const usual = configureMethod(name).config;
    const narrow = { ...('r' in usual && name !== 'oft' && { r: 2 }), ...('group_size' in usual && { group_size: 8 }) };
    const method = configureMethod(name, { linears, ...narrow });
    const { parameters } = bindAdapter(method, { ...encoderFacts(encoder), name: 'a' });
    const files = memoryFiles();
    const tensors = await firstValues(parameters, encoder, { seed: 1 });
    await saveAdapter(files, 'out', { name: 'a', method, tensors, model: encoder });
    return { tensors, again: await loadAdapter(files, 'out', { encoder, as: 'a' }) };
  };
  await expect(saved(['query', 'value'])).rejects.toMatchObject({ code: 'adapter.format' });
  const { tensors, again } = await saved(['Wqkv', 'mlp.Wo']);
  expect(again.tensors).toEqual(tensors);
});
