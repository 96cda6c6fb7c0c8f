import { defined, fail, invariant, type Tensor } from '../base/index.ts';
import { gradients, type Program, topological, type Value } from '../graph/index.ts';
import { drawModel } from '../model/draw.ts';
import { modelDropout } from '../model/dropout.ts';
import { drawLoss } from '../model/loss.ts';
import { type Model, scheduledFeeds, weightsOf } from '../model/model.ts';
import type { Engine, Feeds, Weights } from '../session/session.ts';
import { type AdamW, addGradients, type Gradients, globalNorm, type ParameterStore, updateAdamW } from '../update/index.ts';
import { checkMemory } from './memory.ts';

export interface StepOptions {
  readonly adamw: AdamW;
  /** What the largest part will be fed: a training that cannot fit into memory is refused before it begins. */
  readonly largest?: Feeds;
  /** Parameters that the program does not read keep their values and moments; otherwise there may be none. */
  readonly partial?: boolean;
}

export interface StepResult {
  readonly loss: number;
  /** Global norm of the gradients before clipping. */
  readonly gradientNorm: number;
  /** What was made small beside the loss. */
  readonly regularizer?: number;
  /** The goal's `terms`, summed over the parts. */
  readonly terms: Readonly<Record<string, number>>;
}

export interface TrainingStep {
  /**
   * One step of AdamW over a batch given in one or more parts. `t` counts from 1; parameters named in `frozen` keep their values
   * and moments. The store changes only when loss and norm are finite. Throws `train.non-finite`.
   */
  run(parts: readonly Feeds[], learningRate: number, t: number, frozen?: ReadonlySet<string>): Promise<StepResult>;
  release(): Promise<void>;
}

/** What is to be made small, and what that reads. */
export interface Goal {
  /** A scalar; parts of a batch add up. */
  readonly loss: Value;
  /** A scalar of parameters alone: its gradient is added once a step, and it is reported beside the loss. */
  readonly regularizer?: Value;
  /** Scalars to be reported beside the loss; parts of a batch add up. */
  readonly terms?: Readonly<Record<string, Value>>;
  /** The values of trainable parameters by name. */
  readonly trainable: ReadonlyMap<string, Value>;
  readonly weights: Weights;
  /** Draws the dropout masks of one run. */
  readonly masks: (part: Feeds, t: number, microBatch: number) => Feeds;
}

/** What becomes of the losses of heads before they are added up, and the parameters in that. */
export interface LossWeights {
  scaled(loss: Value, head: number): Value;
  readonly trainable: ReadonlyMap<string, Value>;
}

/** The training step of a model; its terms are the losses of the heads, by their numbers. @throws train.memory */
export async function createTrainingStep(
  engine: Engine,
  model: Model,
  store: ParameterStore,
  { seed, lossWeights, ...options }: StepOptions & { readonly seed: number; readonly lossWeights?: LossWeights | undefined },
): Promise<TrainingStep> {
  const plan = modelDropout(model.encoder, seed);
  const { logits, trainable, regularizer } = drawModel(model, plan.dropout, (name) => store.values().has(name));
  const { loss, losses } = drawLoss(model, logits, defined({ scaled: lossWeights?.scaled }));
  const goal: Goal = {
    loss,
    terms: Object.fromEntries(losses.map((value, head) => [head, value])),
    trainable: new Map([...trainable, ...(lossWeights?.trainable ?? [])]),
    weights: weightsOf(model, plan.pools),
    masks: (part, t, microBatch) => ({ ...plan.masks(part, t, microBatch), ...scheduledFeeds(model, t - 1) }),
    ...defined({ regularizer }),
  };
  return compileStep(engine, goal, store, options);
}

/**
 * Compiles forward and backward as one program, which runs once for each part of a batch, and what makes a step of its gradients.
 * @throws train.memory when the largest part cannot fit
 */
