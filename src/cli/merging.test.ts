import { describe, expect, test } from 'vitest';
import { runCommand } from '../../test/command.ts';
import { open, world } from '../../test/tiny-world.ts';
import { AutoAdapterModel } from '../auto-adapter-model/index.ts';
import type { Files } from '../base/index.ts';
import { referenceEngine } from '../session/reference.ts';
import { command as average } from './average.ts';
import type { CommandDefinition } from './command.ts';
import { command as convert } from './convert.ts';
import { command as merge } from './merge.ts';

const ROWS = [{ text: 'bako mitu lesar' }, { text: 'sarnof' }];
const logits = async (model: AutoAdapterModel) => (await model.predict(ROWS)).flatMap((answer) => answer.logits as number[]);

/** Runs a command in memory. Returns its JSON and its notes. */
async function run(files: Files, command: CommandDefinition, raw: Readonly<Record<string, unknown>>) {
  const { out, notes } = await runCommand(files, command, { model: 'tiny', ...raw });
  return { result: JSON.parse(out) as Record<string, unknown>, notes };
}

async function saved(...methods: readonly string[]) {
  const files = world();
  const model = await open(files);
  for (const [i, method] of methods.entries()) {
    const name = ['a', 'b'][i] as string;
    model.addAdapter(name, method);
    model.addClassificationHead(name, { numLabels: i === 0 ? 3 : 2 + methods.length / 2 });
    await model.saveAdapter(name, name);
  }
  await files.write('a/README.md', 'about a');
  return { files, model };
}

function close(found: readonly number[], expected: readonly number[]) {
  expect(found).toHaveLength(expected.length);
  for (const [i, x] of found.entries()) expect(x).toBeCloseTo(expected[i] as number, 6);
}

describe('average', () => {
  test('adapters and heads, by weights', async () => {
    const { files, model } = await saved('lora[init_weights="bert"]', 'lora[init_weights="bert"]');
    const { result } = await run(files, average, { adapter: ['a', 'b'], weights: ['0.7,-0.4'], strategy: 'linear', output: 'm' });
    expect(result).toMatchObject({ name: 'average', head: true, adapters: [{ weight: 0.7 }, { weight: -0.4 }] });
    await model.loadAdapter('m');
    expect(await logits(model)).toHaveLength(6);
  });

  test.each([
    ['svd', { svdRank: '3' }],
    ['lora_linear', {}],
    ['cat', {}],
    ['dare_ties', { density: '0.5', majoritySign: 'frequency', seed: '4' }],
    ['lora_delta_w_svd', { svdRank: '2' }],
    ['lora_linear_only_negate_b', {}],
  ])('%s', async (strategy, more) => {
    const { files, model } = await saved('lora', 'lora');
    await run(files, average, { adapter: ['a', 'b'], strategy, output: 'm', ...more });
    expect(await model.loadAdapter('m')).toBe('average');
  });

  test('a folder that exists, and options of another strategy, are refused', async () => {
    const { files } = await saved('lora', 'lora');
    await expect(run(files, average, { adapter: ['a', 'b'], output: 'b' })).rejects.toThrow(/which exists/);
    await expect(run(files, average, { adapter: ['a', 'b'], output: 'm', density: '0.5' })).rejects.toThrow(/density/);
    await expect(run(files, average, { adapter: ['a'], output: 'm' })).rejects.toThrow(/--adapter/);
    expect(await files.kind('m')).toBe('none');
  });
});

describe('merge', () => {
  test('writes a whole model that answers as encoder and adapter did', async () => {
    const { files, model } = await saved('dora[init_weights="bert",alpha=20]');
    model.setActiveAdapters('a');
    const expected = await logits(model);
    const { result } = await run(files, merge, { adapter: ['a'], output: 'm' });
    expect(result).toMatchObject({ head: 'a', output: 'm', merged: 6 });
    close(await logits(await AutoAdapterModel.fromPretrained('m', { files, engine: referenceEngine() })), expected);
    expect(new TextDecoder().decode(await files.read('m/README.md'))).toBe('about a');
    await expect(run(files, merge, { adapter: ['a'], output: 'm' })).rejects.toThrow(/which exists/);
  });
});

describe('convert', () => {
  test('between the layouts and back', async () => {
    const { files, model } = await saved('lora[init_weights="bert",alpha=20]');
    model.setActiveAdapters('a');
    const expected = await logits(model);
    await run(files, convert, { adapter: 'a', to: 'peft', output: 'p/a' });
    expect(await files.list('p/a')).toContain('adapter_model.safetensors');
    await run(files, convert, { adapter: 'p/a', to: 'adapters', output: 'q/a', format: 'safetensors' });
    expect(await files.list('q/a')).toContain('adapter.safetensors');
    const again = await open(files);
    await again.loadAdapter('q/a');
    close(await logits(again), expected);
  });

  test('VeRA as a LoRA; a rank only there; what a layout cannot hold is refused', async () => {
    const { files, model } = await saved('vera[vera_b=2.0]');
    model.setActiveAdapters('a');
    const expected = await logits(model);
    const { result } = await run(files, convert, { adapter: 'a', to: 'lora', rank: '8', output: 'l/a' });
    expect(result.kept).toBeCloseTo(1, 8);
    const again = await open(files);
    await again.loadAdapter('l/a');
    close(await logits(again), expected);
    await expect(run(files, convert, { adapter: 'a', to: 'lora', output: 'x' })).rejects.toThrow(/--rank/);
    await expect(run(files, convert, { adapter: 'a', to: 'peft', rank: '8', output: 'x' })).rejects.toThrow(/--rank/);
    await expect(run(files, convert, { adapter: 'a', to: 'peft', output: 'x' })).rejects.toMatchObject({ code: 'adapter.format' });
  });
});
