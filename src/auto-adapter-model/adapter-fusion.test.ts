import { readdirSync, readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { tinyTask } from '../../test/tiny.ts';
import { open, quick, SIZES, world } from '../../test/tiny-world.ts';
import type { Files } from '../base/files.ts';
import { readTorch } from '../formats/torch.ts';
import { fuse, stack } from '../methods/index.ts';
import { loadTask } from '../tasks/index.ts';
import type { AutoAdapterModel } from './auto-adapter-model.ts';

const { rows } = tinyTask('classification', SIZES);

/** Adapters a, b and c, of which a was trained, with its head. */
async function withAdapters(files: Files): Promise<AutoAdapterModel> {
  const model = await open(files);
  for (const [name, factor] of Object.entries({ a: 8, b: 4, c: 16 })) model.addAdapter(name, `seq_bn[reduction_factor=${factor}]`);
  await model.trainAdapter('a', { task: await loadTask(files, 'classification'), ...quick });
  return model;
}

const jsonOf = async (files: Files, path: string) => JSON.parse(new TextDecoder().decode(await files.read(path)));

describe('fusion in AutoAdapterModel', () => {
  it('trains fusion and head, and nothing else', async () => {
    const files = world();
    const model = await withAdapters(files);
    const alone = await model.predict(rows.test);
    for (const name of ['a', 'b']) await model.saveAdapter(`before/${name}`, name);
    const task = await loadTask(files, 'classification');
    const { steps, trained } = await model.trainAdapterFusion(model.addAdapterFusion(['a', 'b']), { task, ...quick });
    expect(steps).toBe(2);
    const head = 32 * 32 + 32 + 32 * task.labels.length + task.labels.length;
    expect(trained).toBe(3 * (3 * 32 * 32 + 2 * 32) + head);
    expect([model.activeAdapters, model.activeHead, model.fusions]).toEqual([fuse(['a', 'b']), 'a,b', ['a,b']]);
    expect(await model.predict(rows.test)).not.toEqual(alone);
    for (const name of ['a', 'b']) {
      await model.saveAdapter(`after/${name}`, name);
      for (const file of await files.list(`before/${name}`))
        expect(await files.read(`after/${name}/${file}`)).toEqual(await files.read(`before/${name}/${file}`));
    }
    model.setActiveAdapters('a');
    expect([model.activeHead, await model.predict(rows.test)]).toEqual(['a', alone]);
  });

  it('answers untrained what it answers saved and loaded', async () => {
    const files = world();
    const model = await withAdapters(files);
    model.addAdapterFusion(['a', 'b']);
    model.setActiveAdapters(fuse(['a', 'b']));
    expect(model.activeHead).toBe('a');
    const untrained = await model.predict(rows.test);
    await model.saveAdapterSetup('saved', undefined, { head: 'a' });
    const other = await open(files);
    await other.loadAdapterSetup('saved');
    expect([other.activeHead, await other.predict(rows.test)]).toEqual(['a', untrained]);
  });

  it('has several fusions of the same adapters, one for each task', async () => {
    const files = world();
    const model = await withAdapters(files);
    const [first, second] = [loadTask(files, 'classification'), loadTask(files, 'pair')];
    const one = model.addAdapterFusion(['a', 'b', 'c'], 'dynamic', { name: 'first' });
    const two = model.addAdapterFusion(['a', 'b', 'c'], { value: false, regularization: false, query_before_ln: true }, { name: 'second' });
    await model.trainAdapterFusion(one, { task: await first, ...quick });
    const before = await model.predict(rows.test);
    await model.trainAdapterFusion(two, { task: await second, ...quick });
    expect([model.fusions, model.heads]).toEqual([
      ['first', 'second'],
      ['a', 'first', 'second'],
    ]);
    expect(model.task.labels).toEqual((await second).labels);
    model.setActiveAdapters(one);
    expect(await model.predict(rows.test)).toEqual(before);
    expect((await model.evaluate(await first)).rows).toBe(2);
    for (const name of ['a', 'b', 'c']) await model.saveAdapter(`adapters/${name}`, name);
    for (const name of model.fusions) await model.saveAdapterFusion(`fusions/${name}`, name, { format: 'safetensors' });

    const other = await open(files);
    for (const name of ['a', 'b', 'c']) await other.loadAdapter(`adapters/${name}`);
    expect(await other.loadAdapterFusion('fusions/second')).toBe('second');
    expect(await other.loadAdapterFusion('fusions/first')).toBe('first');
    expect([other.activeAdapters, other.activeHead]).toEqual([one, 'first']);
    expect(await other.predict(rows.test)).toEqual(before);
    expect(await other.loadAdapterFusion('fusions/first', { loadAs: 'third', setActive: false })).toBe('third');
    expect(other.activeHead).toBe('first');
    other.setActiveAdapters(fuse(['a', 'b', 'c'], { name: 'third' }));
    expect([other.activeHead, await other.predict(rows.test)]).toEqual(['third', before]);
  });

  it('lets adapters train with the fusion where that is asked for', async () => {
    const files = world();
    const model = await withAdapters(files);
    await model.saveAdapter('before', 'b');
    const task = await loadTask(files, 'classification');
    const fixed = await model.trainAdapterFusion(model.addAdapterFusion(['a', 'b']), { task, ...quick });
    const free = await model.trainAdapterFusion(fuse(['a', 'b']), { task, ...quick, unfreezeAdapters: true });
    expect(free.trained - fixed.trained).toBe(3 * (2 * (4 + 8) * 32 + 4 + 8 + 2 * 32));
    await model.saveAdapter('after', 'b');
    expect(await files.read('after/pytorch_adapter.bin')).not.toEqual(await files.read('before/pytorch_adapter.bin'));
    const answers = await model.predict(rows.test);
    await model.saveAdapterSetup('setup');
    const other = await open(files);
    await other.loadAdapterSetup('setup');
    expect(await other.predict(rows.test)).toEqual(answers);
  });

  it('trains the invertible part of the first adapter alone, since that of no other acts', async () => {
    const files = world();
    const model = await open(files);
    for (const name of ['a', 'b']) model.addAdapter(name, 'seq_bn_inv[reduction_factor=8]');
    const tensorsOf = async (name: string, folder: string) => {
      await model.saveAdapter(folder, name);
      return (await readTorch(files, `${folder}/pytorch_adapter.bin`)).tensors;
    };
    const before = { a: await tensorsOf('a', 'before/a'), b: await tensorsOf('b', 'before/b') };
    const task = await loadTask(files, 'classification');
    await model.trainAdapterFusion(model.addAdapterFusion(['a', 'b']), { task, ...quick, unfreezeAdapters: true });
    const after = { a: await tensorsOf('a', 'after/a'), b: await tensorsOf('b', 'after/b') };
    for (const name of ['a', 'b'] as const) {
      const moved = [...after[name]]
        .filter(([key, value]) => String(value.data) !== String(before[name].get(key)?.data))
        .map(([key]) => key);
      expect(moved).toContain(`bert.encoder.layer.2.output.adapters.${name}.adapter_up.weight`);
      expect(moved.filter((key) => key.includes('invertible_adapters'))).toHaveLength(name === 'a' ? 8 : 0);
    }
  });

  it.each([
    ['fuse(a, b)', (model: AutoAdapterModel) => model.addAdapterFusion(['a', 'b'])],
    ['with a name', (model: AutoAdapterModel) => model.addAdapterFusion(['a', 'b'], 'static', { name: 'mine' })],
    ['fuse(stack(c, a), b)', (model: AutoAdapterModel) => model.addAdapterFusion(fuse([stack('c', 'a'), 'b']))],
    ['stack(fuse(a, b), c)', (model: AutoAdapterModel) => stack(model.addAdapterFusion(['a', 'b'], 'dynamic', { name: 'mine' }), 'c')],
    [
      'a fusion of fewer adapters than it was made for',
      (model: AutoAdapterModel) => fuse(['b'], { name: model.addAdapterFusion(['a', 'b', 'c'], 'dynamic', { name: 'mine' }).name }),
    ],
    ['stack(a, b)', () => stack('a', 'b')],
    ['a', () => 'a'],
  ])('saves %s whole, and loads it as it was', async (_, make) => {
    const files = world();
    const model = await withAdapters(files);
    const setup = make(model);
    model.setActiveAdapters(setup);
    const answers = await model.predict(rows.test);
    await model.saveAdapterSetup('setup', setup, { head: 'a', format: 'safetensors' });
    const other = await open(files);
    expect(await other.loadAdapterSetup('setup')).toEqual(setup);
    expect([other.activeAdapters, other.activeHead]).toEqual([setup, 'a']);
    expect(await other.predict(rows.test)).toEqual(answers);
  });

  it('finds the fusion that Python saved without its name', async () => {
    const files = world();
    const model = await withAdapters(files);
    model.addAdapterFusion(['a', 'c'], 'dynamic', { name: 'other' });
    const mine = model.addAdapterFusion(['a', 'b'], 'dynamic', { name: 'mine' });
    await model.saveAdapterSetup('setup', mine);
    const saved = await jsonOf(files, 'setup/adapter_setup.json');
    expect(saved.adapter_setup.kwargs).toEqual({ name: 'mine' });
    const { kwargs: _, ...nameless } = saved.adapter_setup;
    await files.write('setup/adapter_setup.json', JSON.stringify({ ...saved, adapter_setup: nameless }));
    await model.saveAdapterFusion('setup/other', 'other');
    const other = await open(files);
    expect(await other.loadAdapterSetup('setup')).toEqual(mine);
    await model.saveAdapterFusion('setup/again', 'mine');
    await expect((await open(files)).loadAdapterSetup('setup')).rejects.toThrow(/setup: found 2 fusions of a, b: mine, mine; expected one/);
    for (const folder of ['again', 'mine']) await files.remove(`setup/${folder}`);
    await expect((await open(files)).loadAdapterSetup('setup')).rejects.toThrow(/setup: found no fusion of a, b; expected one folder/);
  });

  it('answers after loading as after training, with a temperature too', async () => {
    const files = world();
    const model = await withAdapters(files);
    const task = await loadTask(files, 'classification');
    await model.trainAdapterFusion(model.addAdapterFusion(['a', 'b'], { temperature: true }), { task, ...quick });
    const answers = await model.predict(rows.test);
    await model.saveAdapterSetup('setup');
    expect((await jsonOf(files, 'setup/a,b/adapter_fusion_config.json')).training_steps).toBeGreaterThan(0);
    const other = await open(files);
    await other.loadAdapterSetup('setup');
    expect(await other.predict(rows.test)).toEqual(answers);
  });

  it('counts fusions in the summary, and says what would train', async () => {
    const model = await withAdapters(world());
    const mixed = model.addAdapterFusion(['a', 'b']);
    model.addAdapterFusion(['a', 'b'], 'static', { name: 'plain' });
    model.setActiveAdapters(mixed);
    expect(model.adapterSummary()).toMatchObject([
      { name: 'a', active: true, train: false },
      { name: 'b', active: true, train: false },
      { name: 'c', active: false, train: false },
      { name: 'a,b', architecture: 'fusion', parameters: 3 * (3 * 32 * 32 + 2 * 32), active: true, train: true },
      { name: 'plain', architecture: 'fusion', parameters: 3 * (2 * 32 * 32 + 2 * 32), active: false, train: false },
      { name: 'tiny', percent: 100 },
    ]);
    model.deleteAdapterFusion(mixed);
    expect([model.fusions, model.activeAdapters, model.adapters]).toEqual([['plain'], undefined, ['a', 'b', 'c']]);
    expect(() => model.setActiveAdapters(mixed)).toThrow(/fusion 'a,b': found none of that name; expected one of plain/);
  });
});

describe('a folder saved by Python', () => {
  const SAVED = 'test/golden/fusion-saved';

  async function withFolder(): Promise<Files> {
    const files = world();
    for (const entry of readdirSync(SAVED, { recursive: true, withFileTypes: true }))
      if (entry.isFile()) await files.write(`${entry.parentPath}/${entry.name}`, readFileSync(`${entry.parentPath}/${entry.name}`));
    return files;
  }

  it('loads whole, and a second fusion over its adapters', async () => {
    const files = await withFolder();
    const model = await open(files);
    expect(await model.loadAdapterSetup(`${SAVED}/setup`)).toEqual(fuse(['a', 'b']));
    expect([model.adapters, model.fusions, model.heads, model.activeHead]).toEqual([['a', 'b'], ['a,b'], ['golden'], 'golden']);
    const first = await model.predict(rows.test);
    expect(first[0]?.logits).toHaveLength(3);
    expect(await model.loadAdapterFusion(`${SAVED}/static`)).toBe('a,b-static');
    expect(model.activeHead).toBe('a,b-static');
    expect((await model.predict(rows.test)).every(({ prediction }) => ['no', 'yes'].includes(prediction as string))).toBe(true);
    model.setActiveAdapters(fuse(['a', 'b']));
    model.activeHead = 'golden';
    expect(await model.predict(rows.test)).toEqual(first);
  });
});

describe('what cannot be fused', () => {
  let files: Files;
  let model: AutoAdapterModel;
  const wrong = (value: unknown) => value as never;
  const state = () => [model.adapters, model.fusions, model.heads, model.activeAdapters, model.activeHead];
  beforeAll(async () => {
    files = world();
    model = await withAdapters(files);
    model.addAdapter('double', 'double_seq_bn');
    model.addAdapter('low', 'lora');
    model.addAdapterFusion(['a', 'b'], 'dynamic', { name: 'mixed' });
    await model.saveAdapterFusion('fusion', 'mixed');
    await model.saveAdapterSetup('setup', fuse(['a', 'b'], { name: 'mixed' }));
    model.addClassificationHead('mixed', { labels: ['hot', 'cold'] });
    model.addAdapterFusion(['b', 'c']);
    model.setActiveAdapters('b');
  });

  it('is refused in words, and nothing is lost', async () => {
    const task = await loadTask(files, 'classification');
    const calls: readonly (readonly [() => unknown, string, string])[] = [
      [() => model.addAdapterFusion([]), 'usage.value', 'fuse: found no adapters; expected at least one'],
      [() => model.addAdapterFusion(wrong('a,b')), 'usage.value', "addAdapterFusion(adapters): found the text 'a,b'; expected the names"],
      [() => model.addAdapterFusion(wrong(null)), 'usage.value', 'addAdapterFusion(adapters): found object; expected the names'],
      [() => model.addAdapterFusion(['a', 'a']), 'adapter.duplicate', "found the adapter 'a' twice"],
      [() => model.addAdapterFusion(['a', 'x']), 'adapter.missing', "adapter 'x': found none of that name; expected one of a, b, c"],
      [() => model.addAdapterFusion(['a', 'double']), 'method.config', "the fused adapter 'double': found modules after attention"],
      [
        () => model.addAdapterFusion(['a', 'low']),
        'method.config',
        "the fused adapter 'low': found low-rank updates of query, value; expected modules after output, as 'a' has",
      ],
      [() => model.addAdapterFusion(['a', 'b'], 'dynamik'), 'method.config', "Did you mean 'dynamic'?"],
      [() => model.addAdapterFusion(['a', 'b'], wrong({ keys: true })), 'method.config', "key 'keys': found no such key"],
      [
        () => model.addAdapterFusion(['a', 'b'], 'dynamic', { name: 'mixed' }),
        'adapter.duplicate',
        "fusion 'mixed': found one of that name",
      ],
      [() => model.addAdapterFusion(['a', 'b'], 'dynamic', { name: 'a' }), 'adapter.duplicate', "Choose another name, such as 'a-fusion'."],
      [() => model.addAdapter('mixed'), 'adapter.duplicate', "adapter 'mixed': found a fusion of that name"],
      [() => model.addAdapterFusion(['a', 'b'], 'dynamic', { name: '../x' }), 'adapter.format', 'fusion \'../x\': found "../x"'],
      [
        () => model.setActiveAdapters(wrong(['a', 'b'])),
        'usage.value',
        'setActiveAdapters(setup): found a list; expected the name of an adapter',
      ],
      [
        () => model.setActiveAdapters(fuse(['a', 'b'])),
        'adapter.missing',
        "fusion 'a,b': found none of that name; expected one of mixed, b,c",
      ],
      [() => model.deleteAdapterFusion('mixd'), 'adapter.missing', "Did you mean 'mixed'?"],
      [() => model.trainAdapterFusion('a', { task }), 'usage.value', "found the name 'a'; expected a composition with a fusion"],
      [() => model.trainAdapterFusion(stack('a', 'b'), { task }), 'usage.value', 'found no fusion in it'],
      [() => model.trainAdapterFusion(fuse(['a', 'b'], { name: 'mixed' }), wrong({})), 'usage.value', 'found no task'],
      [() => model.trainAdapterFusion(fuse(['a', 'b'], { name: 'mixed' }), { task }), 'task.label', "expected labels of the head 'mixed'"],
      [
        () => model.trainAdapterFusion(fuse(['b', 'c']), { task, ...quick, maxSteps: 9, signal: AbortSignal.abort() }),
        'train.stopped',
        'Stopped after step 1 of 9',
      ],
      [() => model.saveAdapterFusion('out', 'none'), 'adapter.missing', "fusion 'none'"],
      [() => model.saveAdapterSetup('out', wrong([])), 'usage.value', 'saveAdapterSetup(folder, setup): found a list'],
      [() => model.saveAdapterSetup('out', 'a', { head: 'none' }), 'adapter.missing', "head 'none'"],
      [() => model.loadAdapterFusion('setup'), 'adapter.format', 'expected a fusion folder with adapter_fusion_config.json'],
      [() => model.loadAdapterFusion('nowhere'), 'file.missing', 'nowhere: found nothing'],
      [() => model.loadAdapterFusion('fusion', { loadAs: 'c' }), 'adapter.duplicate', "fusion 'c': found an adapter of that name"],
      [() => model.loadAdapterSetup('fusion'), 'file.missing', 'adapter_setup.json'],
    ];
    const before = state();
    for (const [call, code, message] of calls)
      await expect((async () => call())(), message).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
    expect(calls).toHaveLength(28);
    expect(state()).toEqual(before);
    expect(await files.kind('out')).toBe('none');
  });

  it('as a folder without its adapters, or with others, leaves the model as it was', async () => {
    const empty = await open(files);
    empty.addAdapter('b');
    await expect(empty.loadAdapterFusion('fusion')).rejects.toMatchObject({
      code: 'adapter.missing',
      message: expect.stringContaining('found no adapter a; expected a, b, which the fusion mixes. Load them first'),
    });
    empty.addAdapter('a', 'double_seq_bn');
    empty.addAdapter('b', 'double_seq_bn', { overwriteOk: true });
    await expect(empty.loadAdapterFusion('fusion')).rejects.toMatchObject({
      code: 'adapter.mismatch',
      message: expect.stringContaining("found the fusion 'mixed' after output; expected after attention and output, where a, b stand"),
    });
    await files.write('broken/adapter_setup.json', await files.read('setup/adapter_setup.json'));
    for (const name of ['a', 'mixed'])
      for (const file of await files.list(`setup/${name}`))
        await files.write(`broken/${name}/${file}`, await files.read(`setup/${name}/${file}`));
    await expect(empty.loadAdapterSetup('broken')).rejects.toThrow(/broken\/b: found nothing; expected an adapter folder/);
    expect([empty.adapters, empty.fusions, empty.heads]).toEqual([['b', 'a'], [], []]);
  });

  it('says so when its adapters were replaced by others elsewhere', async () => {
    const other = await open(files);
    await other.loadAdapterSetup('setup');
    for (const name of ['a', 'b']) other.addAdapter(name, 'double_seq_bn', { overwriteOk: true });
    other.addClassificationHead('h');
    await expect(other.predict(rows.test)).rejects.toMatchObject({
      code: 'method.config',
      message: expect.stringContaining("the fusion 'mixed': found other places of a, b than when it was trained"),
    });
  });
});