export async function compileStep(
  engine: Engine,
  { loss, regularizer, terms = {}, trainable, weights, masks }: Goal,
  store: ParameterStore,
  { adamw, largest, partial = false }: StepOptions,
): Promise<TrainingStep> {
  const unread = store.specs.flatMap(({ name }) => (trainable.has(name) ? [] : [name]));
  if (!partial && unread[0] !== undefined)
    fail({
      code: 'method.contract',
      subject: `the parameter '${unread[0]}'`,
      found: 'nothing that reads it',
      expected: 'a program that reads all that trains',
    });
  const values = new Map(store.specs.flatMap(({ name }) => (trainable.has(name) ? [[name, trainable.get(name) as Value] as const] : [])));
  const program = gradientProgram(loss, values, { ...namedTerms(terms), loss });
  // Of parameters alone, so it is computed once a step.
  const penalty = regularizer && gradientProgram(regularizer, readBy(regularizer, values), { regularizer });
  if (largest && engine.memory !== undefined)
    checkMemory(engine, { programs: [program], weights, trained: store.size, largest: { ...largest, ...masks(largest, 1, 0) } });
  const session = await engine.compile(program, weights);
  const penaltySession = penalty && (await engine.compile(penalty, weights));

  return { run, release };

  async function run(parts: readonly Feeds[], learningRate: number, t: number, frozen?: ReadonlySet<string>): Promise<StepResult> {
    const current = Object.fromEntries([...values.keys()].map((name) => [name, store.get(name)]));
    const sums: Record<string, number> = {};
    let [total, regularized] = [0, Number.NaN];
    let slopes: Gradients | undefined;
    const add = (more: Gradients) => {
      if (slopes) addGradients(slopes, more);
      else slopes = more;
    };
    for (const [i, part] of parts.entries()) {
      const results = await session.run({ ...part, ...masks(part, t, i), ...current });
      total += numberOf(results.loss);
      for (const name of Object.keys(terms)) sums[name] = (sums[name] ?? 0) + numberOf(results[`term/${name}`]);
      add(gradientsIn(results));
    }
    if (penaltySession) {
      const results = await penaltySession.run(current);
      regularized = numberOf(results.regularizer);
      add(gradientsIn(results));
    }
    invariant(slopes, 'a batch without parts');
    const norm = globalNorm(slopes);
    if (!Number.isFinite(total) || !Number.isFinite(norm)) explainNonFinite(total, norm, learningRate, t);
    const still = unread.length > 0 ? new Set([...unread, ...(frozen ?? [])]) : frozen;
    updateAdamW(store, slopes, adamw, { learningRate, t, norm, ...defined({ frozen: still }) });
    return { loss: total, gradientNorm: norm, terms: sums, ...(penaltySession && { regularizer: regularized }) };
  }

  async function release(): Promise<void> {
    await session.release();
    await penaltySession?.release();
  }
}

/** Those of the values that `scalar` depends on. */
function readBy(scalar: Value, values: ReadonlyMap<string, Value>): ReadonlyMap<string, Value> {
  const nodes = new Set(topological([scalar]));
  return new Map([...values].filter(([, { node }]) => nodes.has(node)));
}

function namedTerms(terms: Readonly<Record<string, Value>>): Record<string, Value> {
  return Object.fromEntries(Object.entries(terms).map(([name, value]) => [`term/${name}`, value]));
}

const GRADIENT = 'gradient/';

/** A program whose outputs are the gradients of `scalar` by the values, and more. */
function gradientProgram(scalar: Value, values: ReadonlyMap<string, Value>, more: Readonly<Record<string, Value>>): Program {
  const slopes = gradients(scalar, [...values.values()]);
  return { outputs: { ...more, ...Object.fromEntries([...values.keys()].map((name, i) => [GRADIENT + name, slopes[i] as Value])) } };
}

/** By parameter. Equal gradients may be one output, but sums are made in place: each has numbers of its own. */
function gradientsIn(results: Readonly<Record<string, Tensor>>): Gradients {
  const slopes = new Map<string, Tensor>();
  const seen = new Set<Tensor['data']>();
  for (const [name, tensor] of Object.entries(results)) {
    if (!name.startsWith(GRADIENT)) continue;
    slopes.set(name.slice(GRADIENT.length), seen.has(tensor.data) ? { ...tensor, data: tensor.data.slice() } : tensor);
    seen.add(tensor.data);
  }
  return slopes;
}

function numberOf(value: Tensor | undefined): number {
  return Number(value?.data[0]);
}

function explainNonFinite(loss: number, norm: number, learningRate: number, t: number): never {
  return fail({
    code: 'train.non-finite',
    subject: `step ${t}`,
    found: `loss ${loss}, gradient norm ${norm}`,
    expected: 'finite numbers',
    next: `The parameters are those after step ${t - 1}. Usual causes: a learning rate too high (now ${learningRate}), clipping switched off, or weights that hold NaN (multigraft inspect tells).`,
  });
}
