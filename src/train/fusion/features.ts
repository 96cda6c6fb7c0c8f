import { float32, type Random, type Tensor } from '../../base/index.ts';
import type { LoadedAdapter } from '../../checkpoint/index.ts';
import type { Encoder } from '../../encoders/index.ts';
import { attach, encoderFacts } from '../../methods/index.ts';
import type { Features } from '../../metrics/index.ts';
import { drawTokens } from '../../model/draw.ts';
import { encoderFeeds } from '../../model/encoder-inputs.ts';
import { weightsOf } from '../../model/model.ts';
import { parameters, pooledTokens } from '../../nn/index.ts';
import { kindForTask, type Unit } from '../../objectives/index.ts';
import { batches } from '../../predict/predictor.ts';
import type { Engine } from '../../session/session.ts';
import type { Task } from '../../tasks/index.ts';

/** What is looked at: one sequence of a unit, or one token of it. */
export interface Observation {
  readonly unit: Unit;
  readonly sequence: number;
  readonly token?: number;
}

/** Observations with what a model should know of each of them: a column of numbers a question, [observations]. */
export interface Questions {
  readonly observations: readonly Observation[];
  readonly targets: readonly Float64Array[];
}

/**
 * A task as questions that a linear model can be asked: is it this class (each class), this label, this number; of choices whether
 * this one is right; of tokens whether they have this label, or are the first or last of the answer. Targets have mean 0, and
 * questions that all observations answer alike are left out. Where there are more than `most` observations, `random` draws some.
 */
export function questionsOf(
  units: readonly Unit[],
  { kind, labels }: Pick<Task, 'kind' | 'labels'>,
  { most, random }: { readonly most: number; readonly random: Random },
): Questions {
  const { questions } = kindForTask(kind);
  const all = units.flatMap((unit) =>
    questions(unit, labels.length).map(({ answers, ...place }) => ({ observation: { unit, ...place }, answers })),
  );
  const asked = all.length > most ? random.shuffle(all).slice(0, most) : all;
  const targets = Array.from({ length: asked[0]?.answers.length ?? 0 }, (_, k) =>
    Float64Array.from(asked, ({ answers }) => answers[k] as number),
  );
  return {
    observations: asked.map(({ observation }) => observation),
    targets: targets.filter((target) => target.some((y) => y !== target[0])).map(withoutMean),
  };
}

function withoutMean(values: Float64Array): Float64Array {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return values.map((value) => value - mean);
}

/**
 * What the encoder says of observations with an adapter in it, or without one: a token's vector, or for a whole sequence the
 * first token's and the mean over all tokens, one after the other. One forward pass.
 */
export async function adapterFeatures(
  engine: Engine,
  encoder: Encoder,
  adapter: Pick<LoadedAdapter, 'name' | 'method' | 'tensors'> | undefined,
  observations: readonly Observation[],
): Promise<Features> {
  const { config } = encoder;
  const attachment = adapter && attach(adapter.method, { ...encoderFacts(encoder), name: adapter.name });
  const tensors = new Map(adapter?.tensors);
  // As inputs: adapters of one form then share one compiled program.
  const get = parameters((name) => tensors.has(name));
  const { tokens, first, mask } = drawTokens(encoder, get, attachment);
  const perToken = observations.some(({ token }) => token !== undefined);
  const outputs = perToken ? { tokens } : { first, mean: pooledTokens(tokens, mask, 'mean') };
  const session = await engine.compile({ outputs }, weightsOf({ encoder }));
  const width = perToken ? config.hidden : 2 * config.hidden;
  const data = new Float64Array(observations.length * width);
  const places = new Map<Unit, number[]>();
  observations.forEach(({ unit }, i) => void places.set(unit, [...(places.get(unit) ?? []), i]));
  const current = Object.fromEntries(tensors);
  try {
    for (const batch of batches([...places.keys()])) {
      const feeds = encoderFeeds(
        batch.flatMap(({ encodings }) => encodings),
        encoder,
      );
      const length = feeds.inputIds.shape[1] as number;
      const result = await session.run({ ...feeds, ...current });
      let before = 0;
      for (const unit of batch) {
        for (const i of places.get(unit) ?? []) {
          const { sequence, token } = observations[i] as Observation;
          const row = before + sequence;
          const parts =
            token === undefined ? [rowOf(result.first, row), rowOf(result.mean, row)] : [rowOf(result.tokens, row * length + token)];
          parts.forEach((part, k) => void data.set(part, i * width + k * config.hidden));
        }
        before += unit.encodings.length;
      }
    }
  } finally {
    await session.release();
  }
  return { rows: observations.length, width, data };
}

function rowOf(tensor: Tensor | undefined, row: number): Float32Array {
  const { data, shape } = tensor ?? float32([0, 0], []);
  const width = shape[1] as number;
  return (data as Float32Array).subarray(row * width, (row + 1) * width);
}
