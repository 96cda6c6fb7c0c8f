import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TINY_ENCODER, TINY_TASKS, type TinyTask, tinyTask, tinyTokenizer } from '../../test/tiny.ts';
import { nodeFiles } from '../base/files-node.ts';
import { float32, type Tensor } from '../base/tensor.ts';
import { loadEncoder } from '../encoders/index.ts';
import { configureMethod } from '../methods/index.ts';
import { feedsOf } from '../model/feeds.ts';
import { adapterModel, type Model, trainableParameters } from '../model/model.ts';
import { prepare } from '../model/prepare.ts';
import { headFor } from '../model/task-setup.ts';
import type { ParameterSpec } from '../nn/index.ts';
import type { Answer } from '../predict/answer.ts';
import { createPredictor } from '../predict/predictor.ts';
import { holding } from '../session/holding.ts';
import { nodeEngine } from '../session/node.ts';
import type { Feeds } from '../session/session.ts';
import { metricsFor } from '../tasks/card.ts';
import type { MetricName, Row, Task, TaskKind } from '../tasks/index.ts';
import { checkRow } from '../tasks/row.ts';
import { ADAMW, ParameterStore } from '../update/index.ts';
import type { LoadedRows } from './load-rows.ts';
import { type TrainEvent, type TrainSettings, trainSettings } from './settings.ts';
import { createTrainingStep } from './step.ts';
import { type Saved, type TrainOptions, type TrainResult, trainModel } from './trainer.ts';

const loaded = await loadEncoder(nodeFiles, TINY_ENCODER);
const tokenizer = tinyTokenizer();
const SIZES = { train: 20, validation: 12, test: 12 };

interface Prepared {
  readonly task: Task;
  readonly model: Model;
  readonly splits: Readonly<Record<'train' | 'validation' | 'test', LoadedRows>>;
}

function prepared(name: TinyTask, { sizes = SIZES, method = 'seq_bn', dropout = 0 } = {}): Prepared {
  const { card, rows } = tinyTask(name, sizes);
  const [kind, labels] = [card.kind as TaskKind, (card.labels ?? []) as string[]];
  const metrics = metricsFor(kind, labels);
  const task: Task = { name, kind, labels, metric: metrics[0] as MetricName, metrics, columns: {}, files: {}, card };
  const encoder = {
    ...loaded,
    config: { ...loaded.config, hiddenDropout: dropout, attentionDropout: dropout, classifierDropout: dropout },
  };
  const split = (which: keyof typeof rows): LoadedRows => {
    const typed = rows[which].map((row, i) => checkRow(task, row, { file: which, line: i + 1 }));
    return { rows: typed, prepared: prepare(typed, { task, tokenizer, maxLength: 40 }) };
  };
  const splits = { train: split('train'), validation: split('validation'), test: split('test') };
  return { task, splits, model: adapterModel(encoder, configureMethod(method), name, headFor(task, name, splits.train.rows)) };
}

type Events = Extract<TrainEvent, { type: 'step' } | { type: 'evaluation' }>[];

async function train(
  { task, model, splits }: Prepared,
  settings: Partial<TrainSettings>,
  more: Partial<TrainOptions> = {},
): Promise<{ result: TrainResult; events: Events; losses: number[]; compilations: number }> {
  const engine = more.engine ?? (await nodeEngine({ threads: 1 }));
  const events: Events = [];
  const result = await trainModel({
    engine,
    model,
    task,
    train: splits.train,
    validation: undefined,
    settings: trainSettings.parse({ learningRate: 0.003, batchSize: 8, warmup: 0, ...settings }),
    onEvent: (event) => void (event.type !== 'note' && events.push(event)),
    ...more,
  });
  return {
    result,
    events,
    losses: events.flatMap((event) => (event.type === 'step' ? [event.loss] : [])),
    compilations: engine.compilations,
  };
}

const bytes = (values: ReadonlyMap<string, Tensor>) => [...values].map(([name, { data }]) => [name, ...data]);

it('a head that reads a pooler needs an encoder that has one', async () => {
  const data = prepared('classification');
  const { encoder, heads } = data.model;
  const weights = new Map([...encoder.weights].filter(([name]) => !name.includes('pooler')));
  const model = {
    ...data.model,
    encoder: { ...encoder, weights },
    heads: heads.map((head) => ({ ...head, config: { ...head.config, use_pooler: true } })),
  };
  await expect(train({ ...data, model }, { maxSteps: 1 })).rejects.toThrow(
    /^head 'classification': key 'use_pooler': found true; expected false: the encoder .* has no pooler\./,
  );
});

