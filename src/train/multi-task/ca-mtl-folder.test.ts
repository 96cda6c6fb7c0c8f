import { describe, expect, it } from 'vitest';
import { startValues } from '../../../test/start-values.ts';
import { type Files, memoryFiles } from '../../base/files.ts';
import { nodeFiles } from '../../base/files-node.ts';
import { float32, int32, type Tensor } from '../../base/tensor.ts';
import { loadEncoder } from '../../encoders/index.ts';
import { readSafetensors, writeSafetensors } from '../../formats/safetensors.ts';
import { inspectPath } from '../../inspect/inspect.ts';
import { attachCaMtl, caMtlConfig } from '../../methods/index.ts';
import { drawModel } from '../../model/draw.ts';
import { weightsOf } from '../../model/model.ts';
import { noDropout } from '../../nn/index.ts';
import { createHead, type Head } from '../../objectives/index.ts';
import { nodeEngine } from '../../session/node.ts';
import type { FileWeight } from '../../session/session.ts';
import { loadCaMtl, type SavedCaMtl, saveCaMtl } from './ca-mtl-folder.ts';
import { isMultiTask, loadMultiTask } from './folder.ts';

const HEADS: readonly Head[] = [
  createHead('first', { head_type: 'classification', num_labels: 2, label2id: { no: 0, yes: 1 } }, 'test'),
  createHead('second', { head_type: 'tagging', num_labels: 3 }, 'test'),
];

/** A model whose every trained tensor differs from the checkpoint's. */
async function trained(family: string): Promise<SavedCaMtl> {
  const encoder = await loadEncoder(nodeFiles, `test/golden/encoders/${family}`);
  const config = caMtlConfig('ca_mtl_compact', { max_length: 8, start: 'published' });
  const attachment = attachCaMtl(config, { encoder: encoder.config, family: encoder.family, tasks: 2 });
  const tensors = await startValues({ encoder, attachment, heads: HEADS }, 1);
  const moved = [...tensors].map(([name, { shape, data }]) => {
    const values = Array.from(data as Float32Array, (x, i) => x + 0.1 * Math.sin(i));
    return [name, float32(shape, values)] as const;
  });
  return { encoder, attachment, heads: HEADS, tensors: new Map(moved), training: [{ maxLength: 6, textPairs: true }, {}] };
}

async function logits(model: SavedCaMtl): Promise<number[][]> {
  const drawn = drawModel(model, noDropout, () => false);
  const outputs = Object.fromEntries(drawn.logits.map((value, task) => [`${task}`, value]));
  const weights = await inMemory(weightsOf(model, model.tensors));
  const session = await (await nodeEngine({ threads: 1 })).compile({ outputs }, weights);
  const shape = [2, 4];
  const results = await session.run({
    inputIds: int32(shape, [2, 9, 8, 3, 2, 7, 3, 0]),
    tokenTypeIds: int32(shape, new Int32Array(8)),
    positionIds: int32(shape, [2, 3, 4, 5, 2, 3, 4, 1]),
    attentionMask: float32(shape, [1, 1, 1, 1, 1, 1, 1, 0]),
    taskIds: int32([2], [1, 0]),
  });
  await session.release();
  return Object.values(results).map(({ data }) => Array.from(data, Number));
}

async function inMemory(weights: ReadonlyMap<string, Tensor | FileWeight>): Promise<Map<string, Tensor>> {
  const read = [...weights].map(async ([name, weight]) => [name, 'read' in weight ? await weight.read() : weight] as const);
  return new Map(await Promise.all(read));
}

