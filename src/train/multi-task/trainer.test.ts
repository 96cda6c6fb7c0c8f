import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startValues } from '../../../test/start-values.ts';
import { TINY_ENCODER, TINY_TASKS, type TinyTask } from '../../../test/tiny.ts';
import { savedAfter, tinyMultiTaskModel, tinyTaskData } from '../../../test/tiny-multi-task.ts';
import { nodeFiles } from '../../base/files-node.ts';
import type { Tensor } from '../../base/tensor.ts';
import { type Encoder, loadEncoder } from '../../encoders/index.ts';
import type { Value } from '../../graph/index.ts';
import { attach, attachPerTask, configureMethod } from '../../methods/index.ts';
import { drawModel } from '../../model/draw.ts';
import { batchTerms, feedsOf } from '../../model/feeds.ts';
import { drawLoss } from '../../model/loss.ts';
import { weightsOf } from '../../model/model.ts';
import { noDropout } from '../../nn/index.ts';
import type { TaskUnit } from '../../objectives/index.ts';
import { type HoldingEngine, holding } from '../../session/holding.ts';
import { nodeEngine } from '../../session/node.ts';
import { multiTaskMethod } from './registry.ts';
import { multiTaskSettings } from './settings.ts';
import { type TaskData, trainMultiTask } from './trainer.ts';

let encoder: Encoder;
let engine: HoldingEngine;

beforeAll(async () => {
  encoder = await loadEncoder(nodeFiles, TINY_ENCODER);
  // A run and what resumes it are of the same programs.
  engine = holding(await nodeEngine({ threads: 1 }));
});

afterAll(() => engine.release());

const dataOf = (name: TinyTask, train = 24) => tinyTaskData(name, { train, validation: 8 });
const modelOf = (method: string, tasks: readonly TaskData[]) => tinyMultiTaskModel(encoder, method, tasks);

const difference = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce(
    (worst, x, i) => Math.max(worst, Math.abs(x - (b[i] as number))),
    a.length === b.length ? 0 : Number.POSITIVE_INFINITY,
  );

describe('one batch of all kinds', () => {
  it('has for each task the loss that its rows have alone, and their mean in all', async () => {
    const tasks = await Promise.all(TINY_TASKS.map((name) => dataOf(name)));
    const model = modelOf('joint', tasks);
    const start = await startValues(model, 1);
    const units = tasks.flatMap(({ train }, task) => train.prepared.units.slice(0, 3).map((unit): TaskUnit => ({ ...unit, task })));
    const mixed = units.toSorted((a, b) => a.length - b.length);
    const { logits } = drawModel(model, noDropout, () => false);
    const { loss, losses: taskLosses } = drawLoss(model, logits);
    const outputs = { loss, ...Object.fromEntries(taskLosses.map((value, task) => [`${task}`, value])) };
    const together = await engine.compile({ outputs }, weightsOf(model, start));
    const results = await together.run(feedsOf(mixed, model, batchTerms(model, mixed)));
    await together.release();

    const losses: number[] = [];
    for (const [task, head] of model.heads.entries()) {
      const alone = { encoder, attachment: model.attachment, heads: [head] };
      const drawn = drawModel(alone, noDropout, () => false);
      const session = await engine.compile({ outputs: { loss: drawLoss(alone, drawn.logits).loss } }, weightsOf(alone, start));
      const own = mixed.filter((unit) => unit.task === task).map((unit) => ({ ...unit, task: 0 }));
      const { loss: expected } = await session.run(feedsOf(own, alone, batchTerms(alone, own)));
      await session.release();
      losses.push(Number(expected?.data[0]));
      expect(Math.abs(Number(results[task]?.data[0]) / (losses[task] as number) - 1), head.name).toBeLessThan(1e-5);
    }
    expect(losses).toHaveLength(7);
    expect(Number(results.loss?.data[0])).toBeCloseTo(losses.reduce((a, b) => a + b, 0) / 7, 5);
  });

  it('bears tasks without rows', async () => {
    const tasks = await Promise.all((['choice', 'pair'] as const).map((name) => dataOf(name)));
    const model = modelOf('joint', tasks);
    const units = (tasks[1] as TaskData).train.prepared.units.slice(0, 4).map((unit): TaskUnit => ({ ...unit, task: 1 }));
    const { logits } = drawModel(model, noDropout, () => false);
    const { loss, losses } = drawLoss(model, logits);
    const outputs = { loss, absent: losses[0] as typeof loss, present: losses[1] as typeof loss };
    const session = await engine.compile({ outputs }, weightsOf(model, await startValues(model, 1)));
    const results = await session.run(feedsOf(units, model, batchTerms(model, units)));
    await session.release();
    expect(Number(results.absent?.data[0])).toBe(0);
    expect(results.loss?.data).toEqual(results.present?.data);
    expect(Number(results.loss?.data[0])).toBeGreaterThan(0.1);
  });
});