describe('accumulation', () => {
  it.each(TINY_TASKS)('%s: runs of 3 rows give the losses of whole batches', async (name) => {
    const data = prepared(name);
    const whole = await train(data, { epochs: 2, microBatch: 8 });
    const parts = await train(data, { epochs: 2, microBatch: 3 });
    expect(whole.losses).toHaveLength(6);
    expect(parts.losses).toHaveLength(6);
    parts.losses.forEach((loss, i) => void expect(Math.abs(loss / (whole.losses[i] as number) - 1), `step ${i + 1}`).toBeLessThan(1e-6));
    expect([whole.compilations, parts.compilations]).toEqual([1, 1]);
  });
});

describe('the order of rows', () => {
  // At this learning rate nothing moves, so a step's loss tells which rows it saw.
  const still = { learningRate: 1e-30, microBatch: 8, epochs: 2 };

  async function rowLosses(data: Prepared): Promise<number[]> {
    const { losses } = await train(data, { ...still, batchSize: 1, microBatch: 1, epochs: 1, shuffle: false });
    return losses;
  }

  it('is that of the file without shuffling, with a smaller last batch', async () => {
    const data = prepared('classification');
    const rows = await rowLosses(data);
    expect(rows).toHaveLength(20);
    expect(new Set(rows.map((loss) => loss.toFixed(6))).size).toBeGreaterThan(15);
    const mean = (from: number, to: number) => rows.slice(from, to).reduce((sum, loss) => sum + loss, 0) / (to - from);
    const { losses } = await train(data, { ...still, shuffle: false });
    const expected = [mean(0, 8), mean(8, 16), mean(16, 20)];
    expect(losses).toHaveLength(6);
    losses.forEach((loss, i) => void expect(loss).toBeCloseTo(expected[i % 3] as number, 6));
  });

  it('is another in each epoch with shuffling, and no row is left out', async () => {
    const data = prepared('classification');
    const rows = await rowLosses(data);
    const { losses } = await train(data, still);
    const total = rows.reduce((sum, loss) => sum + loss, 0);
    const epochs = [losses.slice(0, 3), losses.slice(3)] as const;
    // The batch of 4 may come anywhere in an epoch.
    const complete = (epoch: readonly number[]) =>
      [0, 1, 2].some((short) => Math.abs(epoch.reduce((sum, loss, i) => sum + loss * (i === short ? 4 : 8), 0) - total) < 1e-4);
    expect(epochs.map((epoch) => epoch.length)).toEqual([3, 3]);
    expect(epochs.map(complete)).toEqual([true, true]);
    expect(epochs[0]).not.toEqual(epochs[1]);
  });
});

describe('best step and early stopping', () => {
  const wild = { learningRate: 0.02, schedule: 'constant', epochs: 12, evalEvery: 2, microBatch: 8, seed: 3 } as const;

  it('keeps the parameters of the best evaluation, of equal ones the later', async () => {
    const data = prepared('classification');
    const { result, events } = await train(data, wild, { validation: data.splits.validation });
    const evaluations = events.filter((event) => event.type === 'evaluation');
    const metrics = evaluations.map((event) => event.metrics[event.metric] as number);
    const best = metrics.lastIndexOf(Math.max(...metrics));
    expect(evaluations).toHaveLength(18);
    expect(result.best).toEqual({ step: 2 * (best + 1), metric: metrics[best] });
    expect(
      evaluations.map((event, i) => event.best === metrics.slice(0, i).every((before) => before <= (metrics[i] as number))),
    ).not.toContain(false);
    expect(best, 'a best step that is not the last').toBeLessThan(17);
    expect(metrics.indexOf(metrics[best] as number), 'an earlier one as good').toBeLessThan(best);
    const until = await train(data, { ...wild, maxSteps: result.best?.step });
    expect(bytes(result.parameters)).toEqual(bytes(until.result.parameters));
  });

  it('stops after so many evaluations without a better one', async () => {
    const data = prepared('classification');
    const { result, events } = await train(data, { ...wild, patience: 2 }, { validation: data.splits.validation });
    const better = events.filter((event) => event.type === 'evaluation').map((event) => event.best);
    expect(result.stoppedEarly).toBe(true);
    expect(better.slice(-3)).toEqual([true, false, false]);
    expect(better.slice(0, -2).join().includes('false,false')).toBe(false);
    expect(result.steps).toBe(2 * better.length);
    expect(result.steps).toBeLessThan(36);
  });
});

