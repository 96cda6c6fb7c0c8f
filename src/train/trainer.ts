import { fail } from '../base/errors.ts';
import type { Tensor } from '../base/tensor.ts';
import { createSampler, type SamplerState } from '../batch/index.ts';
import { computeMetrics, METRICS } from '../metrics/index.ts';
import { feedsOf, lossTerms, type Prepared, type Unit } from '../model/data.ts';
import { type Model, trainableParameters } from '../model/model.ts';
import { type RunSize, runSizeOf } from '../model/runs.ts';
import { createPredictor, type Predictor } from '../predict/predictor.ts';
import type { Engine, Feeds } from '../session/session.ts';
import type { Row, Task } from '../tasks/index.ts';
import { ADAMW, ParameterStore } from '../update/index.ts';
import { paceOf, stepEnds } from './pace.ts';
import type { TrainEvent, TrainSettings } from './settings.ts';
import { createTrainingStep } from './step.ts';
import { stepEvents } from './step-events.ts';

/** Everything beside the parameters that a run needs to go on as if it had never stopped. */
export interface Progress {
  readonly step: number;
  readonly sampler: SamplerState;
  /** Evaluations since the best one. */
  readonly stale: number;
  readonly best: { readonly step: number; readonly metric: number } | undefined;
}

export interface Saved {
  readonly progress: Progress;
  readonly parameters: ReadonlyMap<string, Tensor>;
  readonly best: ReadonlyMap<string, Tensor> | undefined;
}

export interface Split {
  readonly rows: readonly Row[];
  readonly prepared: Prepared;
}

export interface TrainOptions {
  readonly engine: Engine;
  readonly model: Model;
  readonly task: Task;
  readonly train: Split;
  readonly validation: Split | undefined;
  readonly settings: TrainSettings;
  /** First values that are not drawn: a saved adapter, the encoder's own weights. */
  readonly initial?: ReadonlyMap<string, Tensor>;
  readonly resume?: Saved;
  readonly onEvent?: (event: TrainEvent) => void | Promise<void>;
  /** Called when everything is compiled, before the first step: what is wrong with the options has been told by then. */
  readonly begin?: () => Promise<void>;
  /** Called when the state is worth keeping: after each evaluation, and every so often between. The tensors are views: they change once the promise is kept. */
  readonly save?: (saved: Saved) => Promise<void>;
  readonly signal?: AbortSignal;
}

export interface TrainResult {
  /** The parameters of the best evaluation, or the last ones where nothing was evaluated. */
  readonly parameters: ReadonlyMap<string, Tensor>;
  readonly steps: number;
  readonly best: Progress['best'];
  readonly stoppedEarly: boolean;
}

/**
 * Trains a model on one task. The same options give the same parameters, bit by bit, also through any
 * number of resumes; an engine with another number of threads, or another machine, may round differently.
 * @throws train.memory for what cannot fit; train.non-finite; train.stopped when `signal` aborts (the state is saved first)
 */
