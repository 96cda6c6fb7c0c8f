import type { Tensor } from '../../base/index.ts';
import { deviation } from '../../model/label-scales.ts';
import type { Model } from '../../model/model.ts';
import { withDropout } from '../../model/task-setup.ts';
import type { Head, TaskUnit, Unit } from '../../objectives/index.ts';
import { createPredictor } from '../../predict/predictor.ts';
import type { Engine } from '../../session/session.ts';

/** Whether a head's answers have an entropy; numbers have none. */
export function hasEntropy({ kind }: Head): boolean {
  return kind.entropy !== undefined;
}

/** Of which tasks entropies are scores as they are: those of one choice, where there are any. The others are matched by rank. */
export function comparable(heads: readonly Head[]): boolean[] {
  const single = heads.map(({ kind }) => kind.entropy?.single === true);
  return single.includes(true) ? single : heads.map(hasEntropy);
}

/** How unsure a head is of a unit, in 0 … 1; 0 where it has no entropy. */
export function entropyOf(head: Head, unit: Pick<Unit, 'target' | 'length'>, logits: Float32Array): number {
  return head.kind.entropy?.of(head, unit, logits) ?? 0;
}

export interface UncertaintyScorer {
  /** Of each unit: {@link entropyOf}, or where there is none the spread of its predictions over that of the labels. */
  of(units: readonly TaskUnit[], pass: number): Promise<Float64Array>;
  release(): Promise<void>;
}

interface ScorerOptions {
  /** What trains, as it is now. */
  readonly current: () => ReadonlyMap<string, Tensor>;
  /** Tensors that do not train. */
  readonly fixed?: ReadonlyMap<string, Tensor>;
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
export async function createUncertaintyScorer(
  engine: Engine,
  model: Model,
  { current, fixed = new Map(), seed, deviations, int8 = false }: ScorerOptions,
): Promise<UncertaintyScorer> {
  const sure = await createPredictor(engine, model, { current, fixed, int8 });
  const numbers = model.heads.some((head) => !hasEntropy(head)) ? deviations : undefined;
  const dropping = model.encoder.config.hiddenDropout > 0 ? model : { ...model, encoder: withDropout(model.encoder, DROPOUT) };
  let drawing = 0;
  const dropout = { seed, pass: () => drawing };
  const unsure = numbers && (await createPredictor(engine, dropping, { current, fixed, dropout, int8 }));
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
        const predictions = drawn.slice(k * DRAWS, (k + 1) * DRAWS).map(([value]) => value as number);
        results[place] = deviation(predictions) / (numbers?.[(units[place] as TaskUnit).task] ?? 1);
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