describe('evaluation', () => {
  it.each(TINY_TASKS)('%s: answers stand in the order of the rows, as if each had been asked alone', async (name) => {
    const { task, model, splits } = prepared(name, { sizes: { ...SIZES, train: 40 } });
    const store = new ParameterStore(trainableParameters(model));
    store.initialize(4);
    const predictor = await createPredictor(await nodeEngine({ threads: 1 }), model, { current: () => store.values() });
    // Windows of 12 tokens, so that rows of several windows are among them.
    const ask = (rows: readonly Row[]) => predictor.answers(rows, prepare(rows, { task, tokenizer, maxLength: name === 'span' ? 12 : 40 }));
    const { rows } = splits.train;
    const alone: Answer[] = [];
    for (const row of rows) alone.push(...(await ask([row])));
    const numbers = (answer: Answer | undefined) => (answer?.spans?.map((span) => span.score) ?? answer?.logits?.flat() ?? []) as number[];
    expect(
      new Set(
        alone.map((answer) =>
          numbers(answer)
            .map((value) => value.toFixed(5))
            .join(),
        ),
      ).size,
      'rows whose answers differ',
    ).toBeGreaterThan(35);
    await fc.assert(
      fc.asyncProperty(fc.shuffledSubarray([...rows.keys()], { minLength: 1 }), async (order) => {
        const answers = await ask(order.map((i) => rows[i] as Row));
        expect(answers).toHaveLength(order.length);
        answers.forEach((answer, i) => {
          const expected = alone[order[i] as number];
          expect(numbers(answer)).toHaveLength(numbers(expected).length);
          numbers(answer).forEach((value, k) => void expect(Math.abs(value - (numbers(expected)[k] as number))).toBeLessThan(2e-6));
        });
      }),
      { numRuns: 10, seed: 1 },
    );
    await predictor.release();
    expect(alone).toHaveLength(40);
  });
});

describe('numbers that are not finite', () => {
  it('a learning rate too high: names the step and says what to do', async () => {
    const data = prepared('classification');
    const run = train(data, { learningRate: 1e30, epochs: 5 });
    await expect(run).rejects.toMatchObject({ code: 'train.non-finite' });
    await expect(run).rejects.toThrow(
      /^step [23]: found loss .*; expected finite numbers\. The parameters are those after step [12]\. Usual causes: a learning rate too high \(now [\d.]+e\+\d+\)/,
    );
  });

  it('a weight that is NaN: step 1', async () => {
    const data = prepared('classification');
    const [{ name, shape }] = trainableParameters(data.model) as [ParameterSpec];
    const initial = new Map([[name, float32(shape, new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(Number.NaN))]]);
    await expect(train(data, {}, { initial })).rejects.toThrow('step 1: found loss NaN');
  });

  it.each([1, 2])('leave the parameters of the step before (%s parts)', async (parts) => {
    const { model, splits } = prepared('classification');
    const store = new ParameterStore(trainableParameters(model));
    store.initialize(1);
    const engine = await nodeEngine({ threads: 1 });
    const step = await createTrainingStep(engine, model, store, { adamw: ADAMW, seed: 1 });
    const of = (from: number, to: number) => feedsOf(splits.train.prepared.units.slice(from, to), model, { counts: [8], weights: [1] });
    const batch = parts === 1 ? [of(0, 8)] : [of(0, 3), of(3, 8)];
    await step.run(batch, 0.01, 1);
    const before = bytes(store.state()).map((part) => part.slice());
    const last = batch.at(-1) as Feeds;
    const poisoned = {
      ...last,
      lossWeights: float32([...(last.lossWeights as Tensor).shape], new Array(8).fill(Number.NaN).slice(parts === 1 ? 0 : 3)),
    };
    await expect(step.run([...batch.slice(0, -1), poisoned], 0.01, 2)).rejects.toThrow('The parameters are those after step 1.');
    expect(bytes(store.state())).toEqual(before);
    // And the next good step is as if the bad one had never been tried.
    await step.run(batch, 0.01, 2);
    const after = bytes(store.state());
    const other = new ParameterStore(trainableParameters(model));
    other.initialize(1);
    const twin = await createTrainingStep(engine, model, other, { adamw: ADAMW, seed: 1 });
    await twin.run(batch, 0.01, 1);
    await twin.run(batch, 0.01, 2);
    expect(after).toEqual(bytes(other.state()));
    await step.release();
    await twin.release();
  });
});

describe('compilation', () => {
  it.each([64, 4])('micro-batches of %i: three epochs over mixed lengths compile two programs', async (microBatch) => {
    const data = prepared('pair', { dropout: 0.1 });
    const lengths = new Set(data.splits.train.prepared.units.map((unit) => unit.length));
    expect(lengths.size).toBeGreaterThan(6);
    const { compilations, losses } = await train(data, { epochs: 3, microBatch }, { validation: data.splits.validation });
    expect(losses).toHaveLength(9);
    expect(compilations).toBe(2);
  });
});

