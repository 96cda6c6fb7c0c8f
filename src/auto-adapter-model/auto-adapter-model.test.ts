import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import { tinyTask } from '../../test/tiny.ts';
import { open, quick, SIZES, world } from '../../test/tiny-world.ts';
import { loadAdapter } from '../checkpoint/index.ts';
import { configureMethod } from '../methods/index.ts';
import { referenceEngine } from '../session/reference.ts';
import { loadTask } from '../tasks/index.ts';
import { trainSettings } from '../train/settings.ts';
import { trainTask } from '../train/train-task.ts';
import { AutoAdapterModel } from './auto-adapter-model.ts';

describe('AutoAdapterModel', () => {
  it('says in words what it was given instead of a folder, a task or rows', async () => {
    const files = world();
    const model = await open(files);
    model.addClassificationHead('a', { numLabels: 2 });
    model.addAdapter('a');
    const wrong = (value: unknown) => value as never;
    const calls: readonly (readonly [() => Promise<unknown>, string])[] = [
      [() => AutoAdapterModel.fromPretrained(wrong(undefined), { files }), 'fromPretrained(folder): found undefined; expected the path of'],
      [() => model.predict(wrong('a text')), 'predict(rows): found a text; expected an array of rows. Give one row as'],
      [() => model.predict(wrong({ text: 'a' })), 'predict(rows): found an object; expected an array of rows.'],
      [() => model.trainAdapter('a', wrong(undefined)), 'trainAdapter(name, { task }): found no task; expected a task. Make one with'],
      [() => model.trainAdapter('a', wrong({ task: 'mood' })), 'trainAdapter(name, { task }): found the text "mood"; expected a task.'],
      [() => loadTask(wrong('mood'), wrong(undefined)), 'loadTask(files, path): found something else; expected files'],
    ];
    for (const [call, message] of calls)
      await expect(call()).rejects.toMatchObject({ code: 'usage.value', message: expect.stringContaining(message) });
    expect(calls).toHaveLength(6);
  });

  it.each(['classification', 'tagging', 'span'] as const)(
    'trains, saves and loads an adapter for %s, with the same answers',
    async (name) => {
      const files = world();
      const model = await open(files);
      const task = await loadTask(files, name);
      model.addAdapter(name);
      const { steps, trained } = await model.trainAdapter(name, { task, ...quick });
      expect(steps).toBe(2);
      expect(trained).toBeGreaterThan(486);
      expect([model.activeAdapters, model.activeHead, model.task.kind]).toEqual([name, name, task.kind]);
      const { rows } = tinyTask(name, SIZES);
      const answers = await model.predict(rows.test);
      const { rows: count, metrics } = await model.evaluate(task);
      expect([count, Object.keys(metrics)]).toEqual([SIZES.test, task.metrics]);

      await model.saveAdapter('saved', name);
      const other = await open(files);
      expect(await other.loadAdapter('saved')).toBe(name);
      expect(await other.predict(rows.test)).toEqual(answers);
    },
  );

  it('trains as trainTask does, bit by bit', async () => {
    const files = world();
    const engine = referenceEngine();
    const task = await loadTask(files, 'classification');
    const settings = trainSettings.parse(quick);
    await trainTask({ files, engine, model: 'tiny', task, method: configureMethod('lora'), name: 'mine', output: 'one', settings });
    const model = await open(files);
    model.addAdapter('mine', 'lora');
    await model.trainAdapter('mine', { task, ...quick });
    await model.saveAdapter('two', 'mine');
    for (const file of ['pytorch_adapter.bin', 'pytorch_model_head.bin', 'adapter_config.json', 'head_config.json'])
      expect(await files.read(`two/${file}`), file).toEqual(await files.read(`one/${file}`));
  });

  it('starts from a saved adapter of the same method, and from its head where that has the same labels', async () => {
    const files = world();
    const notes: string[] = [];
    const run = async (name: 'classification' | 'pair', output: string, method: string, init?: string) =>
      trainTask({
        files,
        engine: referenceEngine(),
        model: 'tiny',
        task: await loadTask(files, name),
        method: configureMethod(method),
        name: 'mine',
        output,
        settings: trainSettings.parse({ ...quick, maxSteps: 1, learningRate: init ? 1e-30 : 0.01 }),
        ...(init !== undefined && { init }),
        onEvent: (event) => void (event.type === 'note' && notes.push(event.text)),
      });
    await run('classification', 'one', 'seq_bn');
    await run('classification', 'two', 'seq_bn', 'one');
    for (const file of ['pytorch_adapter.bin', 'pytorch_model_head.bin'])
      expect(await files.read(`two/${file}`), file).toEqual(await files.read(`one/${file}`));
    await run('pair', 'three', 'seq_bn[non_linearity="gelu"]', 'one');
    expect(notes.filter((text) => text.includes('one'))).toEqual([
      'The adapter in one was made with other settings: non_linearity.',
      'The head in one answers other labels or has another form: a new one is trained.',
    ]);
    await expect(run('pair', 'four', 'lora', 'one')).rejects.toThrow(
      /^--init one: found .*adapter_down.*, which lora does not have; expected/,
    );
  });

  it('keeps with a head how long its sequences were and whether they were pairs, through saving and loading', async () => {
    const files = world();
    const model = await open(files);
    const notesOf = async (asked: AutoAdapterModel, options: object = {}) => {
      const notes: string[] = [];
      await asked.predict([{ text: 'bako mitu lesar nofpi bako mitu lesar nofpi' }], {
        ...options,
        onNote: (text) => void notes.push(text),
      });
      return notes;
    };
    const cutAt = (tokens: number) => `1 of 1 rows are longer than ${tokens} tokens and were cut.`;
    const alone = 'Rows without "textPair", the second text of a pair, are answered from their one text: 1 of 1.';
    model.addAdapter('a');
    await model.trainAdapter('a', { task: await loadTask(files, 'pair'), ...quick, maxLength: 5 });
    expect(await notesOf(model)).toEqual([cutAt(5), alone]);
    await model.saveAdapter('saved', 'a');
    await model.saveHead('head', 'a');

    const other = await open(files);
    await other.loadAdapter('saved');
    expect(await notesOf(other)).toEqual([cutAt(5), alone]);
    expect(await notesOf(other, { maxLength: 6 })).toEqual([cutAt(6), alone]);
    await other.loadHead('head', { loadAs: 'b' });
    expect(await notesOf(other)).toEqual([cutAt(5), alone]);
    other.addClassificationHead('new');
    expect(await notesOf(other)).toEqual([]);
  });

  it('takes rows instead of files, and goes on from what it has', async () => {
    const model = await open(world());
    const { card, rows } = tinyTask('classification', SIZES);
    const task = { ...(await loadTask(world(), 'classification')), files: {} };
    model.addAdapter('a');
    await model.trainAdapter('a', { task, rows: rows.train, ...quick });
    const [before] = await model.predict(rows.test);
    await model.trainAdapter('a', { task, rows: rows.train, validationRows: rows.validation, ...quick });
    const [after] = await model.predict(rows.test);
    expect(after?.logits).not.toEqual(before?.logits);
    expect(card.labels).toContain(after?.prediction);
  });

  it('trains the outputs of a head by their names, whatever the order of the labels of the task', async () => {
    const model = await open(world());
    const { rows } = tinyTask('classification', { ...SIZES, train: 40 });
    const task = { ...(await loadTask(world(), 'classification')), files: {} };
    const [first, ...others] = task.labels as [string, ...string[]];
    model.addAdapter('a');
    model.addClassificationHead('a', { labels: [...others, first] });
    const same = rows.train.filter((row) => row.label === first);
    await model.trainAdapter('a', { task, rows: same, ...quick, maxSteps: 6, learningRate: 0.05 });
    expect((await model.predict(rows.test)).map(({ prediction }) => prediction)).toEqual([first, first]);
  });

  it('refuses a name that no folder can hold before any work, and makes that of a task fit', async () => {
    const files = world();
    const model = await open(files);
    const expected = "expected 1 to 240 characters without dots, slashes and control characters, and not '__base__'";
    expect(() => model.addAdapter('a.b')).toThrow(`adapter 'a.b': found "a.b"; ${expected}`);
    expect(() => model.addTaggingHead('a/b')).toThrow(`head 'a/b': found "a/b"; ${expected}`);
    const task = { ...(await loadTask(files, 'classification')), name: 'v1.2' };
    const options = {
      files,
      engine: referenceEngine(),
      model: 'tiny',
      task,
      method: configureMethod('lora'),
      settings: trainSettings.parse({ ...quick, maxSteps: 1 }),
    };
    await expect(trainTask({ ...options, name: '../x' })).rejects.toMatchObject({
      code: 'usage.value',
      message: expect.stringContaining(`--name: found "../x"; ${expected}`),
    });
    expect((await trainTask({ ...options, output: 'out' })).name).toBe('v1_2');
    expect(await model.loadAdapter('out')).toBe('v1_2');
  });

  it('has a head for every kind, by the names of Python', async () => {
    const model = await open(world());
    model.addClassificationHead('one', { labels: ['x', 'y', 'z'] });
    expect((await model.predict([{ text: 'bako' }]))[0]?.logits).toHaveLength(3);
    model.addClassificationHead('many', { numLabels: 4, multilabel: true, layers: 1 });
    expect((await model.predict([{ text: 'bako' }]))[0]?.prediction).toEqual(expect.any(Array));
    model.addRegressionHead('number');
    expect((await model.predict([{ text: 'bako' }]))[0]?.prediction).toEqual(expect.any(Number));
    model.addTaggingHead('tags', { labels: ['O', 'B-x'] });
    expect((await model.predict([{ tokens: ['bako', 'mi'] }]))[0]?.prediction).toHaveLength(2);
    model.addMultipleChoiceHead('choice', { numChoices: 3, usePooler: true });
    expect([0, 1, 2]).toContain((await model.predict([{ text: 'bako', choices: ['a', 'b', 'c'] }]))[0]?.prediction);
    model.addQaHead('qa');
    expect((await model.predict([{ question: 'ba', context: 'mi tu le' }]))[0]?.spans?.length).toBeGreaterThan(0);
    expect(model.heads).toEqual(['one', 'many', 'number', 'tags', 'choice', 'qa']);
    model.activeHead = 'one';
    expect(['x', 'y', 'z']).toContain((await model.predict([{ text: 'bako' }]))[0]?.prediction);
  });

  it('calls outputs without names by their index', async () => {
    const model = await open(world());
    model.addClassificationHead('plain', { numLabels: 3 });
    expect(model.task.labels).toEqual(['0', '1', '2']);
  });

  it('answers with the adapter that is active, or with none', async () => {
    const files = world();
    const model = await open(files);
    const task = await loadTask(files, 'regression');
    model.addAdapter('a', 'double_seq_bn');
    await model.trainAdapter('a', { task, ...quick });
    const row = [{ text: 'bako mitu' }];
    const [grafted] = await model.predict(row);
    model.setActiveAdapters(undefined);
    const [bare] = await model.predict(row);
    expect(bare?.prediction).not.toBe(grafted?.prediction);
    model.setActiveAdapters('a');
    expect(await model.predict(row)).toEqual([grafted]);
  });

  it.each(['dora', 'dvora'])('%s: an untrained adapter begins from the encoder and changes nothing', async (method) => {
    const files = world();
    const model = await open(files);
    model.addHead('h', await loadTask(files, 'classification'));
    const rows = tinyTask('classification', SIZES).rows.test;
    const bare = await model.predict(rows);
    model.addAdapter('a', method);
    model.setActiveAdapters('a');
    const logits = (answers: typeof bare) => answers.flatMap(({ logits: numbers = [] }) => numbers.flat());
    const [before, after] = [logits(bare), logits(await model.predict(rows))];
    expect(before).toHaveLength(2 * 3);
    for (const [i, value] of before.entries()) expect(after[i]).toBeCloseTo(value, 6);
  });

  it('keeps what does not train through saving, loading and more training', async () => {
    const files = world();
    const model = await open(files);
    const task = await loadTask(files, 'classification');
    const tensorsOf = async (folder: string) => (await loadAdapter(files, folder, { encoder: model.encoder })).tensors;
    model.addAdapter('a', 'vera');
    await model.trainAdapter('a', { task, ...quick, seed: 5 });
    await model.saveAdapter('once', 'a');
    const again = await open(files);
    await again.loadAdapter('once');
    await again.trainAdapter('a', { task, ...quick, seed: 6 });
    await again.saveAdapter('twice', 'a');
    const [once, twice] = [await tensorsOf('once'), await tensorsOf('twice')];
    const same = [...once.keys()].filter((key) => isDeepStrictEqual(once.get(key), twice.get(key)));
    expect(same).toEqual(['bert.shared_parameters.a.lora_A', 'bert.shared_parameters.a.lora_B']);
    const rows = tinyTask('classification', SIZES).rows.test;
    const other = await open(files);
    await other.loadAdapter('twice');
    expect(await other.predict(rows)).toEqual(await again.predict(rows));
  });

  it('counts parameters as adapter_summary does', async () => {
    const model = await open(world());
    model.addAdapter('bottleneck', 'seq_bn');
    model.addAdapter('low', { architecture: 'lora', r: 4 });
    model.setActiveAdapters('low');
    expect(model.adapterSummary()).toMatchObject([
      { name: 'bottleneck', parameters: 3 * (2 * 2 * 32 + 2 + 32), active: false, train: false },
      { name: 'low', parameters: 3 * 2 * (2 * 4 * 32), active: true, train: true },
      { name: 'tiny', percent: 100, train: false },
    ]);
  });

  it('refuses what makes no sense', async () => {
    const files = world();
    const model = await open(files);
    const task = await loadTask(files, 'classification');
    await expect(model.predict([{ text: 'a' }])).rejects.toMatchObject({ code: 'adapter.missing' });
    model.addAdapter('a');
    expect(() => model.addAdapter('a')).toThrow(/adapter 'a': found one of that name already/);
    expect(() => model.addAdapter('b', 'full')).toThrow(/expected a method that adds parameters/);
    expect(() => model.setActiveAdapters('aa')).toThrow(/Did you mean 'a'\?/);
    expect(() => model.addClassificationHead('h', { layers: 0 })).toThrow(/head 'h': key 'layers': found 0/);
    expect(() => model.addClassificationHead('h', { numLabels: 3, labels: ['x'] })).toThrow(/found 1 names; expected 3/);
    const misspelt = { epoch: 3 } as object;
    await expect(model.trainAdapter('a', { task, ...misspelt })).rejects.toThrow("setting 'epoch': found no such setting");
    await expect(model.trainAdapter('a', { task, epochs: -1 })).rejects.toThrow(/setting 'epochs': found -1; expected number to be >0/);
    await expect(model.trainAdapter('a', { task, rows: [] })).rejects.toMatchObject({ code: 'task.empty' });
    model.addTaggingHead('a', { numLabels: 2 });
    await expect(model.trainAdapter('a', { task, ...quick })).rejects.toMatchObject({ code: 'task.card' });
  });
});
