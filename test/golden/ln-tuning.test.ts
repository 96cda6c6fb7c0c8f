import { describe, expect, test } from 'vitest';
import { memoryFiles } from '../../src/base/files.ts';
import { type LoadedAdapter, loadAdapter, saveAdapter } from '../../src/checkpoint/index.ts';
import { type Encoder, loadEncoder } from '../../src/encoders/index.ts';
import { isJsonObject, readJson } from '../../src/formats/json.ts';
import { readSafetensors } from '../../src/formats/safetensors.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { goldenFiles } from './files.ts';
import { type Batch, forward, readCases, relativeError } from './forward.ts';

interface Variant {
  readonly encoder: string;
  readonly folder: string;
  readonly keys: Record<string, number[]>;
  readonly logits64?: number[][];
  readonly pooled64?: number[][];
}

const golden = readCases<{ batches: Record<string, Batch>; variants: Record<string, Variant> }>('peft/others.json');
const VARIANTS = Object.entries(golden.variants).filter(([name]) => name.startsWith('ln-'));
/** Norms of a variant whose copies are not of all the encoder's. */
const TARGETS: Readonly<Record<string, readonly string[]>> = {
  'ln-attention': [0, 1, 2].map((layer) => `encoder.layer.${layer}.attention.output.LayerNorm`),
  'ln-regex': [0, 2].map((layer) => `encoder.layer.${layer}.output.LayerNorm`),
  'ln-bare': [0, 1, 2].flatMap((layer) => ['attention.output', 'output'].map((place) => `encoder.layer.${layer}.${place}.LayerNorm`)),
  'ln-distilbert': [0, 1, 2].flatMap((layer) => ['sa', 'output'].map((place) => `transformer.layer.${layer}.${place}_layer_norm`)),
};

const encoderOf = async (name: string): Promise<Encoder> => ({
  ...(await loadEncoder(goldenFiles, `test/golden/encoders/${name}`)),
  name: `multigraft-tiny-${name}`,
});

async function run(adapter: LoadedAdapter, encoder: Encoder, batch: Batch, read: 'all' | 'first') {
  const tensors = new Map([...adapter.tensors, ...(adapter.head?.tensors ?? [])]);
  return forward(await nodeEngine({ threads: 1 }), { ...adapter, encoder, tensors, read }, batch);
}

/** Whole names of the norms that PEFT's file has copies of. */
function targetsOf({ keys }: Variant, { family: { prefix } }: Encoder): string[] {
  const copies = Object.keys(keys).flatMap((key) => /^base_model\.model\.(.*)\.ln_tuning_layers\.weight$/.exec(key)?.[1] ?? []);
  return copies.map((path) => (path.startsWith(prefix) ? path.slice(prefix.length) : path));
}

test('there are 8 variants on four families', () => {
  expect(VARIANTS).toHaveLength(8);
  expect(new Set(VARIANTS.map(([, { encoder }]) => encoder)).size).toBe(4);
});

describe.each(VARIANTS)('%s', (name, variant) => {
  test('gives the logits or pooled vectors of PEFT, and again after saving with the keys that PEFT has', async () => {
    const encoder = await encoderOf(variant.encoder);
    const adapter = await loadAdapter(goldenFiles, `test/golden/${variant.folder}`, { encoder });
    expect(adapter.layout).toBe('peft');
    expect(adapter.notes).toEqual([]);
    expect(adapter.method.config).toEqual({ architecture: 'ln_tuning', target_modules: TARGETS[name] ?? null });
    expect(adapter.head !== undefined).toBe(variant.logits64 !== undefined);
    const expected = (variant.logits64 ?? variant.pooled64 ?? []).flat();
    const output = variant.logits64 ? 'logits' : 'pooled';
    for (const read of ['all', 'first'] as const) {
      const results = await run(adapter, encoder, golden.batches[variant.encoder] as Batch, read);
      expect(relativeError(results[output], expected)).toBeLessThan(1e-5);
    }
    for (const format of ['bin', 'safetensors'] as const) {
      const files = memoryFiles();
      await saveAdapter(files, 'out', adapter, { format });
      const again = await loadAdapter(files, 'out', { encoder, as: 'other' });
      expect(again.method.config).toEqual(adapter.method.config);
      expect([...again.tensors]).toEqual([...adapter.tensors].map(([key, value]) => [key.replace(`.${adapter.name}.`, '.other.'), value]));
      const config = await readJson(files, 'out/adapter_config.json');
      expect(isJsonObject(config) && config.peft_type).toBe('LN_TUNING');
      expect(isJsonObject(config) && new Set(config.target_modules as string[])).toEqual(new Set(targetsOf(variant, encoder)));
      if (format === 'bin') continue;
      const { tensors } = await readSafetensors(files, 'out/adapter_model.safetensors');
      expect(Object.fromEntries([...tensors].map(([key, { shape }]) => [key, [...shape]]))).toEqual(variant.keys);
    }
  });
});
