import { fail } from '../../base/errors.ts';
import type { Tensor } from '../../base/tensor.ts';
import { input, type Value } from '../../graph/index.ts';
import { computeMetrics, METRICS } from '../../metrics/index.ts';
import { weightsOf } from '../../model/model.ts';
import { drawMultiTask, type MultiTaskModel, multiTaskParameters, multiTaskStart } from '../../model/multi-task.ts';
import { jointFeeds, jointTerms, type TaskUnit } from '../../model/multi-task-data.ts';
import { cutRuns, runSizeOf } from '../../model/runs.ts';
import { inverse, labelScales, rescaleHeads } from '../../model/standardize.ts';
import { planDropout } from '../../nn/index.ts';
import { drawJointLoss, headParameters } from '../../objectives/index.ts';
import { createMultiTaskPredictor, type MultiTaskPredictor } from '../../predict/multi-task-predictor.ts';
import type { Engine } from '../../session/session.ts';
import type { Task } from '../../tasks/index.ts';
import { ADAMW, ParameterStore } from '../../update/index.ts';
import { paceOf, stepEnds } from '../pace.ts';
import type { TrainEvent } from '../settings.ts';
import type { SavedRun } from '../state.ts';
import { compileStep } from '../step.ts';
import { stepEvents } from '../step-events.ts';
import { copies, partition, restore, type Split } from '../trainer.ts';
import { type AnySamplerState, createTaskBatches, type TaskBatches } from './batches.ts';
import type { MultiTaskSettings } from './settings.ts';
import { averagedWeights, historyAt, type LossHistory, logVariance, newHistory, uncertaintyWeighted, withLosses } from './task-weights.ts';
import { createMeter } from './uncertainty.ts';

export interface TaskData {
  readonly task: Task;
  readonly train: Split;
  readonly validation: Split | undefined;
}

interface Best {
  readonly step: number;
  readonly metric: number;
}

/** Everything beside the parameters that a run needs to go on as if it had never stopped. */
export interface MultiTaskProgress {
  readonly step: number;
  readonly sampler: AnySamplerState;
  readonly losses: LossHistory;
  /** Evaluations since the best one. */
  readonly stale: number;
  /** By the mean over tasks; its step is the last at which the kept parameters changed. */
  readonly best: Best | undefined;
  /** The best evaluation of each task. */
  readonly bests: readonly (Best | null)[];
}

export interface MultiTaskOptions {
  readonly engine: Engine;
  readonly model: MultiTaskModel;
  /** By task id. */
  readonly tasks: readonly TaskData[];
  readonly settings: MultiTaskSettings;
  /** First values in place of those that would be drawn. */
  readonly initial?: ReadonlyMap<string, Tensor>;
  readonly resume?: SavedRun<MultiTaskProgress>;
  readonly onEvent?: (event: TrainEvent) => void | Promise<void>;
  /** As in {@link TrainOptions.begin}. */
  readonly begin?: () => Promise<void>;
  /** As in {@link TrainOptions.save}. */
  readonly save?: (saved: SavedRun<MultiTaskProgress>) => Promise<void>;
  readonly signal?: AbortSignal;
}

export interface MultiTaskResult {
  /** What was trained, as it is kept; with what was drawn and does not train. */
  readonly parameters: ReadonlyMap<string, Tensor>;
  readonly trained: number;
  readonly steps: number;
  readonly best: Best | undefined;
  readonly bests: readonly (Best | null)[];
  readonly stoppedEarly: boolean;
  readonly scoring: ReturnType<TaskBatches['scoring']>;
  /** Seconds of this run, from the first step on. */
  readonly seconds: number;
}

/**
 * Trains one model on several tasks. What belongs to one task alone, its head or adapter, moves only in steps in which the
 * task has rows; steps are counted for all together. As for single tasks, equal options give equal parameters, bit by bit.
 * @throws usage.value; train.memory for what cannot fit; train.non-finite; train.stopped when `signal` aborts (the state is saved first)
 */
