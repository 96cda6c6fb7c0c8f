import { describe, expect, it } from 'vitest';
import { memoryFiles } from '../base/files.ts';
import { nodeFiles } from '../base/files-node.ts';
import { elementCount, float32, type Tensor } from '../base/tensor.ts';
import { loadAdapter, saveAdapter } from '../checkpoint/index.ts';
import { drawEncoder, type LinearSite, loadEncoder } from '../encoders/index.ts';
import { input, sub, type Value, weight } from '../graph/index.ts';
import { noDropout, parameters } from '../nn/index.ts';
import { referenceEngine } from '../session/reference.ts';
import type { FileWeight } from '../session/session.ts';
import { multiTaskMethod } from '../train/index.ts';
import { splitUnion } from './grammar.ts';
import { type Attachment, attach, attachComposition, configureMethod, METHODS, methodOfConfig, shortestText, stack } from './index.ts';

const encoder = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');
const { config, family } = encoder;
const facts = { encoder: config, family };
const attached = (text: string) => attach(configureMethod(text), { ...facts, name: 'x' });

describe('the grammar', () => {
  it('cuts at bars outside brackets and quotes', () => {
    expect(splitUnion('prefix_tuning | par_bn[reduction_factor=8]')).toEqual(['prefix_tuning ', ' par_bn[reduction_factor=8]']);
    expect(splitUnion("a[x='|', y=['|', \"]|\"]]|b|c")).toEqual(["a[x='|', y=['|', \"]|\"]]", 'b', 'c']);
    expect(splitUnion('lora')).toEqual(['lora']);
  });

  it('configures each part as it would be alone', () => {
    const parts = ['prefix_tuning[prefix_length=3]', 'par_bn', "lora[attn_matrices=['q']]"];
    const { method, config: union, text } = configureMethod(parts.join(' | '));
    expect(union).toEqual({ architecture: 'union', configs: parts.map((part) => configureMethod(part).config) });
    expect([method.name, text]).toEqual(['union', parts.join(' | ')]);
    expect(configureMethod('mam').config).toEqual(configureMethod('prefix_tuning[bottleneck_size=800]|par_bn').config);
  });

  it.each(['mam', 'lora[r=4]|seq_bn', 'prefix_tuning_flat|double_seq_bn[leave_out=[1]]'])('%s is its own shortest text', (text) => {
    expect(shortestText(configureMethod(text))).toBe(text);
  });

  it('names what is wrong in a part', () => {
    expect(() => configureMethod('lora|seq_nb')).toThrow("Did you mean 'seq_bn'?");
    expect(() => configureMethod('lora[rank=3]|seq_bn')).toThrow("method lora: key 'rank'");
    expect(() => configureMethod('lora|')).toThrow("found ''");
    expect(() => configureMethod('lora|seq_bn', { dropout: 0.1 })).toThrow(
      "key 'dropout': found no such key; expected architecture, configs.",
    );
    expect(() => methodOfConfig({ architecture: 'union', configs: [{ architecture: 'lora', r: 0 }] }, 'file')).toThrow(
      "file: configs[0]: key 'r'",
    );
  });

  it('is read for several tasks, one union for each or one for all', () => {
    const names = (text: string) =>
      multiTaskMethod(text)
        .attach(encoder, ['a', 'b'], 8)
        .parameters.map(({ name }) => name);
    const own = names('lora|seq_bn');
    expect(own).toHaveLength(2 * attached('lora|seq_bn').parameters.length);
    expect(own.some((name) => name.includes('.query.loras.a.'))).toBe(true);
    expect(own.some((name) => name.includes('.output.adapters.b.'))).toBe(true);
    expect(names('shared_lora|seq_bn')).toHaveLength(attached('lora|seq_bn').parameters.length);
  });
});

