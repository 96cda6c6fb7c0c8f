import type { Tensor } from '../base/index.ts';
import { createSampler } from '../batch/index.ts';
import { batchTerms, feedsOf } from '../model/feeds.ts';
import type { Model } from '../model/model.ts';
import { runSizeOf } from '../model/runs.ts';
import { startStore } from '../model/start-values.ts';
import type { Unit } from '../objectives/index.ts';
import { metricsOf } from '../predict/evaluation.ts';
import { createPredictor, type Predictor } from '../predict/predictor.ts';
import type { Engine } from '../session/session.ts';
import type { Task } from '../tasks/index.ts';
import { ADAMW } from '../update/index.ts';
import { droppingStep } from './adapter-drop.ts';
import { type Kept, keepBest, nothingKept, type Score } from './keep-best.ts';
import type { LoadedRows } from './load-rows.ts';
import { longest, partition } from './parts.ts';
import type { TaskProgress } from './progress.ts';
import { releasing } from './releasing.ts';
import { type Batch, type RunHooks, runSteps, START, type StepLoop, type Verdict } from './run-steps.ts';
import { scheduleOf } from './schedule.ts';
import type { TrainSettings } from './settings.ts';
import type { SavedRun } from './state.ts';
import { createTrainingStep } from './step.ts';
import { copies, restore } from './store.ts';

export type Saved = SavedRun<TaskProgress>;

export interface TrainOptions extends RunHooks<Saved> {
  readonly engine: Engine;
  readonly model: Model;
  readonly task: Task;
  readonly train: LoadedRows;
  readonly validation: LoadedRows | undefined;
  readonly settings: TrainSettings;
  /** First values that are not drawn: a saved adapter, the encoder's own weights. */
  readonly initial?: ReadonlyMap<string, Tensor>;
  readonly resume?: Saved;
}

export interface TrainResult {
  /** The parameters of the best evaluation, or the last ones where nothing was evaluated. */
  readonly parameters: ReadonlyMap<string, Tensor>;
  readonly steps: number;
  readonly best: Score | undefined;
  readonly stoppedEarly: boolean;
}

/**
 * Trains a model on one task. The same options give the same parameters, bit by bit, also through any
 * number of resumes; an engine with another number of threads, or another machine, may round differently.
 * @throws train.memory for what cannot fit; train.non-finite; train.stopped when `signal` aborts (the state is saved first)
 */
export function trainModel(options: TrainOptions): Promise<TrainResult> {
  const { engine, task, train, validation, settings, resume } = options;
  const { batchSize, shuffle, seed, weightDecay, clip, dropLayers } = settings;
  const { units } = train.prepared;
  return releasing(async (hold) => {
    const { store, fixed } = await startStore(options.model, seed, options);
    const model: Model = { ...options.model, frozen: new Map([...(options.model.frozen ?? []), ...fixed]) };
    const lengths = Int32Array.from(units, (unit) => unit.length);
    const sampler = createSampler({ lengths, batchSize, shuffle, seed }, resume?.progress.sampler);
    const schedule = scheduleOf(settings, sampler.batchesPerEpoch, model.attachment.learningRate);
    const { parts } = partition(units, settings, runSizeOf(model.encoder, store.size));
    const [largest] = parts(longest(units, batchSize)) as [Unit[]];
    const stepOf = (part: Model, partial: boolean) =>
      createTrainingStep(engine, part, store, {
        adamw: { ...ADAMW, weightDecay, clip },
        seed,
        largest: feedsOf(largest, model, batchTerms(model, largest)),
        partial,
      });
    const step = hold(
      dropLayers === undefined ? await stepOf(model, false) : await droppingStep(model, { most: dropLayers, seed }, stepOf),
    );
    let steps = 0;
    const predictor = validation && hold(await createPredictor(engine, model, { current: () => store.values(), steps: () => steps }));
    if (resume) restore(store, resume);
    const keep = keepBest(store);
    let kept = keptBefore(resume);

    const loop: StepLoop<Batch, Saved> = {
      schedule,
      step,
      from: resume?.progress ?? START,
      next() {
        const { rows, epoch } = sampler.next();
        const batch = Array.from(rows, (row) => units[row] as Unit);
        const terms = batchTerms(model, batch);
        return { parts: parts(batch).map((part) => feedsOf(part, model, terms)), size: batch.length, epoch };
      },
      ...(validation && predictor && { judge: (done) => judge(done, validation, predictor) }),
      state: ({ step, stale }) => ({
        progress: { step, sampler: sampler.state(), stale, best: kept.bests[0] ?? undefined },
        parameters: store.state(),
        best: kept.parameters,
      }),
    };
    const end = await runSteps(loop, options);
    return {
      parameters: new Map([...fixed, ...(kept.parameters ?? copies(store.values()))]),
      steps: end.step,
      best: kept.bests[0] ?? undefined,
      stoppedEarly: end.step < schedule.total,
    };

    async function judge(done: number, { rows, prepared }: LoadedRows, predictor: Predictor): Promise<Verdict> {
      steps = done;
      const metrics = metricsOf(task, rows, await predictor.answers(rows, prepared));
      const judgement = keep(kept, done, [metrics[task.metric]]);
      kept = judgement.kept;
      return { metrics, metric: task.metric, best: judgement.improved, better: judgement.better };
    }
  });
}

function keptBefore(resume: Saved | undefined): Kept {
  const best = resume?.progress.best;
  return best ? { best, bests: [best], parameters: resume.best } : nothingKept(1);
}
