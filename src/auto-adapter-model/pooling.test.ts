import { describe, expect, it } from 'vitest';
import { open, quick, world } from '../../test/tiny-world.ts';
import type { Files } from '../base/files.ts';
import { configureMethod, fusionConfig } from '../methods/index.ts';
import { poolingOf } from '../objectives/index.ts';
import type { Answer } from '../predict/answer.ts';
import { referenceEngine } from '../session/reference.ts';
import { loadTask, type Task } from '../tasks/index.ts';
import { distillFusion } from '../train/fusion/distill.ts';
import { trainFusion } from '../train/fusion/train.ts';
import { extendCaMtl } from '../train/multi-task/extend-ca-mtl.ts';
import { loadGrowing, loadMultiTask } from '../train/multi-task/folder.ts';
import { multiTaskMethod } from '../train/multi-task/registry.ts';
import { runMultiTask } from '../train/multi-task/run.ts';
import { trainSettings } from '../train/settings.ts';
import { trainTask } from '../train/train-task.ts';
import { trainTasks } from '../train/train-tasks.ts';
import type { AutoAdapterModel } from './auto-adapter-model.ts';

const ROWS = [{ text: 'bako mitu le' }, { text: 'bako' }, { text: 'sar nof pi bako kole' }];

/** The world whose encoder is one of sentences, by the mean of all tokens. */
async function sentences(pooling: object = { pooling_mode_mean_tokens: true }): Promise<Files> {
  const files = world();
  const module = (type: string, path: string) => ({ type: `sentence_transformers.models.${type}`, path });
  await files.write('tiny/modules.json', JSON.stringify([module('Transformer', ''), module('Pooling', '1_Pooling')]));
  await files.write('tiny/1_Pooling/config.json', JSON.stringify(pooling));
  return files;
}

async function json(files: Files, path: string): Promise<Record<string, unknown> & { config: Record<string, unknown> }> {
  return JSON.parse(new TextDecoder().decode(await files.read(path)));
}

const names = async (files: Files, folder: string) => (await files.list(folder)).sort();
const common = (files: Files, task: Task) => ({
  files,
  engine: referenceEngine(),
  model: 'tiny',
  task,
  method: configureMethod('seq_bn'),
  settings: trainSettings.parse(quick),
});

/** Saves a head and says what its file lets it read. */
async function readBy(model: AutoAdapterModel, files: Files, name: string): Promise<string> {
  await model.saveHead(`heads/${name}`, name);
  return poolingOf((await json(files, `heads/${name}/head_config.json`)).config);
}