describe('one module for each task', () => {
  it.each(['seq_bn', 'par_bn', 'lora[init_weights="bert"]', 'pals'])('%s answers a task as it would alone', async (text) => {
    const tasks = await Promise.all((['classification', 'pair', 'tagging'] as const).map((name) => dataOf(name)));
    const plain = modelOf('adapters', tasks);
    const names = plain.heads.map(({ name }) => name);
    const facts = { encoder: encoder.config, family: encoder.family };
    const model = { ...plain, attachment: attachPerTask(configureMethod(text), names, facts) };
    const start = await startValues(model, 5);
    const { logits } = drawModel(model, noDropout, () => false);
    const outputs = Object.fromEntries(logits.map((value, task) => [`${task}`, value]));
    const together = await engine.compile({ outputs }, weightsOf(model, start));
    const answers: Float32Array[] = [];
    for (const [task, head] of model.heads.entries()) {
      const units = (tasks[task] as TaskData).train.prepared.units.slice(0, 3).map((unit): TaskUnit => ({ ...unit, task }));
      const results = await together.run(feedsOf(units, model));
      const attachment = attach(configureMethod(text), { ...facts, name: head.name });
      const one = { encoder, attachment, heads: [head] };
      const drawn = drawModel(one, noDropout, () => false);
      const alone = await engine.compile({ outputs: { logits: drawn.logits[0] as Value } }, weightsOf(one, start));
      const expected = (
        await alone.run(
          feedsOf(
            units.map((unit) => ({ ...unit, task: 0 })),
            one,
          ),
        )
      ).logits as Tensor;
      await alone.release();
      const got = results[task] as Tensor;
      expect(difference(got.data as Float32Array, expected.data as Float32Array), head.name).toBeLessThan(1e-5);
      answers.push(expected.data as Float32Array);
    }
    await together.release();
    expect(answers).toHaveLength(3);
  });
});

describe('ways of sharing an encoder', () => {
  it('are those of CA-MTL, and any method for all tasks or for each', () => {
    const texts = ['ca_mtl_large', 'joint', 'adapters', 'shared_adapter', 'lora[r=2]', 'shared_par_bn', 'mtl_lora', 'pals', 'head'];
    const kinds = texts.map((text) => {
      const method = multiTaskMethod(text);
      const { taskIds, perTask, parameters } = method.attach(encoder, ['a', 'b'], 32);
      const modules = perTask ? 'each' : parameters.length > 0 ? 'all' : 'none';
      return [text, modules, taskIds ? 'told apart' : '', method.heads, method.trainsEncoder, method.grows];
    });
    expect(kinds).toEqual([
      ['ca_mtl_large', 'all', 'told apart', 'pooled', true, true],
      ['joint', 'none', '', 'pooled', true, false],
      ['adapters', 'each', 'told apart', 'single-task', false, false],
      ['shared_adapter', 'all', '', 'single-task', false, false],
      ['lora[r=2]', 'each', 'told apart', 'single-task', false, false],
      ['shared_par_bn', 'all', '', 'single-task', false, false],
      ['mtl_lora', 'each', 'told apart', 'single-task', false, false],
      ['pals', 'each', 'told apart', 'single-task', false, false],
      ['head', 'none', '', 'pooled', false, false],
    ]);
    expect(multiTaskMethod('lora', { trainEncoder: true }).trainsEncoder).toBe(true);
    expect(() => multiTaskMethod('joint', { trainEncoder: true })).toThrow('--train-encoder: found it with the method joint');
    expect(() => multiTaskMethod('constructor')).toThrow("method: found 'constructor'; expected one of");
    expect(() => multiTaskMethod('shared_adaptor')).toThrow("Did you mean 'shared_adapter'?");
    expect(() => multiTaskMethod('ca_mtl_base[rank=3]')).toThrow("ca_mtl_base: key 'rank': found no such key");
    expect(() => multiTaskMethod('joint[rank=3]')).toThrow("joint: found the key 'rank'; expected no settings in brackets.");
    expect(() => multiTaskMethod('ca_mtl_base[variant="small"]')).toThrow(
      'key \'variant\': found "small"; expected one of "base"|"large".',
    );
    expect(() => multiTaskMethod('adapters[ratio=3]')).toThrow("key 'ratio': found no such key");
  });
});