export async function trainMultiTask(options: MultiTaskOptions): Promise<MultiTaskResult> {
  const { engine, model, tasks, settings, resume, begin, onEvent, save, signal } = options;
  const units = tasks.map(({ train }, task) => train.prepared.units.map((unit): TaskUnit => ({ ...unit, task })));
  const learnt = settings.taskWeights === 'uncertainty' ? model.heads.map(({ name }) => logVariance(name)) : [];
  const store = new ParameterStore([...multiTaskParameters(model), ...learnt]);
  const scales = labelScales(units);
  const standard = settings.regressionLabels === 'standardized' ? scales : [];
  const { hidden } = model.encoder.config;
  const given = rescaleHeads(
    options.initial ?? new Map(),
    model.heads,
    hidden,
    standard.map((scale) => scale && inverse(scale)),
  );
  const start = new Map([...(await multiTaskStart(model, settings.seed)), ...given]);
  for (const { name } of store.specs) {
    const value = start.get(name);
    if (value) store.set(name, value.data as Float32Array);
  }
  const fixed = new Map([...start].filter(([name]) => !store.values().has(name)));
  const owners = taskOwners(model);
  if (settings.keep === 'task') checkApart(store, owners);
  const meter =
    settings.sampler === 'uncertainty'
      ? await createMeter(engine, model, {
          current: () => modelValues(),
          fixed,
          seed: settings.seed,
          deviations: settings.regressionScore === 'spread' ? scales.map((scale) => scale?.deviation) : undefined,
          int8: settings.scoring === 'int8',
        })
      : undefined;
  const sampler = createTaskBatches(model, units, settings, meter, resume?.progress.sampler);
  const pace = paceOf(settings, sampler.batchesPerEpoch, model.attachment.learningRate);
  const runs = runSizeOf(model.encoder, store.size);
  const split = partition(units.flat(), settings, runs);
  const apart = model.attachment.oneTaskRuns === true;
  const { step, partShare } = await compileJoint().catch(async (error) => {
    await meter?.release();
    throw error;
  });
  const judged = tasks.some(({ validation }) => validation);
  const evaluator = judged ? await createMultiTaskPredictor(engine, model, { current: () => modelValues(), fixed }) : undefined;

  let { step: done, stale, best, bests, losses: history } = resume?.progress ?? fresh();
  let bestValues = resume?.best && new Map(resume.best);
  if (resume) {
    checkCounts(resume.progress, tasks.length);
    restore(store, resume);
  }
  const started = performance.now();
  const eventOf = stepEvents(pace.total);
  const endStep = stepEnds({ total: pace.total, saveEvery: settings.saveEvery, save, signal });
  const exhausted = () => pace.exhausted(done, stale);

  try {
    await begin?.();
    while (!exhausted()) {
      const { batch, rows, epoch } = await sampler.next();
      history = historyAt(history, epoch);
      const weights = settings.taskWeights === 'averaging' ? averagedWeights(history) : undefined;
      const terms = { ...jointTerms(batch, tasks.length, (task) => weights?.[task] ?? 1), scales: standard };
      const parts = partsOf(batch);
      const learningRate = pace.learningRate(done);
      const fed = parts.map((part) => ({ ...jointFeeds(part, model, terms), partShare: partShare(parts.length) }));
      const still = new Set([...owners].flatMap(([name, task]) => (rows[task]?.length === 0 ? [name] : [])));
      const { loss, gradientNorm, terms: taskLosses } = await step.run(fed, learningRate, done + 1, still);
      done++;
      const own = tasks.map((_, task) => (rows[task]?.length ? taskLosses[task] : undefined));
      history = withLosses(history, own);
      await onEvent?.(
        eventOf(batch.length, {
          step: done,
          epoch,
          loss,
          learningRate,
          gradientNorm,
          losses: byTask(own.map((one) => one ?? Number.NaN)),
          rows: byTask(rows),
        }),
      );
      const evaluated = evaluator !== undefined && pace.evaluatesAfter(done);
      if (evaluated) await judge(evaluator, epoch);
      await endStep({ done, evaluated, last: exhausted() }, () => ({
        progress: { step: done, sampler: sampler.state(), losses: history, stale, best, bests },
        parameters: store.state(),
        best: bestValues,
      }));
    }
  } finally {
    await step.release();
    await evaluator?.release();
    await meter?.release();
  }
  return {
    parameters: new Map([...fixed, ...modelValues(bestValues ?? copies(store.values()))]),
    trained: store.size,
    steps: done,
    best,
    bests,
    stoppedEarly: done < pace.total,
    scoring: sampler.scoring(),
    seconds: (performance.now() - started) / 1000,
  };

  function fresh(): Pick<MultiTaskProgress, 'step' | 'stale' | 'best' | 'bests' | 'losses'> {
    return { step: 0, stale: 0, best: undefined, bests: tasks.map(() => null), losses: newHistory(tasks.length) };
  }

  /** What of the store is the model's, as it is used: all but the weights of tasks, with heads that answer in the labels' own units. */
  function modelValues(all: ReadonlyMap<string, Tensor> = store.values()): ReadonlyMap<string, Tensor> {
    const own = learnt.length === 0 ? all : new Map([...all].filter(([name]) => learnt.every((spec) => spec.name !== name)));
    return rescaleHeads(own, model.heads, hidden, standard);
  }

  /** A value of each task that has one, by the tasks' names. */
  function byTask<T extends number | readonly number[]>(values: readonly T[]): Record<string, T> {
    const there = (value: T) => (typeof value === 'number' ? !Number.isNaN(value) : value.length > 0);
    return Object.fromEntries(values.flatMap((value, task) => (there(value) ? [[model.heads[task]?.name ?? '', value]] : [])));
  }

  function partsOf(batch: readonly TaskUnit[]): TaskUnit[][] {
    const groups = apart ? tasks.map((_, task) => batch.filter((unit) => unit.task === task)).filter(({ length }) => length > 0) : [batch];
    if (!split.accumulate) return groups.flatMap(split.parts);
    if (settings.microBatch === undefined) return groups.flatMap((group) => cutRuns(group, runs.mostTokens, runs.cost));
    return groups.flatMap((group) => split.parts(group.toSorted((a, b) => b.length - a.length)));
  }

  async function compileJoint() {
    const { config } = model.encoder;
    const plan = planDropout(Math.max(config.hidden, config.intermediate, config.positions), settings.seed);
    const { logits, taskIds, trainable } = drawMultiTask(model, plan.dropout, (name) => store.values().has(name));
    const share = input('partShare', 'float32', []);
    const variances = new Map<string, Value>();
    const { loss, taskLosses } = drawJointLoss(model.heads, logits, taskIds, {
      scaled: (one, task) => {
        const spec = learnt[task];
        if (!spec) return one;
        const s = input(spec.name, 'float32', spec.shape);
        variances.set(spec.name, s);
        return uncertaintyWeighted(one, s, share);
      },
    });
    const masks = (part: Readonly<Record<string, Tensor>>, t: number, microBatch: number) => {
      const [sequences, length] = (part.inputIds as Tensor).shape as [number, number];
      const sizes = new Map([
        ['B', sequences],
        ['S', length],
      ]);
      return plan.feeds(settings.seed, t, microBatch, sizes);
    };
    const goal = {
      loss,
      terms: Object.fromEntries(taskLosses.map((value, task) => [task, value])),
      trainable: new Map([...trainable, ...variances]),
      weights: weightsOf(model, new Map([...fixed, ...plan.pools])),
      masks,
    };
    const adamw = { ...ADAMW, weightDecay: settings.weightDecay, clip: settings.clip };
    const partShare = (parts: number): Tensor => ({ dtype: 'float32', shape: [], data: Float32Array.of(1 / parts) });
    const sizeOf = (part: readonly TaskUnit[]) => part.reduce((sum, unit) => sum + unit.encodings.length, 0) * (part[0]?.length ?? 0);
    const longest = (some: readonly TaskUnit[]) => some.toSorted((a, b) => b.length - a.length).slice(0, settings.batchSize);
    const candidates = (apart ? units : [units.flat()]).flatMap((some) => partsOf(longest(some)));
    const [part = []] = candidates.toSorted((a, b) => sizeOf(b) - sizeOf(a));
    const terms = jointTerms(part, tasks.length, () => 1);
    const largest = { ...jointFeeds(part, model, terms), partShare: partShare(1) };
    return { step: await compileStep(engine, goal, store, { adamw, largest }), partShare };
  }

  async function judge(predictor: MultiTaskPredictor, epoch: number): Promise<void> {
    const metrics: Record<string, number> = {};
    const scores: number[] = [];
    const better: number[] = [];
    let ownGain = 0;
    for (const [i, { task, validation }] of tasks.entries()) {
      if (!validation) {
        // Where no score tells, the last are the best.
        better.push(i);
        continue;
      }
      const { rows, prepared } = validation;
      const answers = await predictor.answers(
        rows,
        prepared.units.map((unit) => ({ ...unit, task: i })),
      );
      const predictions = answers.map((answer) => answer.prediction);
      const { values } = computeMetrics(task, predictions, rows);
      metrics[`${model.heads[i]?.name}/${task.metric}`] = values[task.metric] as number;
      const score = signed(task, values[task.metric] as number);
      scores.push(score);
      const before = bests[i];
      const gain = before ? score - signed(task, before.metric) : Number.POSITIVE_INFINITY;
      ownGain = Math.max(ownGain, gain);
      // As for single tasks, of equal scores the later.
      if (gain >= 0) {
        bests = bests.with(i, { step: done, metric: values[task.metric] as number });
        better.push(i);
      }
    }
    const mean = scores.reduce((a, b) => a + b, 0) / scores.length;
    const gain = best ? mean - best.metric : Number.POSITIVE_INFINITY;
    stale = gain > 0 || (settings.keep === 'task' && ownGain > 0) ? 0 : stale + 1;
    const improved = gain >= 0;
    keep(improved, better, mean);
    await onEvent?.({ type: 'evaluation', step: done, epoch, metrics: { ...metrics, mean }, metric: 'mean', best: improved });
  }

  function keep(improved: boolean, better: readonly number[], mean: number): void {
    if (settings.keep === 'average') {
      if (!improved) return;
      best = { step: done, metric: mean };
      bestValues = copies(store.values());
      return;
    }
    if (better.length === 0 && bestValues) return;
    const now = copies(store.values());
    const kept = new Map(bestValues ?? now);
    for (const [name, task] of owners) if (better.includes(task) && now.has(name)) kept.set(name, now.get(name) as Tensor);
    bestValues = kept;
    best = { step: done, metric: Math.max(mean, best?.metric ?? mean) };
  }
}

