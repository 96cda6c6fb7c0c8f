import { float32, type Tensor } from '../../base/index.ts';
import { type BatchTerms, batchTerms, feedsOf } from '../../model/feeds.ts';
import { labelScales } from '../../model/label-scales.ts';
import type { Model } from '../../model/model.ts';
import type { TaskUnit } from '../../objectives/index.ts';
import { metricsOf } from '../../predict/evaluation.ts';
import { createPredictor, type Predictor } from '../../predict/predictor.ts';
import type { Engine, Feeds } from '../../session/session.ts';
import type { Task } from '../../tasks/index.ts';
import { ADAMW } from '../../update/index.ts';
import { type Kept, keepBest, keepBestByTask, nothingKept, type Score } from '../keep-best.ts';
import type { LoadedRows } from '../load-rows.ts';
import { releasing } from '../releasing.ts';
import { type Batch, type RunHooks, runSteps, START, type StepLoop, type Verdict } from '../run-steps.ts';
import { scheduleOf } from '../schedule.ts';
import type { SavedRun } from '../state.ts';
import { createTrainingStep } from '../step.ts';
import { copies, restore } from '../store.ts';
import { createTaskBatches, type TaskBatches } from './batches.ts';
import { jointParameters } from './parameters.ts';
import { jointParts } from './parts.ts';
import { checkCounts, type MultiTaskProgress } from './progress.ts';
import type { MultiTaskSettings } from './settings.ts';
import { averagedWeights, historyAt, newHistory, uncertaintyWeights, withLosses } from './task-weights.ts';
import { createUncertaintyScorer } from './uncertainty.ts';

export interface TaskData {
  readonly task: Task;
  readonly train: LoadedRows;
  readonly validation: LoadedRows | undefined;
}

export interface MultiTaskOptions extends RunHooks<SavedRun<MultiTaskProgress>> {
  readonly engine: Engine;
  readonly model: Model;
  /** By task id. */
  readonly tasks: readonly TaskData[];
  readonly settings: MultiTaskSettings;
  /** First values in place of those that would be drawn. */
  readonly initial?: ReadonlyMap<string, Tensor>;
  readonly resume?: SavedRun<MultiTaskProgress>;
}

export interface MultiTaskResult {
  /** What was trained, as it is kept; with what was drawn and does not train. */
  readonly parameters: ReadonlyMap<string, Tensor>;
  readonly trained: number;
  readonly steps: number;
  readonly best: Score | undefined;
  readonly bests: readonly (Score | null)[];
  readonly stoppedEarly: boolean;
  readonly scoring: ReturnType<TaskBatches['scoring']>;
  /** Seconds of this run, from the first step on. */
  readonly seconds: number;
}

interface TaskBatch extends Batch {
  /** Numbers of the rows of each task. */
  readonly rows: readonly (readonly number[])[];
}

/**
 * Trains one model on several tasks. What belongs to one task alone, its head or adapter, moves only in steps in which the
 * task has rows; steps are counted for all together. As for single tasks, equal options give equal parameters, bit by bit.
 * @throws usage.value; train.memory for what cannot fit; train.non-finite; train.stopped when `signal` aborts (the state is saved first)
 */