describe('one seed, one result', () => {
  const settings = { epochs: 3, dropout: 0.1 };

  it('byte by byte; another seed gives another', async () => {
    const data = prepared('classification', { dropout: 0.1 });
    const engine = holding(await nodeEngine({ threads: 1 }));
    const run = (seed: number) => train(data, { ...settings, seed }, { engine });
    const [first, second, other] = [await run(1), await run(1), await run(2)];
    await engine.release();
    expect(second.losses).toEqual(first.losses);
    expect(bytes(second.result.parameters)).toEqual(bytes(first.result.parameters));
    expect(other.losses[0]).not.toBe(first.losses[0]);
    expect(bytes(other.result.parameters)).not.toEqual(bytes(first.result.parameters));
  });

  it('also when the run is resumed after any step, through evaluations and early stopping', async () => {
    const data = prepared('classification', { dropout: 0.1 });
    const long = { learningRate: 0.02, epochs: 6, evalEvery: 4, patience: 2, saveEvery: 1, dropout: 0.1 };
    const { validation } = data.splits;
    const engine = holding(await nodeEngine({ threads: 1 }));
    const states: Saved[] = [];
    const keep = async (saved: Saved) =>
      void states.push({
        ...saved,
        parameters: new Map([...saved.parameters].map(([name, value]) => [name, { ...value, data: (value.data as Float32Array).slice() }])),
      });
    const whole = await train(data, long, { engine, validation, save: keep });
    expect(states.map(({ progress }) => progress.step)).toEqual(whole.losses.map((_, i) => i + 1));
    for (const step of [1, 5, states.length - 1, states.length]) {
      const resumed = await train(data, long, { engine, validation, resume: states[step - 1] as Saved });
      expect(resumed.losses, `resumed after step ${step}`).toEqual(whole.losses.slice(step));
      expect(resumed.result.best).toEqual(whole.result.best);
      expect(resumed.result.stoppedEarly).toBe(whole.result.stoppedEarly);
      expect(bytes(resumed.result.parameters)).toEqual(bytes(whole.result.parameters));
    }
    await engine.release();
  });

  it('refuses the parameters of another model', async () => {
    const saved: Saved[] = [];
    await train(prepared('classification'), { epochs: 1 }, { save: async (one) => void saved.push(one) });
    await expect(
      train(prepared('classification', { method: 'seq_bn[reduction_factor=8]' }), { epochs: 2 }, { resume: saved.at(-1) as Saved }),
    ).rejects.toMatchObject({ code: 'train.resume' });
  });
});

describe('a signal to stop', () => {
  it.each(['while a step is logged', 'in the pause between steps'])('%s: the state of that very step is saved', async (when) => {
    const controller = new AbortController();
    const saved: number[] = [];
    const steps: number[] = [];
    const run = train(
      prepared('classification'),
      { epochs: 4 },
      {
        signal: controller.signal,
        save: async ({ progress }) => void saved.push(progress.step),
        onEvent(event) {
          if (event.type !== 'step') return;
          steps.push(event.step);
          if (event.step !== 5) return;
          if (when.startsWith('while')) controller.abort();
          else setImmediate(() => controller.abort());
        },
      },
    );
    await expect(run).rejects.toThrow('Stopped after step 5 of 12. Run the same command with --resume to go on.');
    expect(saved).toEqual([5]);
    expect(steps.at(-1)).toBe(5);
  });

  it('at the last step changes nothing', async () => {
    const controller = new AbortController();
    const { result } = await train(
      prepared('classification'),
      { epochs: 1 },
      { signal: controller.signal, onEvent: (event) => void (event.type === 'step' && event.step === 3 && controller.abort()) },
    );
    expect(result.steps).toBe(3);
  });
});

it('the method’s own learning rate holds unless another is given, along the schedule', async () => {
  const data = prepared('classification');
  const { learningRate: _, ...rest } = trainSettings.parse({ batchSize: 8, epochs: 2, warmup: 0.5, microBatch: 8 });
  const rates: number[] = [];
  await trainModel({
    engine: await nodeEngine({ threads: 1 }),
    model: data.model,
    task: data.task,
    train: data.splits.train,
    validation: undefined,
    settings: rest,
    onEvent: (event) => void (event.type === 'step' && rates.push(event.learningRate)),
  });
  const own = data.model.attachment.learningRate;
  [0, 1 / 3, 2 / 3, 1, 2 / 3, 1 / 3].forEach((factor, i) => void expect(rates[i]).toBeCloseTo(own * factor, 10));
  expect(rates).toHaveLength(6);
});
