import type { Tensor } from '../base/tensor.ts';
import { noDropout } from '../nn/index.ts';
import { outputsOf } from '../objectives/index.ts';
import type { Engine } from '../session/session.ts';
import type { PredictionRow } from '../tasks/index.ts';
import { type Answer, answerOf } from './answer.ts';
import { feedsOf, type Prepared, type Unit, type UnitLogits } from './data.ts';
import { drawModel, type Model, scheduledFeeds, weightsOf } from './model.ts';

export interface Predictor {
  /** One answer per row, in order, whatever the order of computation. `onProgress` hears how many units are done. */
  answers(rows: readonly PredictionRow[], prepared: Prepared, onProgress?: (done: number, of: number) => void): Promise<Answer[]>;
  release(): Promise<void>;
}

/** Tokens of one run: small enough for the cache, large enough for the products. */
const RUN_TOKENS = 2048;

/**
 * Compiles a model's forward pass. Tensors that `current` gives are read anew at every call (a model in training);
 * those of `fixed` become part of the program. `steps` says how far training is.
 */
export async function createPredictor(
  engine: Engine,
  model: Model,
  tensors: { current?: () => ReadonlyMap<string, Tensor>; fixed?: ReadonlyMap<string, Tensor>; steps?: () => number },
): Promise<Predictor> {
  const changing = tensors.current?.() ?? new Map<string, Tensor>();
  const { logits } = drawModel(model, noDropout, (name) => changing.has(name));
  const session = await engine.compile({ outputs: { logits } }, weightsOf(model, tensors.fixed));
  const perToken = model.head.config.head_type === 'tagging' || model.head.config.head_type === 'question_answering';
  const outputs = outputsOf(model.head) * (model.head.config.num_choices ?? 1);

  return {
    async answers(rows, { units }, onProgress) {
      const byRow: UnitLogits[][] = rows.map(() => []);
      const current = { ...Object.fromEntries(tensors.current?.() ?? []), ...scheduledFeeds(model, tensors.steps?.() ?? 0) };
      let done = 0;
      for (const batch of batches(units)) {
        const feeds = feedsOf(batch, model.head, model.encoder);
        const result = await session.run({ ...feeds, ...current });
        const data = (result.logits as Tensor).data as Float32Array;
        const width = perToken ? outputs * ((feeds.inputIds as Tensor).shape[1] as number) : outputs;
        batch.forEach(
          (unit, i) => void byRow[unit.row]?.push({ unit, logits: Float32Array.from(data.subarray(i * width, (i + 1) * width)) }),
        );
        done += batch.length;
        onProgress?.(done, units.length);
      }
      return rows.map((row, i) => answerOf(model.head, row, byRow[i] as UnitLogits[]));
    },
    release: () => session.release(),
  };
}

/** Units of similar length together, as many as {@link RUN_TOKENS} allows; the longest first, so that memory peaks at once. */
function* batches(units: readonly Unit[]): Generator<Unit[]> {
  let held: Unit[] = [];
  let longest = 0;
  for (const unit of units.toSorted((a, b) => b.length - a.length)) {
    longest = Math.max(longest, unit.length);
    const sequences = (held.length + 1) * unit.encodings.length;
    if (held.length > 0 && sequences * longest > RUN_TOKENS) {
      yield held;
      held = [];
      longest = unit.length;
    }
    held.push(unit);
  }
  if (held.length > 0) yield held;
}
