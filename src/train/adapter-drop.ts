import { createRandom, fail } from '../base/index.ts';
import { withoutLayers } from '../methods/index.ts';
import type { Model } from '../model/model.ts';
import type { TrainingStep } from './step.ts';

interface DropOptions {
  /** The greatest number of layers that a step goes without. */
  readonly most: number;
  readonly seed: number;
}

/** Keeps these numbers apart from others of the same seed. */
const STREAM = 0x64726f70;

/**
 * Robust AdapterDrop (Rücklé et al. 2021, section 4): step t trains without what is attached to the first n layers, n uniform from 0 to
 * `most`, so that the layers can be left out later. Gradients end at the lowest layer that is left, and what a step leaves out keeps its
 * values and moments. The numbers depend on seed and step alone, so that a resumed run draws the same.
 * @throws usage.value where nothing would be left, or nothing is attached to layers
 */
export async function droppingStep(
  model: Model,
  { most, seed }: DropOptions,
  stepOf: (model: Model, partial: boolean) => Promise<TrainingStep>,
): Promise<TrainingStep> {
  const { attachment, encoder } = model;
  if (most >= encoder.config.layers) refuse(String(most), `less than the ${encoder.config.layers} layers of the encoder`);
  if (attachment.parameters.length === 0) refuse(`${most}, and '${attachment.text}'`, 'an adapter that can be left out');
  // The whole one is the largest: what cannot fit is refused at once.
  const steps = new Map([[0, await stepOf(model, false)]]);
  return {
    async run(parts, learningRate, t, frozen) {
      const skipped = createRandom(seed, STREAM, t).below(most + 1);
      const step = steps.get(skipped) ?? (await stepOf(without(model, skipped), true));
      steps.set(skipped, step);
      return step.run(parts, learningRate, t, frozen);
    },
    async release() {
      for (const step of steps.values()) await step.release();
    },
  };
}

function without(model: Model, skipped: number): Model {
  const { attachment, encoder } = model;
  const layers = Array.from({ length: skipped }, (_, layer) => layer);
  return { ...model, attachment: withoutLayers(attachment, layers, encoder.config) };
}

function refuse(found: string, expected: string): never {
  return fail({ code: 'usage.value', subject: 'dropLayers', found, expected });
}