describe('a CA-MTL folder', () => {
  it.each(['bert', 'roberta', 'distilbert'])('of %s comes back as it was written, and answers the same', async (family) => {
    const model = await trained(family);
    const files = memoryFiles();
    await saveCaMtl(files, 'out', model);
    const back = await loadCaMtl(files, 'out');
    expect(back.attachment.plan).toEqual(model.attachment.plan);
    expect(back.heads).toEqual(HEADS);
    expect([...back.encoder.notes, ...back.notes]).toEqual([]);
    expect(back.training).toEqual(model.training);
    const values = new Map([...back.tensors, ...(await inMemory(back.encoder.weights))]);
    expect(model.tensors.size).toBeGreaterThan(40);
    for (const [name, tensor] of model.tensors) expect(values.get(name), name).toEqual(tensor);
    expect(await logits(back)).toEqual(await logits(model));
  });

  it('keeps what the rows of its tasks look like, and refuses that of another model', async () => {
    const features = new Map([['first', float32([32], new Float32Array(32).fill(0.5))]]);
    const files = memoryFiles();
    await saveCaMtl(files, 'out', { ...(await trained('bert')), features });
    expect((await loadCaMtl(files, 'out')).features).toEqual(features);
    await files.write('out/task_features.safetensors', writeSafetensors([['first', float32([2], [1, 2])]]));
    await expect(loadCaMtl(files, 'out')).rejects.toThrow('task_features.safetensors: first: found float32 [2]; expected float32 [32].');
    await files.remove('out/task_features.safetensors');
    expect((await loadCaMtl(files, 'out')).features).toBeUndefined();
  });

  const damaged = async (change: (files: Files) => Promise<void>): Promise<void> => {
    const files = memoryFiles();
    await saveCaMtl(files, 'out', await trained('bert'));
    await change(files);
    await loadCaMtl(files, 'out');
  };
  const edit = (values: object) => async (files: Files) => {
    const config = JSON.parse(new TextDecoder().decode(await files.read('out/ca_mtl_config.json')));
    await files.write('out/ca_mtl_config.json', JSON.stringify({ ...config, ...values }));
  };

  it('that is damaged says where', async () => {
    await expect(damaged(edit({ tasks: undefined }))).rejects.toThrow(
      "ca_mtl_config.json: found no list of tasks; expected a list under 'tasks'",
    );
    await expect(damaged(edit({ tasks: [{ name: 3 }] }))).rejects.toThrow('ca_mtl_config.json: task 0: found {"name":3};');
    await expect(damaged(edit({ max_length: 'long' }))).rejects.toThrow(`ca_mtl_config.json: key 'max_length': found "long";`);
    await expect(damaged(edit({ max_length: 9 }))).rejects.toThrow('random_weight_matrix: found [8,2]; expected [9,3].');
    await expect(damaged(edit({ variant: 'large' }))).rejects.toThrow('found no bert.encoder.adapter_layer.0.emb_transf.');
    const config = HEADS[0]?.config;
    const two = (first: string, second: string) =>
      edit({
        tasks: [
          { name: first, head: config },
          { name: second, head: config },
        ],
      });
    await expect(damaged(two('a', 'a'))).rejects.toThrow("ca_mtl_config.json: found two tasks named 'a'");
    await expect(damaged(two('a', '../b'))).rejects.toThrow('the name of a task: found "../b"');
    await expect(damaged(edit({ tasks: [{ name: 'a', head: config, max_length: 2 }] }))).rejects.toThrow(
      "task 'a': field 'max_length': found 2",
    );
    const lose = async (files: Files) => {
      const { tensors } = await readSafetensors(files, 'out/model.safetensors');
      await files.write('out/model.safetensors', writeSafetensors([...tensors].filter(([name]) => name !== 'heads.second.1.bias')));
    };
    await expect(damaged(lose)).rejects.toThrow('model.safetensors: found no heads.second.1.bias');
  });

  it('with numbers that are not finite says so', async () => {
    const files = memoryFiles();
    await saveCaMtl(files, 'out', await trained('bert'));
    const { tensors } = await readSafetensors(files, 'out/model.safetensors');
    for (const name of ['heads.first.1.bias', 'bert.encoder.layer.2.output.LayerNorm.bias'])
      (tensors.get(name) as Tensor).data[1] = Number.NaN;
    await files.write('out/model.safetensors', writeSafetensors([...tensors]));
    const { notes } = await loadMultiTask(files, 'out');
    expect(notes).toEqual([
      'bert.encoder.layer.2.output.LayerNorm.bias holds 1 numbers that are not finite.',
      'heads.first.1.bias holds 1 numbers that are not finite.',
    ]);
  });

  it('of the published code needs no names of tasks', async () => {
    const files = memoryFiles();
    const config = caMtlConfig('ca_mtl_base', { max_length: 8, start: 'published' });
    const { encoder } = await trained('bert');
    const attachment = attachCaMtl(config, { encoder: encoder.config, family: encoder.family, tasks: 2 });
    const heads = HEADS.map((head) => ({
      ...head,
      config: { ...head.config, head_type: 'classification', num_labels: 2, layers: 1 } as Head['config'],
    }));
    const tensors = await startValues({ encoder, attachment, heads }, 1);
    await saveCaMtl(files, 'out', { encoder, attachment, heads, tensors, training: [] });
    await files.remove('out/ca_mtl_config.json');
    const { tensors: written } = await readSafetensors(files, 'out/model.safetensors');
    const names = heads.map(({ name }) => name);
    const published = [...written].map(([name, tensor]) => {
      const [, head = '', kind = ''] = /^heads\.(\w+)\.1\.(\w+)$/.exec(name) ?? [];
      return [head === '' ? name : `decoders.${names.indexOf(head)}.model.${kind}`, tensor] as const;
    });
    await files.write('out/model.safetensors', writeSafetensors(published));
    expect(await isMultiTask(files, 'out')).toBe(true);
    const back = await loadMultiTask(files, 'out');
    expect(back.heads.map(({ name }) => name)).toEqual(['task0', 'task1']);
    expect(back.training).toEqual([{ maxLength: 8 }, { maxLength: 8 }]);
    const [part, ...others] = (await inspectPath(files, 'out')).parts;
    expect(part).toMatchObject({
      kind: 'model of several tasks',
      path: 'out/model.safetensors',
      facts: { method: 'ca_mtl, as its published code saves it', tasks: '2, without names' },
    });
    expect(part?.tensors).toContainEqual({ name: 'decoders.1.model.weight', dtype: 'float32', shape: [2, encoder.config.hidden] });
    expect(others).toEqual([]);
    const fields = JSON.parse(new TextDecoder().decode(await files.read('out/config.json')));
    for (const [tasks, message] of [
      [['a', 'a'], "config.json: ca_mtl: found two tasks named 'a'"],
      [['a'], 'config.json: ca_mtl: found 1 tasks; expected 2, one for each decoder'],
    ] as const) {
      await files.write('out/config.json', JSON.stringify({ ...fields, ca_mtl: { tasks: tasks.map((name) => ({ name })) } }));
      await expect(loadMultiTask(files, 'out')).rejects.toThrow(message);
    }
  });

  it('is not a plain encoder', async () => {
    expect(await isMultiTask(nodeFiles, 'test/golden/encoders/bert')).toBe(false);
    await expect(loadCaMtl(nodeFiles, 'test/golden/encoders/bert')).rejects.toThrow('found no decoders.0.model.weight');
  });
});
