import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { memoryFiles } from '../../src/base/files.ts';
import { ADAPTER_CONFIG, configHash, loadAdapter, saveAdapter } from '../../src/checkpoint/index.ts';
import { type Encoder, loadEncoder } from '../../src/encoders/index.ts';
import { isJsonObject, parseJson } from '../../src/formats/json.ts';
import { readTorch } from '../../src/formats/torch.ts';
import { bindAdapter, configInAdapters, configureMethod, type MethodConfig, methodNames } from '../../src/methods/index.ts';
import { firstValues } from '../../src/model/first-values.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { referenceEngine } from '../../src/session/reference.ts';
import { goldenFiles } from './files.ts';
import { type Batch, forward, readCases, relativeError } from './forward.ts';
import { GROUPS, type Variant } from './groups.ts';

const encoders = new Map<string, Promise<Encoder>>();
const encoderOf = (name: string) => {
  // The folders of the encoders have no name of their own; the adapters know what they were made for.
  const load = async () => ({ ...(await loadEncoder(goldenFiles, `test/golden/encoders/${name}`)), name: `multigraft-tiny-${name}` });
  const known = encoders.get(name) ?? load();
  encoders.set(name, known);
  return known;
};

async function load({ folder, encoder, configChanges }: Variant) {
  const loaded = await loadAdapter(goldenFiles, `test/golden/${folder}`, { encoder: await encoderOf(encoder) });
  const changed = configChanges && { ...loaded.method, config: { ...loaded.method.config, ...configChanges } };
  return { ...loaded, method: changed ?? loaded.method };
}

const membersOf = ({ configs }: MethodConfig) => configs as MethodConfig[] | undefined;
const isGated = (config: MethodConfig): boolean => membersOf(config)?.some(isGated) ?? config.use_gating === true;

/** With gates as Python's. */
function overPads(config: MethodConfig): MethodConfig {
  const members = membersOf(config);
  if (members) return { ...config, configs: members.map(overPads) };
  return isGated(config) ? { ...config, gate_over_pads: true } : config;
}

test('every group of variants is there', () => {
  expect(GROUPS.length).toBeGreaterThanOrEqual(7);
  expect(GROUPS.reduce((sum, { cases }) => sum + Object.keys(cases).length, 0)).toBeGreaterThanOrEqual(185);
  for (const { name, cases, reference } of GROUPS) {
    expect(reference.length, name).toBeGreaterThan(0);
    expect(
      reference.filter((variant) => !Object.hasOwn(cases, variant)),
      name,
    ).toEqual([]);
  }
});

describe.each(GROUPS.map((group) => [group.name, group] as const))('%s', (_, group) => {
  const variants = Object.entries(group.cases);

  describe.each(variants)('%s', (variantName, variant) => {
    test('loads without notes and gives the logits of Python, reading all tokens or the first', async () => {
      const adapter = await load(variant);
      const gated = isGated(adapter.method.config);
      expect(adapter.notes).toEqual(gated ? [expect.stringContaining('gate_over_pads')] : []);
      expect(adapter.layout).toBe('adapters');
      const frozen = new Set(variant.frozen);
      expect([...adapter.tensors].reduce((sum, [key, { data }]) => sum + (frozen.has(key) ? 0 : data.length), 0)).toBe(variant.trainable);
      expect(await configHash(configInAdapters(adapter.method), adapter.method.method.floatKeys)).toBe(variant.hash);
      const encoder = await encoderOf(variant.encoder);
      const batch = group.batches[variant.encoder] as Batch;
      const tensors = new Map([...adapter.tensors, ...(adapter.head?.tensors ?? [])]);
      const mixes = adapter.method.method.mixesTokens(adapter.method.config);
      // ONNX Runtime takes ten times as long to compile a program as the reference engine to run it.
      const given = { ...adapter, encoder, tensors };
      const whole = await forward(await nodeEngine({ threads: 1 }), given, batch);
      const first = mixes ? whole : await forward(referenceEngine(), { ...given, read: 'first' }, batch);
      // Without gates rows alone are as in their batch, but for rounding.
      const expected = (gated ? variant.logitsUnpadded : variant.logits64).flat();
      expect(relativeError(whole.logits, expected)).toBeLessThan(1e-5);
      expect(relativeError(first.logits, expected)).toBeLessThan(1e-5);
      if (gated) {
        const method = { ...adapter.method, config: overPads(adapter.method.config) };
        const { logits } = await forward(referenceEngine(), { ...given, method }, batch);
        expect(relativeError(logits, variant.logits64.flat())).toBeLessThan(1e-5);
        expect(relativeError(logits, variant.logitsUnpadded.flat())).toBeGreaterThan(1e-4);
      }
      if (!group.reference.includes(variantName)) return;
      const { logits } = await forward(referenceEngine(), given, batch);
      if (gated) expect(relativeError(logits, variant.logitsUnpadded.flat())).toBeLessThan(1e-5);
      else expect(relativeError(logits, variant.logits64.flat())).toBeLessThan(1e-6);
    });

    test('what trains, what is frozen, and first values are as in Python', async () => {
      const { method, name: adapterName } = await load(variant);
      const encoder = await encoderOf(variant.encoder);
      const specs = bindAdapter(method, { encoder: encoder.config, family: encoder.family, name: adapterName }).parameters;
      expect(specs.filter(({ trains }) => trains === false).map((spec) => spec.name)).toEqual(variant.frozen ?? []);
      const values = await firstValues(specs, encoder, { seed: 1 });
      for (const [key, initial] of Object.entries(variant.initial ?? {}))
        expect(relativeError(values.get(key), initial)).toBeLessThan(1e-6);
    });
  });

  test('what is loaded and saved again is what Python wrote', async () => {
    const folders = [...new Map(Object.values(group.cases).map((variant) => [variant.folder, variant])).values()];
    expect(folders.length).toBeGreaterThan(0);
    for (const variant of folders) await saveAgain(variant);
  });
});

