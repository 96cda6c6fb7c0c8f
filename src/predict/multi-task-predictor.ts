import type { Tensor } from '../base/tensor.ts';
import { multiplyDims, quantizeProducts } from '../graph/index.ts';
import type { UnitLogits } from '../model/data.ts';
import { weightsOf } from '../model/model.ts';
import { drawMultiTask, type MultiTaskModel } from '../model/multi-task.ts';
import { jointFeeds, type TaskUnit } from '../model/multi-task-data.ts';
import { noDropout, planDropout } from '../nn/index.ts';
import { outputsOf } from '../objectives/index.ts';
import type { Engine, Weights } from '../session/session.ts';
import type { PredictionRow } from '../tasks/index.ts';
import { type Answer, answerOf } from './answer.ts';
import { batches } from './predictor.ts';

export interface MultiTaskPredictor {
  /** The logits of each unit's own head: outputs, or [length of the run, outputs] per token, or one per choice. */
  logits(units: readonly TaskUnit[], onProgress?: (done: number, of: number) => void): Promise<Float32Array[]>;
  /** One answer per row; `units` name rows by their number. */
  answers(rows: readonly PredictionRow[], units: readonly TaskUnit[], onProgress?: (done: number, of: number) => void): Promise<Answer[]>;
  release(): Promise<void>;
}

export interface MultiTaskPredictorOptions {
  /** Tensors that are read anew at every call. */
  readonly current?: () => ReadonlyMap<string, Tensor>;
  /** Tensors that become part of the program. */
  readonly fixed?: ReadonlyMap<string, Tensor>;
  /** Draws with dropout, for spreads of predictions; `pass` tells the masks of one call from those of another. */
  readonly dropout?: { readonly seed: number; readonly pass: () => number };
  /** Computes all tokens to the end, whatever heads read: a task's answers keep their bits when other kinds of heads come to the model. */
  readonly steady?: boolean;
  /** Computes the wide linear layers over all tokens in 8 bits: faster, for answers that are only compared with each other. */
  readonly int8?: boolean;
}

/** Compiles the forward pass of all tasks as one program; units of all tasks run together, by length. */
export async function createMultiTaskPredictor(
  engine: Engine,
  model: MultiTaskModel,
  { current, fixed, dropout, steady = false, int8 = false }: MultiTaskPredictorOptions,
): Promise<MultiTaskPredictor> {
  const { encoder, heads, attachment } = model;
  const changing = current?.() ?? new Map<string, Tensor>();
  const { config } = encoder;
  const plan = dropout && planDropout(Math.max(config.hidden, config.intermediate, config.positions), dropout.seed);
  const drawing = steady ? { read: 'all' as const } : {};
  const { logits } = drawMultiTask(model, plan?.dropout ?? noDropout, (name) => changing.has(name), drawing);
  const outputs = Object.fromEntries(logits.map((value, task) => [`${task}`, value]));
  const weights: Weights = weightsOf(model, new Map([...(fixed ?? []), ...(plan?.pools ?? [])]));
  const session = await engine.compile(int8 ? quantizeProducts({ outputs }, multiplyDims('B', 'S')) : { outputs }, weights);
  const runs = (units: readonly Numbered[]) =>
    attachment.oneTaskRuns ? heads.flatMap((_, task) => [...batches(units.filter((unit) => unit.task === task))]) : [...batches(units)];

  const predictor: MultiTaskPredictor = {
    async logits(units, onProgress) {
      const results = new Array<Float32Array>(units.length);
      const values = Object.fromEntries(current?.() ?? []);
      let done = 0;
      for (const [run, batch] of runs(units.map((unit, number) => ({ ...unit, number }))).entries()) {
        const feeds = jointFeeds(batch, model);
        const [sequences, width] = (feeds.inputIds as Tensor).shape as [number, number];
        const sizes = new Map([
          ['B', sequences],
          ['S', width],
        ]);
        const masks = plan && dropout ? plan.feeds(dropout.seed, dropout.pass(), run, sizes) : {};
        const result = await session.run({ ...feeds, ...values, ...masks });
        let place = 0;
        for (const { task, number, encodings } of batch) {
          const { head_type: type } = (heads[task] as (typeof heads)[number]).config;
          const perToken = type === 'tagging' || type === 'question_answering';
          const each = outputsOf(heads[task] as (typeof heads)[number]) * (perToken ? width : 1);
          const data = (result[task] as Tensor).data as Float32Array;
          results[number] = data.slice(place * each, (place + encodings.length) * each);
          place += encodings.length;
        }
        done += batch.length;
        onProgress?.(done, units.length);
      }
      return results;
    },
    async answers(rows, units, onProgress) {
      const byRow: UnitLogits[][] = rows.map(() => []);
      const tasks = new Int32Array(rows.length);
      for (const [i, logits] of (await predictor.logits(units, onProgress)).entries()) {
        const unit = units[i] as TaskUnit;
        byRow[unit.row]?.push({ unit, logits });
        tasks[unit.row] = unit.task;
      }
      return rows.map((row, i) => answerOf(heads[tasks[i] as number] as (typeof heads)[number], row, byRow[i] as UnitLogits[]));
    },
    release: () => session.release(),
  };
  return predictor;
}

interface Numbered extends TaskUnit {
  readonly number: number;
}
