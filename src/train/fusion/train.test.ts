import { beforeEach, expect, it } from 'vitest';
import { open, world } from '../../../test/tiny-world.ts';
import type { Files } from '../../base/files.ts';
import { loadAdapter, saveAdapter } from '../../checkpoint/index.ts';
import { configureMethod, fusionConfig } from '../../methods/index.ts';
import { referenceEngine } from '../../session/reference.ts';
import { loadTask } from '../../tasks/index.ts';
import { type TrainEvent, trainSettings } from '../settings.ts';
import { trainTask } from '../train-task.ts';
import { distillFusion } from './distill.ts';
import { trainFusion } from './train.ts';

let files: Files;

beforeEach(async () => {
  files = world();
  await saveAdapters('first');
});

/** Two adapters in folders of their names under `folder`, drawn from their names: those of two calls are equal. */
async function saveAdapters(folder: string, factor = 8): Promise<void> {
  const model = await open(files);
  for (const name of ['a', 'b']) {
    model.addAdapter(name, `seq_bn[reduction_factor=${factor}]`);
    await model.saveAdapter(`${folder}/${name}`, name);
  }
}

async function common(output: string, { stopAfter, resume = false }: { stopAfter?: number; resume?: boolean }) {
  const stop = new AbortController();
  return {
    files,
    engine: referenceEngine(),
    model: 'tiny',
    task: await loadTask(files, 'classification'),
    settings: trainSettings.parse({ maxSteps: 2, batchSize: 2, learningRate: 0.01 }),
    output,
    resume,
    signal: stop.signal,
    onEvent: (event: { readonly type: string; readonly step?: number }) => {
      if (event.type === 'step' && event.step === stopAfter) stop.abort();
    },
  };
}

/** One number of a weight file another one. */
async function change(path: string): Promise<void> {
  const bytes = await files.read(path);
  // The last bytes of a safetensors file are its last number.
  bytes.set([0, 0, 128, 62], bytes.length - 4);
  await files.write(path, bytes);
}

it('a fusion resumes with the same adapters only, wherever they lie', async () => {
  const fuse = async (folder: string, how: { stopAfter?: number; resume?: boolean }) =>
    trainFusion({ ...(await common('out', how)), adapters: ['a', 'b'].map((name) => `${folder}/${name}`), config: fusionConfig() });
  await expect(fuse('first', { stopAfter: 1 })).rejects.toThrow('Stopped after step 1 of 2');

  await saveAdapters('other', 4);
  await expect(fuse('other', { resume: true })).rejects.toThrow(
    /^out\/state\/state\.json: content of the adapter a: found "[0-9a-f]{16}" now; expected "[0-9a-f]{16}", as in the run that is resumed\. Resume with/,
  );
  await saveAdapters('moved');
  expect((await fuse('moved', { resume: true })).steps).toBe(2);
});

it('adapters that do not train have the values that were loaded, while the fusion trains and in its folder', async () => {
  const { encoder } = await open(files);
  const load = (folder: string) => loadAdapter(files, folder, { encoder, head: false });
  const { name, method, tensors } = await load('first/b');
  const doubled = new Map(
    [...tensors].map(([key, value]) => [key, { ...value, data: (value.data as Float32Array).map((x) => 2 * x) } as const]),
  );
  await saveAdapter(files, 'doubled/b', { name, method, tensors: doubled, model: encoder });
  const losses: number[] = [];
  for (const folder of ['first', 'doubled']) {
    const onEvent = (event: TrainEvent) => event.type === 'step' && event.step === 1 && losses.push(event.loss);
    await trainFusion({
      ...(await common(folder, {})),
      onEvent,
      output: `out/${folder}`,
      adapters: ['first/a', `${folder}/b`],
      config: fusionConfig(),
    });
    const { tensors: before } = await load(`${folder}/b`);
    expect(before.size).toBeGreaterThan(5);
    expect((await load(`out/${folder}/b`)).tensors).toEqual(before);
  }
  expect(losses).toHaveLength(2);
  expect(losses[0]).not.toBe(losses[1]);
});

it('one number of an adapter or of the fusion makes another teacher', async () => {
  const model = await open(files);
  for (const name of ['a', 'b']) await model.loadAdapter(`first/${name}`);
  model.addAdapterFusion(['a', 'b'], 'dynamic', { name: 'mixed' });
  model.addClassificationHead('mixed', { labels: ['sea', 'land', 'sky'] });
  for (const folder of ['teacher', 'again'])
    await model.saveAdapterSetup(folder, { type: 'fuse', children: ['a', 'b'], name: 'mixed' }, { head: 'mixed', format: 'safetensors' });
  const distill = async (teacher: string, how: { stopAfter?: number; resume?: boolean }) =>
    distillFusion({ ...(await common('one', how)), teacher });
  await expect(distill('teacher', { stopAfter: 1 })).rejects.toThrow('Stopped after step 1 of 2');
  for (const path of ['a/adapter.safetensors', 'mixed/model_adapter_fusion.safetensors', 'mixed/model_head.safetensors']) {
    const before = await files.read(`again/${path}`);
    await change(`again/${path}`);
    await expect(distill('again', { resume: true }), path).rejects.toThrow('state.json: content of the fusion: found "');
    await files.write(`again/${path}`, before);
  }
  expect((await distill('again', { resume: true })).steps).toBe(2);
});

it('so does a training that starts from an adapter', async () => {
  const method = configureMethod('seq_bn[reduction_factor=8]');
  const train = async (init: string, how: { stopAfter?: number; resume?: boolean }) =>
    trainTask({ ...(await common('tuned', how)), method, init });
  await expect(train('first/a', { stopAfter: 1 })).rejects.toThrow('Stopped after step 1 of 2');
  await expect(train('first/b', { resume: true })).rejects.toThrow('state.json: content of --init: found "');
  await saveAdapters('moved');
  expect((await train('moved/a', { resume: true })).steps).toBe(2);
});

it('what all adapters have to say is said once', async () => {
  for (const name of ['a', 'b']) {
    const path = `first/${name}/adapter_config.json`;
    const config = JSON.parse(new TextDecoder().decode(await files.read(path)));
    await files.write(path, JSON.stringify({ ...config, model_name: 'other' }));
  }
  const once = ["It was trained with 'other' and is loaded into 'tiny': they must have the same weights."];
  const said: string[] = [];
  const onEvent = (event: TrainEvent) => event.type === 'note' && said.push(event.text);
  await trainFusion({ ...(await common('out', {})), onEvent, adapters: ['first/a', 'first/b'], config: fusionConfig() });
  expect(said.filter((text) => text.includes('trained with'))).toEqual(once);
  const model = await open(files);
  await model.loadAdapterSetup('out');
  for (const name of ['a', 'b']) await model.loadAdapter(`first/${name}`, { loadAs: `${name}-again` });
  expect(model.notes.filter((text) => text.includes('trained with'))).toEqual(once);
});
