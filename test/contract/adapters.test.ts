import { describe, expect, test } from 'vitest';
import type { AutoAdapterModel } from '../../src/auto-adapter-model/index.ts';
import { createRandom, type Files, float32, type Tensor } from '../../src/base/index.ts';
import { loadAdapter, saveAdapter } from '../../src/checkpoint/index.ts';
import { attach, bindAdapter, configureMethod, encoderFacts, METHODS, methodNames } from '../../src/methods/index.ts';
import { untrainedValues } from '../../src/model/start-values.ts';
import { noDropout, parameters } from '../../src/nn/index.ts';
import { loadTask } from '../../src/tasks/index.ts';
import { open, world } from '../tiny-world.ts';
import { settled } from './settings.ts';

/** What must hold of every adapter that can be added, whatever its method: each preset in turn, on the tiny encoder. */
const PRESETS = METHODS.flatMap(({ presets, architecture }) => (architecture === undefined ? [] : Object.keys(presets)));
const ROWS = [{ text: 'bako mitu lesar' }, { text: 'sarnof' }];
const NAMES = ['a', 'b', 'c'];
const WEIGHTS = [-0.2, 0.9, 0.3];

const logits = async (model: AutoAdapterModel) => (await model.predict(ROWS)).flatMap((answer) => answer.logits as number[]);

/** Near its first values, none of them as it was. */
async function stirred(model: AutoAdapterModel, name: string, text: string, seed: number): Promise<ReadonlyMap<string, Tensor>> {
  const specs = bindAdapter(configureMethod(text), { ...encoderFacts(model.encoder), name }).parameters;
  const first = await untrainedValues(specs, model.encoder);
  return new Map(
    specs.map((spec, i) => {
      const random = createRandom(seed, i);
      const value = first.get(spec.name) as Tensor;
      if (spec.trains === false) return [spec.name, value] as const;
      return [
        spec.name,
        float32(
          spec.shape,
          (value.data as Float32Array).map((x) => x + 0.2 * random.normal()),
        ),
      ] as const;
    }),
  );
}

async function load(files: Files, model: AutoAdapterModel, name: string, text: string, seed: number) {
  const tensors = await stirred(model, name, text, seed);
  await saveAdapter(files, name, { name, method: configureMethod(text), tensors, model: model.encoder });
  await model.loadAdapter(name, { setActive: false });
  return tensors;
}

async function tensorsOf(files: Files, model: AutoAdapterModel, name: string) {
  await model.saveAdapter(`of-${name}`, name, { withHead: false });
  return (await loadAdapter(files, `of-${name}`, { encoder: model.encoder, as: name })).tensors;
}

function close(found: readonly number[], expected: readonly number[], digits = 5) {
  expect(found).toHaveLength(expected.length);
  // An expectation costs far more than what it compares.
  const same = found.every((x, i) => Math.abs(x - (expected[i] as number)) < 0.5 * 10 ** -digits);
  if (!same) expect(found).toEqual(expected);
}

test('every preset but those without parameters is tried', () => {
  expect(PRESETS.length).toBe(
    methodNames().length - METHODS.flatMap((one) => (one.architecture === undefined ? Object.keys(one.presets) : [])).length,
  );
  expect(PRESETS.length).toBeGreaterThanOrEqual(22);
});

