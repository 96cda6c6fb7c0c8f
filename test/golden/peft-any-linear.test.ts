import { describe, expect, test } from 'vitest';
import { memoryFiles } from '../../src/base/files.ts';
import { type LoadedAdapter, loadAdapter, saveAdapter } from '../../src/checkpoint/index.ts';
import { type Encoder, loadEncoder } from '../../src/encoders/index.ts';
import { readSafetensors } from '../../src/formats/safetensors.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { goldenFiles } from './files.ts';
import { type Batch, forward, readCases, relativeError } from './forward.ts';

interface Variant {
  readonly folder: string;
  readonly encoder: string;
  readonly keys: Record<string, number[]>;
  readonly logits64?: number[][];
  readonly pooled64?: number[][];
  readonly last?: number[];
}

const golden = readCases<{ batches: Record<string, Batch>; variants: Record<string, Variant> }>('peft/lora-any-linear.json');
const encoderOf = async ({ encoder }: Variant): Promise<Encoder> => ({
  ...(await loadEncoder(goldenFiles, `test/golden/encoders/${encoder}`)),
  name: `multigraft-tiny-${encoder}`,
});

async function errorOf(adapter: LoadedAdapter, encoder: Encoder, variant: Variant): Promise<number> {
  const batch = golden.batches[variant.encoder] as Batch;
  const tensors = new Map([...adapter.tensors, ...(adapter.head?.tensors ?? [])]);
  const { head, ...rest } = adapter;
  const results = await forward(await nodeEngine({ threads: 1 }), { ...rest, ...(head && { head }), encoder, tensors }, batch);
  if (!variant.last)
    return relativeError(results[variant.logits64 ? 'logits' : 'pooled'], (variant.logits64 ?? variant.pooled64 ?? []).flat());
  // What stands in padded places is nobody's concern.
  const mask = batch.attentionMask.flat();
  const real = (values: ArrayLike<number>) => Array.from(values).filter((_, i) => mask[Math.floor(i / encoder.config.hidden)] === 1);
  const own = real(results.hidden?.data as Float32Array);
  return relativeError({ dtype: 'float32', shape: [own.length], data: Float32Array.from(own) }, real(variant.last));
}

describe.each(Object.entries(golden.variants))('%s', (_name, variant) => {
  test('gives what PEFT gives, and is written as PEFT wrote it', async () => {
    const encoder = await encoderOf(variant);
    const adapter = await loadAdapter(goldenFiles, `test/golden/${variant.folder}`, { encoder });
    expect(await errorOf(adapter, encoder, variant)).toBeLessThan(1e-5);
    const files = memoryFiles();
    await saveAdapter(files, 'out', adapter);
    const { tensors } = await readSafetensors(files, 'out/adapter_model.safetensors');
    expect(Object.fromEntries([...tensors].map(([key, { shape }]) => [key, [...shape]]))).toEqual(variant.keys);
    const again = await loadAdapter(files, 'out', { encoder, as: adapter.name });
    expect(again.method.config).toEqual(adapter.method.config);
    expect(await errorOf(again, encoder, variant)).toBeLessThan(1e-5);
  });
});

test('linears are named shortly where all layers have the same ones, ranks by their paths', async () => {
  const configOf = async (name: string) => {
    const variant = golden.variants[name] as Variant;
    return (await loadAdapter(goldenFiles, `test/golden/${variant.folder}`, { encoder: await encoderOf(variant) })).method.config;
  };
  const all = ['query', 'key', 'value', 'attentionOutput', 'intermediate', 'output', 'pooler'];
  expect([...((await configOf('lora-all-linear')).linears as string[])].sort()).toEqual(all.sort());
  const patterns = await configOf('lora-regex-patterns');
  expect(patterns.rank_pattern).toEqual({
    'encoder.layer.2.attention.self.query': 4,
    'pooler.dense': 4,
  });
});