export async function trainModel(options: TrainOptions): Promise<TrainResult> {
  const { engine, model, task, train, settings, resume, begin, onEvent, save, signal } = options;
  const { units } = train.prepared;
  const store = createStore(model, settings.seed, options.initial);
  const sampler = createSampler(
    {
      lengths: Int32Array.from(units, (unit) => unit.length),
      batchSize: settings.batchSize,
      shuffle: settings.shuffle,
      seed: settings.seed,
    },
    resume?.progress.sampler,
  );
  const pace = paceOf(settings, sampler.batchesPerEpoch, model.attachment.learningRate);
  const split = partition(units, settings, runSizeOf(model.encoder, store.size));
  const [largest] = split.parts(units.toSorted((a, b) => b.length - a.length).slice(0, settings.batchSize));
  const step = await createTrainingStep(engine, model, store, {
    adamw: { ...ADAMW, weightDecay: settings.weightDecay, clip: settings.clip },
    seed: settings.seed,
    ...(largest && { largest: feedsOf(largest, model.head, model.encoder, 1) }),
  });
  const evaluator = options.validation && (await createPredictor(engine, model, { current: () => store.values(), steps: () => done }));

  let { step: done, stale, best }: Pick<Progress, 'step' | 'stale' | 'best'> = resume?.progress ?? { step: 0, stale: 0, best: undefined };
  let bestValues = resume?.best;
  if (resume) restore(store, resume);
  const eventOf = stepEvents(pace.total);
  const endStep = stepEnds({ total: pace.total, saveEvery: settings.saveEvery, save, signal });
  const exhausted = () => pace.exhausted(done, stale);

  try {
    await begin?.();
    while (!exhausted()) {
      const { rows, epoch } = sampler.next();
      const batch = Array.from(rows, (row) => units[row] as Unit);
      const terms = batch.reduce((sum, unit) => sum + lossTerms(unit), 0);
      const parts: Feeds[] = split.parts(batch).map((part) => feedsOf(part, model.head, model.encoder, Math.max(1, terms)));
      const learningRate = pace.learningRate(done);
      const { loss, gradientNorm } = await step.run(parts, learningRate, done + 1);
      done++;
      await onEvent?.(eventOf(batch.length, { step: done, epoch, loss, learningRate, gradientNorm }));
      const evaluated = evaluator !== undefined && pace.evaluatesAfter(done);
      if (evaluated) await judge(options.validation as Split, evaluator, epoch);
      await endStep({ done, evaluated, last: exhausted() }, () => ({
        progress: { step: done, sampler: sampler.state(), stale, best },
        parameters: store.state(),
        best: bestValues,
      }));
    }
  } finally {
    await step.release();
    await evaluator?.release();
  }
  return { parameters: bestValues ?? copies(store.values()), steps: done, best, stoppedEarly: done < pace.total };

  async function judge({ rows, prepared }: Split, predictor: Predictor, epoch: number): Promise<void> {
    const answers = await predictor.answers(rows, prepared);
    const { values } = computeMetrics(
      task,
      answers.map((answer) => answer.prediction),
      rows,
    );
    const metric = values[task.metric] as number;
    const sign = METRICS[task.metric].higherIsBetter ? 1 : -1;
    const gain = best === undefined ? Number.POSITIVE_INFINITY : sign * (metric - best.metric);
    // Of equal scores the later: it has learnt longer. Patience wants a better one all the same.
    if (gain >= 0) {
      best = { step: done, metric };
      bestValues = copies(store.values());
    }
    stale = gain > 0 ? 0 : stale + 1;
    await onEvent?.({
      type: 'evaluation',
      step: done,
      epoch,
      metrics: values as Record<string, number>,
      metric: task.metric,
      best: gain >= 0,
    });
  }
}

function createStore(model: Model, seed: number, initial: ReadonlyMap<string, Tensor> = new Map()): ParameterStore {
  const store = new ParameterStore(trainableParameters(model));
  store.initialize(seed);
  for (const { name } of store.specs) {
    const start = initial.get(name);
    if (start) store.set(name, start.data as Float32Array);
  }
  return store;
}

/** Throws `train.resume` when the saved tensors are not those of this model. */
export function restore(store: ParameterStore, { parameters, best }: Pick<Saved, 'parameters' | 'best'>): void {
  const sizes = ['value', 'moment1', 'moment2'].map((part) => parameters.get(part)?.data.length ?? 0);
  const fits =
    sizes.every((size) => size === store.size) &&
    (!best || store.specs.every(({ name }) => best.get(name)?.data.length === store.get(name).data.length));
  if (!fits)
    fail({
      code: 'train.resume',
      subject: 'the saved parameters',
      found: `${sizes.join(', ')} numbers (values and two moments), or other tensors of the best step`,
      expected: `${store.size} each`,
      next: 'Start anew without --resume.',
    });
  store.restore(parameters);
}

/** How batches are cut into runs: by `microBatch` rows, or by tokens. */
export function partition<U extends Pick<Unit, 'length' | 'encodings'>>(
  units: readonly U[],
  { microBatch, batchSize }: Pick<TrainSettings, 'microBatch' | 'batchSize'>,
  { mostTokens }: Pick<RunSize, 'mostTokens'>,
) {
  const tokens = (unit: U) => unit.length * unit.encodings.length;
  const largest = units.reduce((longest, unit) => Math.max(longest, tokens(unit)), 1);
  const accumulate = microBatch === undefined ? largest * batchSize > mostTokens : microBatch < batchSize;
  const rowsFor = (batch: readonly U[]) => microBatch ?? Math.max(1, Math.floor(mostTokens / Math.max(...batch.map(tokens))));
  const parts = (batch: readonly U[]): U[][] => {
    const size = accumulate ? rowsFor(batch) : batch.length;
    return Array.from({ length: Math.ceil(batch.length / size) }, (_, i) => batch.slice(i * size, (i + 1) * size));
  };
  return { accumulate, parts };
}

export function copies(values: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  return new Map([...values].map(([name, value]) => [name, { ...value, data: (value.data as Float32Array).slice() }]));
}