export function trainMultiTask(options: MultiTaskOptions): Promise<MultiTaskResult> {
  const { engine, tasks, settings, initial, resume } = options;
  const { seed, weightDecay, clip } = settings;
  const { heads } = options.model;
  const units = tasks.map(({ train }, task) => train.prepared.units.map((unit): TaskUnit => ({ ...unit, task })));
  const scales = labelScales(heads, units);
  const standard = settings.regressionLabels === 'standardized' ? scales : [];
  return releasing(async (hold) => {
    const { store, fixed, logVariances, owners, modelValues } = await jointParameters(options.model, settings, standard, initial);
    const model: Model = { ...options.model, frozen: fixed };
    const current = () => modelValues();
    const deviations = settings.regressionScore === 'spread' ? scales.map((scale) => scale?.deviation) : undefined;
    const scoring = { current, seed, deviations, int8: settings.scoring === 'int8' };
    const scorer = settings.sampler === 'uncertainty' ? hold(await createUncertaintyScorer(engine, model, scoring)) : undefined;
    const sampler = createTaskBatches(model, units, settings, scorer, resume?.progress.sampler);
    const schedule = scheduleOf(settings, sampler.batchesPerEpoch, model.attachment.learningRate);
    const { parts, largest } = jointParts(model, units, settings, store.size);
    const most = largest();
    const step = hold(
      await createTrainingStep(engine, model, store, {
        adamw: { ...ADAMW, weightDecay, clip },
        seed,
        lossWeights: logVariances.length > 0 ? uncertaintyWeights(logVariances) : undefined,
        largest: partFeeds(most, model, batchTerms(model, most), 1),
      }),
    );
    const predictor = tasks.some(({ validation }) => validation) ? hold(await createPredictor(engine, model, { current })) : undefined;
    if (resume) {
      checkCounts(resume.progress, tasks.length);
      restore(store, resume);
    }
    const keep = settings.keep === 'task' ? keepBestByTask(store, owners) : keepBest(store);
    let kept: Kept = resume ? keptBefore(resume) : nothingKept(tasks.length);
    let history = resume?.progress.losses ?? newHistory(tasks.length);

    const loop: StepLoop<TaskBatch, SavedRun<MultiTaskProgress>> = {
      schedule,
      step,
      from: resume?.progress ?? START,
      async next() {
        const { batch, rows, epoch } = await sampler.next();
        history = historyAt(history, epoch);
        const weights = settings.taskWeights === 'averaging' ? averagedWeights(history) : undefined;
        const terms = { ...batchTerms(model, batch, (task) => weights?.[task] ?? 1), scales: standard };
        const cut = parts(batch);
        return {
          parts: cut.map((part) => partFeeds(part, model, terms, cut.length)),
          size: batch.length,
          epoch,
          frozen: new Set([...owners].flatMap(([name, task]) => (rows[task]?.length === 0 ? [name] : []))),
          rows,
        };
      },
      learnt({ rows }, { terms }) {
        const losses = tasks.map((_, task) => (rows[task]?.length ? terms[task] : undefined));
        history = withLosses(history, losses);
        return { losses: byTask(losses), rows: byTask(rows.map((some) => (some.length > 0 ? some : undefined))) };
      },
      ...(predictor && { judge: (done) => judge(done, predictor) }),
      state: ({ step, stale }) => ({
        progress: { step, sampler: sampler.state(), losses: history, stale, best: kept.best, bests: kept.bests },
        parameters: store.state(),
        best: kept.parameters,
      }),
    };
    const started = performance.now();
    const end = await runSteps(loop, options);
    return {
      parameters: new Map([...fixed, ...modelValues(kept.parameters ?? copies(store.values()))]),
      trained: store.size,
      steps: end.step,
      best: kept.best,
      bests: kept.bests,
      stoppedEarly: end.step < schedule.total,
      scoring: sampler.scoring(),
      seconds: (performance.now() - started) / 1000,
    };

    async function judge(done: number, predictor: Predictor): Promise<Verdict> {
      const metrics: Record<string, number> = {};
      const found: (number | undefined)[] = [];
      for (const [i, { task, validation }] of tasks.entries()) {
        const values = validation && (await scoreTask(predictor, i, task, validation));
        found.push(values?.[task.metric]);
        if (values) metrics[`${heads[i]?.name}/${task.metric}`] = values[task.metric] as number;
      }
      const judgement = keep(kept, done, found);
      kept = judgement.kept;
      const { mean, improved, better } = judgement;
      return { metrics: { ...metrics, mean }, metric: 'mean', best: improved, better };
    }
  });

  /** The values that are there, by the names of their tasks. */
  function byTask<T>(values: readonly (T | undefined)[]): Record<string, T> {
    return Object.fromEntries(values.flatMap((value, task) => (value === undefined ? [] : [[heads[task]?.name ?? '', value]])));
  }
}

/** What one of so many parts of a batch is fed; tasks may weigh their losses by the part's share. */
function partFeeds(part: readonly TaskUnit[], model: Model, terms: BatchTerms, parts: number): Feeds {
  return { ...feedsOf(part, model, terms), partShare: float32([], [1 / parts]) };
}

function keptBefore({ progress: { best, bests }, best: parameters }: SavedRun<MultiTaskProgress>): Kept {
  return { best, bests, parameters };
}

/** What one of a model's tasks scores, by each of its metrics. `id` says which of the heads answers. */
export async function scoreTask(
  predictor: Predictor,
  id: number,
  task: Task,
  { rows, prepared }: LoadedRows,
): Promise<Record<string, number>> {
  const units = prepared.units.map((unit) => ({ ...unit, task: id }));
  return metricsOf(task, rows, await predictor.answers(rows, { ...prepared, units }));
}