describe('training', () => {
  const settingsOf = (more: object) =>
    multiTaskSettings.parse({ maxSteps: 14, batchSize: 6, evalEvery: 5, learningRate: 3e-3, dropout: 0.1, maxLength: 32, ...more });

  const RUNS: readonly (readonly [string, string, object])[] = [
    ['CA-MTL by uncertainty', 'ca_mtl_base', { sampler: 'uncertainty', candidates: 2, refresh: 3 }],
    ['adapters by uncertainty', 'adapters', { sampler: 'uncertainty', keep: 'task' }],
    ['adapters, uniform', 'adapters', { sampler: 'uniform', microBatch: 4 }],
    ['joint, averaged weights', 'joint', { taskWeights: 'averaging', sampler: 'temperature' }],
    ['projected attention', 'pals[leave_out=[0, 1]]', {}],
    ['MTL-LoRA', 'mtl_lora[attn_matrices=["v"]]', { sampler: 'annealed' }],
    ['a shared adapter, weights that train', 'shared_adapter', { taskWeights: 'uncertainty', sampler: 'annealed' }],
  ];

  it.each(RUNS)('%s: stopped anywhere and resumed, a run goes on bit by bit', async (_, method, more) => {
    const tasks = await Promise.all((['pair', 'regression', 'span'] as const).map((name) => dataOf(name)));
    const model = modelOf(method, tasks);
    const settings = settingsOf(more);
    const whole = await trainMultiTask({ engine, model, tasks, settings });
    expect(whole.steps).toBe(14);
    for (const stop of [4, 10]) {
      const resume = await savedAfter(stop, { engine, model, tasks, settings });
      expect(resume.progress.step).toBe(stop);
      const resumed = await trainMultiTask({ engine, model, tasks, settings, resume });
      expect(resumed.best).toEqual(whole.best);
      expect(resumed.bests).toEqual(whole.bests);
      expect([...resumed.parameters]).toEqual([...whole.parameters]);
    }
    expect(whole.bests.map((best) => best !== null)).toEqual([true, true, true]);
  });

  it.each(['adapters', 'mtl_lora[init_weights="bert"]'])('%s: leaves what a task has alone while it has no rows', async (method) => {
    const tasks = await Promise.all((['pair', 'classification'] as const).map((name) => dataOf(name, 48)));
    const model = modelOf(method, tasks);
    const before = await startValues(model, 1);
    let rows: Readonly<Record<string, readonly number[]>> | undefined;
    const { parameters } = await trainMultiTask({
      engine,
      model,
      tasks: tasks.map((data) => ({ ...data, validation: undefined })),
      settings: settingsOf({ maxSteps: 1, warmup: 0, batchSize: 1 }),
      onEvent: (event) => {
        if (event.type === 'step') rows = event.rows;
      },
    });
    const [present] = Object.keys(rows ?? {});
    expect(Object.keys(rows ?? {})).toHaveLength(1);
    const moved = [...parameters].filter(
      ([name, { data }]) => difference(data as Float32Array, before.get(name)?.data as Float32Array) > 0,
    );
    const ownerOf = (name: string) => ['shared', ...model.heads.map((head) => head.name)].find((owner) => name.includes(`.${owner}.`));
    const shared = [...parameters.keys()].some((name) => ownerOf(name) === 'shared');
    expect(new Set(moved.map(([name]) => ownerOf(name)))).toEqual(new Set([...(shared ? ['shared'] : []), present]));
    expect(shared).toBe(method !== 'adapters');
    expect(moved.length).toBeGreaterThan(5);
  });

  it('learns: the loss of each task falls', async () => {
    const tasks = await Promise.all((['classification', 'choice'] as const).map((name) => dataOf(name, 48)));
    const model = modelOf('ca_mtl_compact', tasks);
    const losses: Record<string, number>[] = [];
    await trainMultiTask({
      engine,
      model,
      tasks: tasks.map((data) => ({ ...data, validation: undefined })),
      settings: settingsOf({ maxSteps: 80, batchSize: 16 }),
      onEvent: (event) => void (event.type === 'step' && losses.push({ ...event.losses })),
    });
    const mean = (name: string, part: typeof losses) => {
      const own = part.flatMap((one) => one[name] ?? []);
      return own.reduce((a, b) => a + b, 0) / own.length;
    };
    for (const { name } of model.heads) expect(mean(name, losses.slice(-20)), name).toBeLessThan(0.9 * mean(name, losses.slice(0, 10)));
  });

  it('sampling by uncertainty gives tags the share of a task of one choice; means of their entropies do not', async () => {
    const tasks = await Promise.all((['classification', 'tagging'] as const).map((name) => dataOf(name, 48)));
    const shareOfTags = async (regressionScore: 'spread' | 'published') => {
      const { scoring } = await trainMultiTask({
        engine,
        model: modelOf('ca_mtl_base', tasks),
        tasks: tasks.map((data) => ({ ...data, validation: undefined })),
        settings: settingsOf({ maxSteps: 16, sampler: 'uncertainty', candidates: 3, refresh: 4, regressionScore }),
      });
      const [single = 0, tags = 0] = scoring?.chosen ?? [];
      expect(single + tags).toBe(16 * 6);
      return tags / (single + tags);
    };
    expect(Math.abs((await shareOfTags('spread')) - 0.5)).toBeLessThan(0.05);
    expect(await shareOfTags('published')).toBeLessThan(0.3);
  });

  it('a task without validation rows keeps its last weights, also where the others keep their best', async () => {
    const tasks = await Promise.all((['pair', 'classification'] as const).map((name) => dataOf(name)));
    const model = modelOf('adapters', tasks);
    const settings = settingsOf({ keep: 'task' });
    const blind = tasks.map((data) => ({ ...data, validation: undefined }));
    const mixed = await trainMultiTask({ engine, model, tasks: tasks.with(1, blind[1] as TaskData), settings });
    const last = await trainMultiTask({ engine, model, tasks: blind, settings });
    const name = model.heads[1]?.name as string;
    const own = [...mixed.parameters].filter(([key]) => key.includes(`.${name}.`));
    expect(own.length).toBeGreaterThan(10);
    for (const [key, value] of own) expect(value, key).toEqual(last.parameters.get(key));
    expect(mixed.bests[1]).toBeNull();
  });

  it('a state whose counts are of other tasks is refused', async () => {
    const tasks = await Promise.all((['pair', 'classification'] as const).map((name) => dataOf(name)));
    const options = { engine, model: modelOf('joint', tasks), tasks, settings: settingsOf({ taskWeights: 'averaging' }) };
    const saved = await savedAfter(4, options);
    const resume = { ...saved, progress: { ...saved.progress, bests: [null] } };
    await expect(trainMultiTask({ ...options, resume })).rejects.toThrow(
      'the saved losses and scores: found those of 1 tasks; expected 2.',
    );
  });

  it('keeps the best of each task only where tasks share nothing that trains', async () => {
    const tasks = await Promise.all((['pair', 'classification'] as const).map((name) => dataOf(name)));
    const model = modelOf('ca_mtl_base', tasks);
    await expect(trainMultiTask({ engine, model, tasks, settings: settingsOf({ keep: 'task' }) })).rejects.toThrow(
      "--keep: found 'task', where tasks share what trains",
    );
  });
});