async function saveAgain({ folder, encoder }: Variant) {
  const source = `test/golden/${folder}`;
  const adapter = await loadAdapter(goldenFiles, source, { encoder: await encoderOf(encoder) });
  for (const format of ['bin', 'safetensors'] as const) {
    const files = memoryFiles();
    await saveAdapter(files, 'out', adapter, { format });
    for (const name of [ADAPTER_CONFIG, 'head_config.json'])
      expect(new TextDecoder().decode(await files.read(`out/${name}`)), `${folder}/${name}`).toBe(
        readFileSync(`${source}/${name}`, 'utf8'),
      );
    const again = await loadAdapter(files, 'out', { encoder: await encoderOf(encoder) });
    expect(again.tensors).toEqual(adapter.tensors);
    expect(again.head?.tensors).toEqual(adapter.head?.tensors);
    if (format === 'safetensors') continue;
    for (const name of ['pytorch_adapter.bin', 'pytorch_model_head.bin']) {
      const python = (await readTorch(goldenFiles, `${source}/${name}`)).tensors;
      const ours = (await readTorch(files, `out/${name}`)).tensors;
      expect([...ours.keys()].sort()).toEqual([...python.keys()].sort());
      expect(ours).toEqual(python);
    }
  }
}

test('renaming changes every key and nothing else', async () => {
  const variant = GROUPS.find(({ name }) => name === 'methods')?.cases['bn-ln-before'] as Variant;
  const encoder = await encoderOf('bert');
  const loaded = await load(variant);
  const renamed = await loadAdapter(goldenFiles, `test/golden/${variant.folder}`, { encoder, as: 'other' });
  expect(renamed.name).toBe('other');
  expect(renamed.head?.name).toBe('other');
  expect([...renamed.tensors.keys()]).toEqual([...loaded.tensors.keys()].map((key) => key.replace('.golden.', '.other.')));
  expect([...renamed.tensors.values()]).toEqual([...loaded.tensors.values()]);
});

const configs = readCases<{
  hashes: Record<string, string>;
  configs: Record<string, Record<string, unknown>>;
  bertBaseTrainable: Record<string, number>;
}>('methods/configs.json');

test('configuration hashes are those of Python for all its presets', async () => {
  const floats = ['scaling', 'vera_d', 'vera_b', 'dropout', 'phm_init_range', 'weights_sharpness', 'stochastic_depth'];
  const names = Object.keys(configs.configs);
  expect(names).toHaveLength(28);
  for (const name of names) {
    const config = configs.configs[name];
    expect(isJsonObject(config)).toBe(true);
    expect(await configHash(config as Record<string, unknown>, floats), name).toBe(configs.hashes[name]);
  }
});

test('presets are those of Python, key by key', () => {
  const shared = methodNames().filter((name) => Object.hasOwn(configs.configs, name));
  expect(shared).toEqual(expect.arrayContaining(['seq_bn', 'houlsby', 'par_bn', 'scaled_parallel', 'lora', 'mtl_lora', 'unipelt']));
  // Python has subtract_projection and does not write it.
  for (const name of shared)
    expect({ ...configInAdapters(configureMethod(name)), subtract_projection: undefined }, name).toEqual(configs.configs[name]);
});

test('a preset has as many parameters on BERT-base as in Python', async () => {
  const { family } = await encoderOf('bert');
  const fields = parseJson('{"model_type":"bert","vocab_size":30522}', 'bert-base');
  expect(isJsonObject(fields)).toBe(true);
  const encoder = { ...(await encoderOf('bert')).config, layers: 12, groups: 12, hidden: 768, intermediate: 3072 };
  const cases = Object.entries(configs.bertBaseTrainable);
  expect(cases).toHaveLength(10);
  for (const [text, count] of cases) {
    const { method, config } = configureMethod(text.replace('adapter_plus', 'adapter_plus[stochastic_depth=0.0]'));
    const specs = method.parameters(config, { encoder, family, name: 'x' });
    expect(
      specs.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
      text,
    ).toBe(count);
  }
});