function signed({ metric }: Task, value: number): number {
  return METRICS[metric].higherIsBetter ? value : -value;
}

/** The task of each parameter that belongs to one alone: heads, adapters of their own, weights of losses. */
function taskOwners({ encoder, attachment, heads }: MultiTaskModel): Map<string, number> {
  return new Map([
    ...(attachment.perTask ?? []),
    ...heads.flatMap((head, task) => headParameters(head, encoder.config.hidden).map(({ name }) => [name, task] as const)),
    ...heads.map(({ name }, task) => [logVariance(name).name, task] as const),
  ]);
}

/** @throws train.resume for counts of another number of tasks */
function checkCounts({ bests, losses: { sums, counts, means } }: MultiTaskProgress, tasks: number): void {
  const lengths = [bests, sums, counts, means].map(({ length }) => length);
  const other = lengths.find((length) => length !== tasks);
  if (other !== undefined)
    fail({
      code: 'train.resume',
      subject: 'the saved losses and scores',
      found: `those of ${other} tasks`,
      expected: `${tasks}`,
      next: 'Start anew without --resume.',
    });
}

/** @throws usage.value */
function checkApart(store: ParameterStore, owners: ReadonlyMap<string, number>): void {
  const shared = store.specs.find(({ name }) => !owners.has(name));
  if (shared)
    fail({
      code: 'usage.value',
      subject: '--keep',
      found: `'task', where tasks share what trains (${shared.name})`,
      expected: "'average'",
      next: 'Each task keeps its own best only where it trains nothing but what is its own: adapters on a frozen encoder.',
    });
}