describe('members', () => {
  it('cannot be what trains weights of the encoder, nor a union, nor what adapters has no place for', () => {
    for (const text of ['full|lora', 'seq_bn|head'])
      expect(() => configureMethod(text)).toThrow('which trains weights that are there already');
    expect(() => configureMethod('mam|lora')).toThrow('configs[0]: found architecture "union"');
    expect(() => configureMethod("seq_bn|lora[attn_matrices=['o']]")).toThrow('no place for');
    expect(() => methodOfConfig({ architecture: 'union', configs: [] }, 'file')).toThrow("key 'configs'");
    expect(() => methodOfConfig({ architecture: 'union', configs: ['lora'] }, 'file')).toThrow("key 'configs.0'");
    const single = METHODS.filter(({ members }) => !members);
    expect(() => configureMethod('lora|seq_bn', {}, single)).toThrow('none here is made of others');
  });

  it('stand at places of their own', () => {
    expect(() => attached('lora|lora[r=4]')).toThrow('query.loras.x.lora_A in two members');
    expect(() => attached('seq_bn|double_seq_bn')).toThrow('output.adapters.x.adapter_down.0.weight in two members');
    expect(() => attached('mtl_lora|seq_bn')).toThrow('of whose parameters some belong to all tasks');
    expect(attached('seq_bn[leave_out=[0]]|seq_bn[leave_out=[1, 2], reduction_factor=4]').parameters).toHaveLength(3 * 4);
  });

  it('have as many parameters together on BERT-base as in Python', () => {
    const base = { ...config, layers: 12, groups: 12, hidden: 768, intermediate: 3072, heads: 12 };
    const count = (text: string) =>
      attach(configureMethod(text), { encoder: base, family, name: 'x' }).parameters.reduce(
        (sum, { shape }) => sum + elementCount(shape),
        0,
      );
    expect(count('mam')).toBe(22_493_984);
    expect(count('unipelt')).toBe(11_083_376);
  });

  it('are told apart from keys that no version has', () => {
    const unknown: string[] = [];
    const configs = [{ architecture: 'lora', colour: 1 }, configureMethod('seq_bn').config];
    const read = methodOfConfig({ architecture: 'union', configs, size: 2 }, 'file', { onUnknownKey: (key) => unknown.push(key) });
    expect(unknown.sort()).toEqual(['colour', 'size']);
    expect(read.config).toEqual(configureMethod('lora|seq_bn').config);
  });
});

/** The last layer's output for two sequences. */
async function encode(attachment: Attachment, tensors: ReadonlyMap<string, Tensor>): Promise<number[]> {
  const resolve = parameters(() => false);
  const hooks = attachment.hooks(resolve, noDropout);
  const { output } = drawEncoder({ config, family, parameters: resolve, dropout: noDropout, hooks, read: 'all' });
  const weights = new Map<string, Tensor | FileWeight>([...encoder.weights, ...tensors]);
  const session = await referenceEngine().compile({ outputs: { output } }, weights);
  const ids = [5, 6, 7, 8, 9, 10];
  const results = await session.run({
    inputIds: { dtype: 'int32', shape: [2, 3], data: Int32Array.from(ids) },
    tokenTypeIds: { dtype: 'int32', shape: [2, 3], data: new Int32Array(6) },
    attentionMask: float32([2, 3], [1, 1, 1, 1, 1, 0]),
  });
  return Array.from(results.output?.data ?? [], Number);
}

const value = (name: string, shape: readonly number[]) =>
  float32(
    shape,
    Array.from({ length: elementCount(shape) }, (_, i) => 0.3 * Math.sin(i * (1 + (name.length % 7)))),
  );

