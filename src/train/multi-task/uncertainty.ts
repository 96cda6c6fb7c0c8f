import type { Tensor } from '../../base/tensor.ts';
import { normalisedEntropy } from '../../batch/index.ts';
import type { Unit } from '../../model/data.ts';
import type { MultiTaskModel } from '../../model/multi-task.ts';
import type { TaskUnit } from '../../model/multi-task-data.ts';
import { deviation } from '../../model/standardize.ts';
import { withDropout } from '../../model/task-setup.ts';
import type { Head } from '../../objectives/index.ts';
import { createMultiTaskPredictor } from '../../predict/multi-task-predictor.ts';
import type { Engine } from '../../session/session.ts';

/** Whether a head's answers have an entropy; numbers have none. */
export function hasEntropy({ config }: Head): boolean {
  return !(config.head_type === 'classification' && config.num_labels === 1);
}

/** Whether the entropy is that of one choice. Means over many, most of them easy (words, labels, places of a span), are small. */
function isOneChoice({ config }: Head): boolean {
  return config.head_type === 'multiple_choice' || (config.head_type === 'classification' && config.num_labels !== 1);
}

/** Of which tasks entropies are scores as they are: those of one choice, where there are any. The others are matched by rank. */
export function comparable(heads: readonly Head[]): boolean[] {
  return heads.some(isOneChoice) ? heads.map(isOneChoice) : heads.map(hasEntropy);
}

/**
 * How unsure a head is of a unit, in 0 … 1: the normalised entropy of its answer; for several labels, words or the two ends
 * of a span the mean of theirs. Of a tagged row those tokens count that carry a label.
 */
export function entropyOf({ config }: Head, { target, length }: Pick<Unit, 'target' | 'length'>, logits: Float32Array): number {
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / Math.max(1, values.length);
  switch (config.head_type) {
    case 'classification':
    case 'multiple_choice':
      return normalisedEntropy(logits);
    case 'multilabel_classification':
      return mean(Array.from(logits, (logit) => normalisedEntropy([logit, 0])));
    case 'tagging': {
      const labels = config.num_labels as number;
      const marked = target?.kind === 'tokens' ? target.labels : new Int32Array(length);
      return mean(
        Array.from(marked, (_, i) => i).flatMap((i) => ((marked[i] as number) < 0 ? [] : [normalisedEntropy(logits, i * labels, labels)])),
      );
    }
    case 'question_answering':
      return mean([0, 1].map((column) => normalisedEntropy(Array.from({ length }, (_, i) => logits[2 * i + column] as number))));
  }
}

export interface UncertaintyMeter {
  /** Of each unit: {@link entropyOf}, or where there is none the spread of its predictions over that of the labels. */
  of(units: readonly TaskUnit[], pass: number): Promise<Float64Array>;
  release(): Promise<void>;
}

export interface MeterOptions {
  /** What trains, as it is now. */
  readonly current: () => ReadonlyMap<string, Tensor>;
  readonly fixed: ReadonlyMap<string, Tensor>;
  readonly seed: number;
  /** Standard deviation of the labels, by task; undefined: predictions of numbers are not looked at, their uncertainty is 0. */
  readonly deviations: readonly (number | undefined)[] | undefined;
  /** Scores with products of 8-bit integers. */
  readonly int8?: boolean;
}

/** Predictions with dropout of which the spread is taken (Gal & Ghahramani 2016). */
const DRAWS = 4;
const DROPOUT = 0.1;

/**
 * Measures by one forward pass without gradients and without dropout; units of regression tasks go through the model
 * {@link DRAWS} times with dropout instead, 0.1 where the encoder has none.
 */
export async function createMeter(
  engine: Engine,
  model: MultiTaskModel,
  { current, fixed, seed, deviations, int8 = false }: MeterOptions,
): Promise<UncertaintyMeter> {
  const sure = await createMultiTaskPredictor(engine, model, { current, fixed, int8 });
  const numbers = model.heads.some((head) => !hasEntropy(head)) ? deviations : undefined;
  const dropping = model.encoder.config.hiddenDropout > 0 ? model : { ...model, encoder: withDropout(model.encoder, DROPOUT) };
  let drawing = 0;
  const dropout = { seed, pass: () => drawing };
  const unsure = numbers && (await createMultiTaskPredictor(engine, dropping, { current, fixed, dropout, int8 }));
  return {
    async of(units, pass) {
      const results = new Float64Array(units.length);
      const places = units.map((_, place) => place);
      const entropic = places.filter((place) => hasEntropy(headOf(place)));
      const logits = await sure.logits(entropic.map((place) => units[place] as TaskUnit));
      entropic.forEach((place, i) => {
        results[place] = entropyOf(headOf(place), units[place] as TaskUnit, logits[i] as Float32Array);
      });
      const others = places.filter((place) => !hasEntropy(headOf(place)));
      if (!unsure || others.length === 0) return results;
      drawing = pass;
      // All draws in one run: each row of a run has masks of its own.
      const drawn = await unsure.logits(others.flatMap((place) => new Array<TaskUnit>(DRAWS).fill(units[place] as TaskUnit)));
      others.forEach((place, k) => {
        const given = drawn.slice(k * DRAWS, (k + 1) * DRAWS).map(([value]) => value as number);
        results[place] = deviation(given) / (numbers?.[(units[place] as TaskUnit).task] ?? 1);
      });
      return results;

      function headOf(place: number): Head {
        return model.heads[(units[place] as TaskUnit).task] as Head;
      }
    },
    async release() {
      await sure.release();
      await unsure?.release();
    },
  };
}