describe('what heads read', () => {
  it('is the mean where the folder of a sentence encoder says so, unless something else is asked for', async () => {
    const files = await sentences();
    const model = await open(files);
    model.addClassificationHead('usual', { numLabels: 3 });
    model.addClassificationHead('pooler', { numLabels: 3, usePooler: true });
    model.addClassificationHead('python', { numLabels: 3, usePooler: false });
    model.addRegressionHead('largest', { pooling: 'max' });
    model.addHead('task', await loadTask(files, 'classification'));
    model.addHead('stored', { head_type: 'classification', num_labels: 3 });
    model.addTaggingHead('tags', { numLabels: 3 });
    const read: Record<string, string> = {};
    for (const name of model.heads) read[name] = await readBy(model, files, name);
    expect(read).toEqual({
      usual: 'mean',
      pooler: 'pooler',
      python: 'first',
      largest: 'max',
      task: 'mean',
      stored: 'first',
      tags: 'first',
    });
    expect(() => model.addTaggingHead('wrong', { pooling: 'mean' })).toThrow("found mean, for the head 'wrong' of type tagging");
    expect(() => model.addClassificationHead('both', { pooling: 'mean', usePooler: true })).toThrow('pooling: found mean, and usePooler');
    expect(() => model.addHead('both', { head_type: 'classification', num_labels: 3, pooling: 'mean', use_pooler: true })).toThrow(
      "key 'pooling': found 'mean', and use_pooler: true",
    );
    await files.remove('tiny/modules.json');
    const plain = await open(files);
    plain.addClassificationHead('usual', { numLabels: 3 });
    expect(await readBy(plain, files, 'usual')).toBe('first');
  });

  it('is refused where the folder says what is not available, until something is asked for', async () => {
    const files = await sentences({ pooling_mode_mean_tokens: true, pooling_mode_max_tokens: true });
    const model = await open(files);
    expect(() => model.addClassificationHead('a', { numLabels: 3 })).toThrow('found pooling_mode_mean_tokens, pooling_mode_max_tokens');
    model.addClassificationHead('a', { numLabels: 3, pooling: 'mean' });
    const task = await loadTask(files, 'classification');
    await expect(trainTask(common(files, task))).rejects.toThrow('Say what heads read: --pooling mean.');
    expect((await trainTask({ ...common(files, task), pooling: 'max' })).pooling).toBe('max');
  });

  it('goes over tokens of the row alone, whatever stands beside it', async () => {
    const model = await open(world());
    for (const pooling of ['mean', 'max', 'mean_sqrt_len'] as const) {
      model.addClassificationHead(pooling, { numLabels: 3, pooling });
      const together = await model.predict(ROWS);
      for (const [i, row] of ROWS.entries()) {
        const [alone] = await model.predict([row]);
        const beside = together[i] as Answer;
        for (const [k, x] of ((alone as Answer).logits as number[]).entries()) expect(beside.logits?.[k]).toBeCloseTo(x, 5);
      }
    }
  });

  it('is kept in folders that Python reads without the head, and that a head of Python’s leaves none of', async () => {
    const files = await sentences();
    const model = await open(files);
    model.addAdapter('a');
    const task = await loadTask(files, 'classification');
    await model.trainAdapter('a', { task, ...quick });
    await expect(model.trainAdapter('a', { task, ...quick, pooling: 'max' })).rejects.toThrow('found max; expected mean');
    const answers = await model.predict(ROWS);
    await model.saveAdapter('saved', 'a');
    expect(await names(files, 'saved')).toEqual(['adapter_config.json', 'head_config.json', 'pooled_head.bin', 'pytorch_adapter.bin']);
    expect((await json(files, 'saved/head_config.json')).config).toMatchObject({ use_pooler: false, pooling: 'mean' });
    // What was saved keeps its meaning where the folder of the encoder says nothing of it.
    await files.remove('tiny/modules.json');
    const other = await open(files);
    expect(await other.loadAdapter('saved')).toBe('a');
    expect(await other.predict(ROWS)).toEqual(answers);

    model.deleteHead('a');
    model.addClassificationHead('a', { numLabels: 3, usePooler: false });
    await model.saveAdapter('saved', 'a', { format: 'safetensors' });
    expect(await names(files, 'saved')).toEqual([
      'adapter.safetensors',
      'adapter_config.json',
      'head_config.json',
      'model_head.safetensors',
    ]);
    expect((await json(files, 'saved/head_config.json')).config).not.toHaveProperty('pooling');
    await model.saveAdapter('saved', 'a', { withHead: false });
    expect(await names(files, 'saved')).toEqual(['adapter_config.json', 'pytorch_adapter.bin']);
  });

  it('is kept by fusions and by what is distilled from them, and Python is told of no head', async () => {
    const files = await sentences();
    const [task, tags, pair] = (await Promise.all(['classification', 'tagging', 'pair'].map((name) => loadTask(files, name)))) as [
      Task,
      Task,
      Task,
    ];
    const shelf = await trainTasks({ ...common(files, task), tasks: [task, tags, pair], output: 'shelf', pooling: 'max' });
    expect(shelf.map(({ pooling }) => pooling)).toEqual(['max', undefined, 'max']);
    expect(new TextDecoder().decode(await files.read('shelf/tiny-pair/README.md'))).toContain('says that it found no head');
    await expect(trainTasks({ ...common(files, tags), tasks: [tags], output: 'none', pooling: 'max' })).rejects.toThrow(
      'found max, for tasks',
    );

    const adapters = ['shelf/tiny-classification', 'shelf/tiny-pair'];
    await trainFusion({ ...common(files, task), adapters, config: fusionConfig(), output: 'fused' });
    const setup = await json(files, 'fused/adapter_setup.json');
    expect([setup.head_setup, setup.pooled_head_setup]).toEqual([null, 'tiny-classification-fusion']);
    const model = await open(files);
    await model.loadAdapterSetup('fused');
    expect(model.activeHead).toBe('tiny-classification-fusion');
    const answers = await model.predict(ROWS);
    await model.saveAdapterSetup('again');
    const other = await open(files);
    await other.loadAdapterSetup('again');
    expect(await other.predict(ROWS)).toEqual(answers);

    await files.remove('tiny/modules.json');
    const { pooling } = await distillFusion({ ...common(files, task), method: configureMethod('seq_bn'), teacher: 'fused' });
    expect(pooling).toBe('mean');
  });

  it('is that of all tasks of one model, the pooler staying that of other encoders', async () => {
    const files = await sentences();
    const tasks = await Promise.all(['classification', 'tagging', 'regression'].map((name) => loadTask(files, name)));
    const run = async (output: string, text: string, more: object = {}) => {
      const options = { files, engine: referenceEngine(), model: 'tiny', tasks, settings: quick, output, ...more };
      await runMultiTask({ ...options, method: multiTaskMethod(text) });
      const { heads } = await loadMultiTask(files, output, { model: 'tiny' });
      return heads.map(({ kind, config }) => (kind.pools ? poolingOf(config) : 'all'));
    };
    expect(await run('adapters', 'seq_bn')).toEqual(['mean', 'all', 'mean']);
    expect(await run('grown', 'ca_mtl_base', { pooling: 'mean_sqrt_len' })).toEqual(['mean_sqrt_len', 'all', 'mean_sqrt_len']);
    await files.remove('tiny/modules.json');
    expect(await run('ca_mtl', 'ca_mtl_base')).toEqual(['pooler', 'all', 'pooler']);
    const grown = await extendCaMtl(await loadGrowing(files, 'grown'));
    const names = ['multilabel', 'pair'];
    const more = { files, engine: referenceEngine(), model: 'grown', settings: quick, output: 'more', method: grown };
    await runMultiTask({ ...more, tasks: await Promise.all(names.map((name) => loadTask(files, name))) });
    const { heads } = await loadMultiTask(files, 'more');
    expect(heads.map(({ config }) => poolingOf(config)).slice(3)).toEqual(['mean_sqrt_len', 'mean_sqrt_len']);
  });
});