describe('what members do', () => {
  it('is what they do in a stack, where they stand at different sites', async () => {
    const parts = ['lora', 'seq_bn', 'prefix_tuning_flat[prefix_length=2]'];
    const union = attached(parts.join('|'));
    const tensors = new Map(union.parameters.map(({ name, shape }) => [name, value(name, shape)]));
    const names = ['a', 'b', 'c'];
    const adapters = new Map(names.map((name, i) => [name, configureMethod(parts[i] as string)]));
    const stacked = attachComposition(stack(...names), { adapters, fusions: new Map() }, facts);
    const renamed = new Map(stacked.parameters.map(({ name }) => [name, tensors.get(name.replace(/\.[abc]\./, '.x.')) as Tensor]));
    expect(renamed.size).toBe(tensors.size);
    const together = await encode(union, tensors);
    expect(together).toEqual(await encode(stacked, renamed));
    for (const part of parts) {
      const alone = await encode(attached(part), tensors);
      expect(Math.max(...alone.map((x, i) => Math.abs(x - (together[i] as number))))).toBeGreaterThan(0.01);
    }
  });

  it('is added up at a linear, whichever comes first', async () => {
    const texts = ['lora', 'bitfit', 'ia3[attn_matrices=["q"], intermediate_lora=False]'];
    const [lora, bitfit, ia3, ...unions] = [...texts, 'lora|bitfit', 'bitfit|lora', `${texts[2]}|bitfit`];
    const [x, y] = [input('x', 'float32', [4, 32]), input('y', 'float32', [4, 32])];
    const rows = { batch: 2, length: 2, first: 0 };
    const own = { weight: weight('w', 'float32', [32, 32]), bias: input('b', 'float32', [32]) };
    const site: LinearSite = { ...rows, ...own, name: 'query', layer: 0, module: 0, own: y, x, y };
    const changed = async (text: string): Promise<number[]> => {
      const attachment = attached(text);
      const output = attachment
        .hooks(
          parameters(() => false),
          noDropout,
        )
        .linear?.(site) as Value;
      const weights = new Map(attachment.parameters.map(({ name, shape }) => [name, value(name, shape)]));
      const session = await referenceEngine().compile({ outputs: { change: sub(output, y) } }, weights);
      const { change } = await session.run({ x: value('x', [4, 32]), y: value('out', [4, 32]), b: value('bias', [32]) });
      return Array.from(change?.data ?? [], Number);
    };
    const [ofLora, ofBitfit, ofIa3] = [await changed(lora as string), await changed(bitfit as string), await changed(ia3 as string)];
    for (const one of [ofLora, ofBitfit, ofIa3]) expect(Math.max(...one.map(Math.abs))).toBeGreaterThan(0.01);
    const others = [ofLora, ofLora, ofIa3];
    for (const [k, text] of unions.entries())
      (await changed(text)).forEach((x, i) => void expect(x).toBeCloseTo((ofBitfit[i] as number) + (others[k]?.[i] as number), 10));
  });

  it('is refused where one would make void what another did: at a residual, and at a linear behind another adapter', async () => {
    const draw = (attachment: Attachment) => encode(attachment, new Map());
    await expect(draw(attached('pals|par_bn'))).rejects.toThrow(
      "union: found 'projected attention' and 'bottleneck' together at the residual after output",
    );
    const adapters = new Map([
      ['a', configureMethod('lora')],
      ['b', configureMethod('lora|bitfit')],
    ]);
    expect(() => attachComposition(stack('a', 'b'), { adapters, fusions: new Map() }, facts)).toThrow('behind another adapter at query');
  });
});

it('in folders of versions that did not apply α, a member is read so', async () => {
  const source = 'test/golden/methods/union-lora-seq_bn';
  const adapter = await loadAdapter(nodeFiles, source, { encoder });
  const files = memoryFiles();
  await saveAdapter(files, 'old', adapter);
  const written = new TextDecoder().decode(await files.read('old/adapter_config.json'));
  await files.write(
    'old/adapter_config.json',
    written.replace(/"adapters\.[\d.]+"/, '"adapters.1.0.1"').replace(/"alpha": \d+/, '"alpha": 24'),
  );
  const old = await loadAdapter(files, 'old', { encoder });
  const [lora] = old.method.config.configs as Record<string, unknown>[];
  expect(lora?.alpha).toBe(lora?.r);
  expect(old.notes).toEqual(expect.arrayContaining([expect.stringContaining('did not apply alpha')]));
});
