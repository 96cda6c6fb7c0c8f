import { fail } from '../base/errors.ts';
import { float32, type Tensor } from '../base/tensor.ts';
import { add, gradients, input, type Program, topological, type Value } from '../graph/index.ts';
import { planDropout } from '../nn/index.ts';
import { drawDistillation, drawLoss } from '../objectives/index.ts';
import type { Engine, Feeds, Session, Weights } from '../session/session.ts';
import { type AdamW, corrections, drawAdamW, type ParameterStore } from '../update/index.ts';
import { checkMemory } from './memory.ts';
import { drawModel, type Model, scheduledFeeds, weightsOf } from './model.ts';

export interface StepOptions {
  readonly adamw: AdamW;
  /** Whether a batch comes in parts: then a gradient program runs for each part and an update program once. */
  readonly accumulate: boolean;
  /** What the largest part will be fed: a training that cannot fit into memory is refused before it begins. */
  readonly largest?: Feeds;
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
   * One step of AdamW over a batch given in one or more parts (one when not accumulating). `t` counts from 1.
   * The store advances only when loss and norm are finite. Throws `train.non-finite`.
   */
  run(parts: readonly Feeds[], learningRate: number, t: number): Promise<StepResult>;
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

/** The training step of a model with its head. */
export async function createTrainingStep(
  engine: Engine,
  model: Model,
  store: ParameterStore,
  options: StepOptions & { readonly seed: number },
): Promise<TrainingStep> {
  const { config } = model.encoder;
  const trained = new Set(store.specs.map((spec) => spec.name));
  const plan = planDropout(Math.max(config.hidden, config.intermediate, config.positions), options.seed);
  const { logits, trainable, regularizer } = drawModel(model, plan.dropout, (name) => trained.has(name));
  const masks = (part: Feeds, t: number, microBatch: number) => {
    const [batch, length] = (part.inputIds as Tensor).shape as [number, number];
    const choices = model.head.config.num_choices ?? 1;
    const sizes = new Map([
      ['B', batch],
      ['R', batch / choices],
      ['S', length],
    ]);
    return { ...plan.feeds(options.seed, t, microBatch, sizes), ...scheduledFeeds(model, t - 1) };
  };
  const loss = model.objective === 'logits' ? drawDistillation(logits) : drawLoss(model.head, logits);
  const weights = weightsOf(model, plan.pools);
  return compileStep(engine, { loss, trainable, weights, masks, ...(regularizer && { regularizer }) }, store, options);
}

/**
 * Compiles forward, backward, clipping and AdamW: one program, or two when batches come in parts.
 * @throws train.memory when the largest part cannot fit
 */
export async function compileStep(
  engine: Engine,
  { loss, regularizer, terms = {}, trainable, weights, masks }: Goal,
  store: ParameterStore,
  { adamw, accumulate, largest }: StepOptions,
): Promise<TrainingStep> {
  const names = store.specs.map((spec) => spec.name);
  const values = names.map(
    (name) => trainable.get(name) ?? fail({ code: 'internal.invariant', subject: `parameter '${name}' is not used` }),
  );
  const slopes = gradients(loss, values);
  // Of parameters alone, so it joins where the whole batch's gradient is at hand.
  const penalties = regularizer ? gradientsOf(regularizer, values) : new Map<Value, Value>();
  const penalized = (sums: readonly Value[]) =>
    sums.map((sum, i) => {
      const penalty = penalties.get(values[i] as Value);
      return penalty ? add(sum, penalty) : sum;
    });
  const more: Record<string, Value> = regularizer ? { regularizer } : {};

  const programs = {
    whole: accumulate ? undefined : updateProgram(store, values, penalized(slopes), adamw, { ...more, ...named(terms), loss }),
    forward: accumulate ? gradientProgram(names, values, slopes, { ...named(terms), loss }) : undefined,
    update: accumulate ? updateProgram(store, values, penalized(gradientInputs(names, values)), adamw, more) : undefined,
  };
  if (largest && engine.memory !== undefined) {
    const drawn = Object.values(programs).filter((program) => program !== undefined);
    checkMemory(engine, { programs: drawn, weights, trained: store.size, accumulate, largest: { ...largest, ...masks(largest, 1, 0) } });
  }
  const compiled = async (program: Program | undefined) => program && (await engine.compile(program, weights));
  const whole = await compiled(programs.whole);
  const forward = await compiled(programs.forward);
  const update = await compiled(programs.update);
  const buffers = accumulate ? ([gradientBuffers(store), gradientBuffers(store)] as const) : undefined;

  return { run, release };

  async function run(parts: readonly Feeds[], learningRate: number, t: number): Promise<StepResult> {
    const rates = scalars({ learningRate, ...corrections(adamw, t) });
    const state = { ...store.views('current', 'moment1', 'moment1/'), ...store.views('current', 'moment2', 'moment2/') };
    const current = store.views('current', 'value', '');
    const next = {
      ...store.views('next', 'value', 'value/'),
      ...store.views('next', 'moment1', 'moment1/'),
      ...store.views('next', 'moment2', 'moment2/'),
    };
    let total = 0;
    const sums: Record<string, number> = {};
    const count = (part: Readonly<Record<string, Tensor>>) => {
      total += numberOf(part.loss);
      for (const name of Object.keys(terms)) sums[name] = (sums[name] ?? 0) + numberOf(part[`term/${name}`]);
    };
    let results: Record<string, Tensor>;
    if (whole) {
      results = await whole.run({ ...(parts[0] as Feeds), ...masks(parts[0] as Feeds, t, 0), ...current, ...state, ...rates }, next);
      count(results);
    } else {
      let [before, after] = buffers as readonly [Buffers, Buffers];
      before.data.fill(0);
      for (const [i, part] of parts.entries()) {
        count(await (forward as Session).run({ ...part, ...masks(part, t, i), ...current, ...before.accumulated }, after.gradients));
        [before, after] = [after, before];
      }
      results = await (update as Session).run({ ...before.gradients, ...current, ...state, ...rates }, next);
    }
    const gradientNorm = numberOf(results.norm);
    if (!Number.isFinite(total) || !Number.isFinite(gradientNorm)) explainNonFinite(total, gradientNorm, learningRate, t);
    store.advance();
    return { loss: total, gradientNorm, terms: sums, ...(regularizer && { regularizer: numberOf(results.regularizer) }) };
  }

  async function release(): Promise<void> {
    for (const session of [whole, forward, update]) await session?.release();
  }
}

/** The gradient by those of the values that `scalar` depends on. */
function gradientsOf(scalar: Value, values: readonly Value[]): ReadonlyMap<Value, Value> {
  const nodes = new Set(topological([scalar]));
  const read = values.filter(({ node }) => nodes.has(node));
  const slopes = gradients(scalar, read);
  return new Map(read.map((value, i) => [value, slopes[i] as Value]));
}

function updateProgram(
  store: ParameterStore,
  values: readonly Value[],
  slopes: readonly Value[],
  adamw: AdamW,
  more: Record<string, Value>,
): Program {
  const { norm, updated } = drawAdamW(
    store.specs.map((spec, i) => ({
      value: values[i] as Value,
      gradient: slopes[i] as Value,
      moment1: input(`moment1/${spec.name}`, 'float32', spec.shape),
      moment2: input(`moment2/${spec.name}`, 'float32', spec.shape),
      decay: spec.decay,
    })),
    adamw,
  );
  const outputs: Record<string, Value> = { ...more, norm };
  store.specs.forEach(({ name }, i) => {
    for (const part of ['value', 'moment1', 'moment2'] as const)
      outputs[`${part}/${name}`] = (updated[i] as (typeof updated)[number])[part];
  });
  return { outputs };
}

function named(terms: Readonly<Record<string, Value>>): Record<string, Value> {
  return Object.fromEntries(Object.entries(terms).map(([name, value]) => [`term/${name}`, value]));
}

function gradientProgram(
  names: readonly string[],
  values: readonly Value[],
  slopes: readonly Value[],
  more: Readonly<Record<string, Value>>,
): Program {
  const outputs: Record<string, Value> = { ...more };
  names.forEach((name, i) => {
    const accumulated = input(`accumulated/${name}`, 'float32', (values[i] as Value).shape);
    outputs[`gradient/${name}`] = add(accumulated, slopes[i] as Value);
  });
  return { outputs };
}

function gradientInputs(names: readonly string[], values: readonly Value[]): Value[] {
  return names.map((name, i) => input(`gradient/${name}`, 'float32', (values[i] as Value).shape));
}

interface Buffers {
  readonly data: Float32Array;
  /** The same memory under the two names it goes by: summed so far, and summed with this part. */
  readonly accumulated: Record<string, Tensor>;
  readonly gradients: Record<string, Tensor>;
}

function gradientBuffers(store: ParameterStore): Buffers {
  const data = new Float32Array(store.size);
  const [accumulated, gradients]: Record<string, Tensor>[] = [{}, {}] as const;
  let start = 0;
  for (const [name, { shape, data: like }] of store.values()) {
    const view: Tensor = { dtype: 'float32', shape, data: data.subarray(start, start + like.length) };
    start += like.length;
    (accumulated as Record<string, Tensor>)[`accumulated/${name}`] = view;
    (gradients as Record<string, Tensor>)[`gradient/${name}`] = view;
  }
  return { data, accumulated: accumulated as Record<string, Tensor>, gradients: gradients as Record<string, Tensor> };
}

function scalars(values: Record<string, number>): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, float32([], [value])]));
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
