import { fail, float32, type Tensor } from '../base/index.ts';
import { type Features, type LinearModel, type Solved, solveClasses, solveNumbers } from '../metrics/index.ts';
import type { Model } from '../model/model.ts';
import { startStore } from '../model/start-values.ts';
import { type Head, headParameters, poolingOf, type Unit, vectorHead } from '../objectives/index.ts';
import { createPredictor } from '../predict/predictor.ts';
import type { Engine } from '../session/session.ts';

/** How a head was solved, for cards and metrics. */
export interface SolvedFacts extends Pick<Solved, 'folds'> {
  readonly by: 'logistic regression' | 'ridge regression';
  /** C of logistic regression, α of ridge; of several labels one for each. */
  readonly penalties: readonly number[];
}

export interface SolvedHead {
  /** The head's tensors by name. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly facts: SolvedFacts;
}

interface Solving {
  readonly engine: Engine;
  readonly model: Model;
  readonly units: readonly Unit[];
  readonly seed: number;
  /** First values of what is attached, as training has them. */
  readonly initial: ReadonlyMap<string, Tensor>;
  /** Of logistic regression, where the rows cannot tell: vectors that were trained on them fit whatever it is. */
  readonly penalty?: number;
  readonly onProgress?: ((done: number, of: number) => void) | undefined;
}

/** @throws usage.value for a head that is more than one linear on a vector of each row */
export function checkSolvable({ kind, config, name }: Head, subject: string): void {
  if (kind.solves === undefined)
    fail({
      code: 'usage.value',
      subject,
      found: `the head '${name}' of type ${kind.type}`,
      expected: 'a head for classes, labels or numbers of whole rows',
      next: 'Train it: --method head.',
    });
  if (config.layers !== 1)
    fail({
      code: 'usage.value',
      subject: '--head-layers',
      found: `${config.layers}, with a solved head`,
      expected: '1: only one linear is solved exactly',
    });
}

/**
 * The one linear of a head, solved exactly on what it reads of each row while everything else is as it begins: logistic regression, or
 * ridge regression of numbers, each with the penalty under which rows left out are told best. The rows go through the encoder once.
 * @throws task.empty for rows of one answer
 */
export async function solveHead({ engine, model, units, seed, initial, penalty, onProgress }: Solving): Promise<SolvedHead> {
  const head = model.heads[0] as Head;
  const features = await featuresOf({ engine, model, units, seed, initial, onProgress });
  const answers = units.map((unit) => head.kind.questions(unit, head.kind.outputs(head.config))[0]?.answers ?? []);
  const { linear, facts } = solved(head, features, answers, penalty);
  const [weight, bias] = headParameters(head, model.encoder.config);
  const shape = weight?.shape as readonly number[];
  const tensors = new Map([[weight?.name as string, float32([...shape], Float32Array.from(linear.weights))]]);
  if (bias) tensors.set(bias.name, float32([linear.biases.length], Float32Array.from(linear.biases)));
  return { tensors, facts };
}

/** What the head of a model reads of each unit before anything is trained: [units, hidden]. */
async function featuresOf({ engine, model, units, seed, initial, onProgress }: Solving): Promise<Features> {
  const { config } = model.encoder;
  const { config: read } = model.heads[0] as Head;
  const reading: Model = { ...model, heads: [vectorHead(poolingOf(read), read.normalize === true, config)] };
  const { store, fixed } = await startStore(reading, seed, { initial });
  const frozen = new Map([...(model.frozen ?? []), ...fixed]);
  const predictor = await createPredictor(engine, { ...reading, frozen }, { current: () => store.values() });
  try {
    const vectors = await predictor.logits(units, onProgress);
    const data = new Float64Array(units.length * config.hidden);
    vectors.forEach((vector, i) => void data.set(vector, i * config.hidden));
    return { rows: units.length, width: config.hidden, data };
  } finally {
    await predictor.release();
  }
}

function solved(
  { kind, config }: Head,
  features: Features,
  answers: readonly (readonly number[])[],
  given: number | undefined,
): { readonly linear: LinearModel; readonly facts: SolvedFacts } {
  if (kind.solves === 'number') {
    const { model, penalty, folds } = solveNumbers(
      features,
      Float64Array.from(answers, ([y]) => y as number),
    );
    return { linear: model, facts: { by: 'ridge regression', penalties: [penalty], folds } };
  }
  const outputs = kind.outputs(config);
  if (kind.solves === 'class') {
    const labels = answers.map((row) => row.indexOf(1));
    refuseOneAnswer(labels);
    const { model, penalty, folds } = solveClasses(features, labels, outputs, given === undefined ? {} : { penalty: given });
    return { linear: model, facts: { by: 'logistic regression', penalties: [penalty], folds } };
  }
  // Several labels a row: a logistic regression for each by itself, whose score is the difference of its two.
  const each = Array.from({ length: outputs }, (_, k) =>
    solveClasses(
      features,
      answers.map((row) => row[k] as number),
      2,
    ),
  );
  const second = ({ model }: Solved) => Array.from(model.weights.subarray(features.width), (w, j) => w - (model.weights[j] as number));
  return {
    linear: {
      weights: Float64Array.from(each.flatMap(second)),
      biases: Float64Array.from(each, ({ model }) => (model.biases[1] as number) - (model.biases[0] as number)),
    },
    facts: { by: 'logistic regression', penalties: each.map(({ penalty }) => penalty), folds: Math.max(...each.map(({ folds }) => folds)) },
  };
}

function refuseOneAnswer(labels: readonly number[]): void {
  if (new Set(labels).size > 1) return;
  fail({
    code: 'task.empty',
    subject: 'the training rows',
    found: `${labels.length} rows, all of one class`,
    expected: 'rows of two classes or more',
    next: 'Give rows of other classes, or raise --limit.',
  });
}