describe.each(PRESETS)('%s', (preset) => {
  const text = settled(preset);

  test('is added, answers for itself, and is gone once deleted; the same seed gives the same values', async () => {
    const files = world();
    const model = await open(files);
    model.addClassificationHead('a', { numLabels: 3 });
    model.addAdapter('a', text);
    expect(() => model.addAdapter('a', text)).toThrow(/one of that name already/);
    const again = await open(files);
    again.addAdapter('a', text);
    const [one, other] = [await tensorsOf(files, model, 'a'), await tensorsOf(files, again, 'a')];
    expect([...one.keys()]).toEqual([...other.keys()]);
    for (const [key, value] of one) expect(other.get(key)).toEqual(value);
    model.setActiveAdapters('a');
    expect((await logits(model)).every(Number.isFinite)).toBe(true);
    model.deleteAdapter('a');
    expect([model.adapters, model.activeAdapters]).toEqual([[], undefined]);
    model.addAdapter('a', text);
  });

  test('an average is the sum of its parameters by weights', async () => {
    const files = world();
    const model = await open(files);
    const parts: ReadonlyMap<string, Tensor>[] = [];
    for (const [i, name] of NAMES.entries()) parts.push(await load(files, model, name, text, i + 1));
    const average = () => model.averageAdapter('m', NAMES, { weights: WEIGHTS });
    const configured = configureMethod(text);
    if (configured.method.withoutMean?.(configured.config) !== undefined)
      return void (await expect(average()).rejects.toThrow('expected parameters that have a mean'));
    await average();
    const mean = [...(await tensorsOf(files, model, 'm')).values()];
    const own = parts.map((part) => [...part.values()]);
    expect(mean).toHaveLength(own[0]?.length as number);
    for (const [i, { data, shape }] of mean.entries()) {
      expect(shape).toEqual(own[0]?.[i]?.shape);
      const expected = [...data].map((_, j) => own.reduce((sum, part, k) => sum + (WEIGHTS[k] as number) * Number(part[i]?.data[j]), 0));
      close([...data].map(Number), expected);
    }
  });

  test('answers the same in a twin, from every layout that can hold it', async () => {
    const files = world();
    const model = await open(files);
    model.addClassificationHead('a', { numLabels: 3 });
    await load(files, model, 'a', text, 5);
    model.activeHead = 'a';
    const stock = await logits(model);
    model.setActiveAdapters('a');
    const expected = await logits(model);
    expect(Math.max(...stock.map((x, i) => Math.abs(x - (expected[i] as number))))).toBeGreaterThan(1e-6);
    const { method, config } = configureMethod(text);
    const layouts = method.layouts?.(config) ?? ['adapters'];
    for (const layout of layouts)
      for (const format of ['bin', 'safetensors'] as const) {
        await model.saveAdapter(`${layout}-${format}/a`, 'a', { layout, format });
        const twin = await open(files);
        await twin.loadAdapter(`${layout}-${format}/a`);
        // Python's gates see padding; what is loaded says so.
        expect(twin.notes.filter((note) => !note.startsWith('Its gates'))).toEqual([]);
        close(await logits(twin), expected);
      }
    expect(layouts.length).toBeGreaterThan(0);
  });

  test('merged it answers as before, and the weights come back; or it is refused by name', async () => {
    const files = world();
    const model = await open(files);
    const attachment = attach(configureMethod(text), { ...encoderFacts(model.encoder), name: 'a' });
    const sites = Object.keys(
      attachment.hooks(
        parameters(() => false),
        noDropout,
      ),
    );
    model.addClassificationHead('a', { numLabels: 3 });
    await load(files, model, 'a', text, 6);
    model.setActiveAdapters('a');
    const [stock, expected] = [model.encoder, await logits(model)];
    if (!sites.every((site) => site === 'linear' || site === 'norm')) {
      await expect(model.mergeAdapter()).rejects.toThrow(/where no weights stand/);
      return;
    }
    await model.mergeAdapter();
    close(await logits(model), expected);
    await model.resetAdapter();
    expect(model.encoder).toBe(stock);
    expect(await logits(model)).toEqual(expected);
  });

  test('training moves it and its head, and nothing else', async () => {
    const files = world();
    const model = await open(files);
    const before = await load(files, model, 'a', text, 7);
    const other = await load(files, model, 'b', text, 8);
    const task = await loadTask(files, 'classification');
    await model.trainAdapter('a', { task, maxSteps: 4, batchSize: 2, learningRate: 0.01 });
    const after = await tensorsOf(files, model, 'a');
    const trains = bindAdapter(configureMethod(text), { ...encoderFacts(model.encoder), name: 'a' }).parameters;
    const moved = trains.filter(({ name }) => String(after.get(name)?.data) !== String(before.get(name)?.data)).map(({ name }) => name);
    expect(moved.length).toBeGreaterThan(0);
    expect(trains.filter((spec) => spec.trains === false && moved.includes(spec.name))).toEqual([]);
    for (const [key, value] of await tensorsOf(files, model, 'b')) expect(value.data).toEqual(other.get(key)?.data);
    expect(model.heads).toEqual(['a']);
  });
});
