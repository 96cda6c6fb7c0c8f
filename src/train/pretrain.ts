import { fail } from '../base/errors.ts';
import { createRandom, type Random } from '../base/random.ts';
import { float32, int32, type Tensor } from '../base/tensor.ts';
import { collate, createSampler, type SamplerState } from '../batch/index.ts';
import { drawEncoder, type Encoder, type EncoderConfig, type EncoderFamily, encoderShapes } from '../encoders/index.ts';
import {
  add,
  gather,
  gemm,
  input,
  logSoftmax,
  matmul,
  mul,
  neg,
  pick,
  reduceSum,
  reshape,
  scalar,
  sub,
  type Value,
} from '../graph/index.ts';
import { activation, norm, type ParameterSpec, parameters, planDropout } from '../nn/index.ts';
import type { Engine, Feeds } from '../session/session.ts';
import type { Encoding, Tokenizer } from '../text/index.ts';
import { ADAMW, ParameterStore, scheduleFactor } from '../update/index.ts';
import type { TrainEvent } from './settings.ts';
import { compileStep, type Goal } from './step.ts';
import { createTeacher, type Teacher } from './teacher.ts';
import { type Sample, wordTokens } from './words.ts';

export interface PretrainOptions {
  readonly engine: Engine;
  readonly family: EncoderFamily;
  readonly config: EncoderConfig;
  readonly tokenizer: Tokenizer;
  readonly samples: readonly Sample[];
  /** An encoder whose hidden states are to be matched; without one, masked words are to be guessed. */
  readonly teacher?: { readonly encoder: Encoder; readonly tokenizer: Tokenizer };
  readonly settings: PretrainSettings;
  readonly resume?: PretrainState;
  readonly onEvent?: (event: TrainEvent) => void | Promise<void>;
  readonly save?: (state: PretrainState) => Promise<void>;
  readonly signal?: AbortSignal;
}

export interface PretrainSettings {
  readonly steps: number;
  readonly batchSize: number;
  readonly maxLength: number;
  readonly learningRate: number;
  readonly warmup: number;
  /** Share of tokens hidden from the student. */
  readonly masking: number;
  readonly seed: number;
  readonly saveEvery: number;
}

export interface PretrainState {
  readonly step: number;
  readonly sampler: SamplerState;
  readonly parameters: ReadonlyMap<string, Tensor>;
}

/**
 * Pretrains an encoder from nothing: masked language modelling (Devlin et al. 2019), or distillation of a teacher's
 * hidden states (in the manner of DistilBERT and TinyBERT, word by word, since the vocabularies differ): for each word
 * the mean of the student's token vectors, projected, is to equal that of the teacher's; the first token's vector is to
 * equal the teacher's mean over all tokens. Returns the encoder's own weights by full name.
 */
export async function pretrain(options: PretrainOptions): Promise<Map<string, Tensor>> {
  const { engine, family, config, tokenizer, samples, settings, resume, onEvent, save, signal } = options;
  const student = samples.map(([text, pair]) => tokenizer.encode(text, pair, { maxLength: settings.maxLength }));
  const teacher =
    options.teacher && (await createTeacher(engine, options.teacher.encoder, options.teacher.tokenizer, samples, settings.maxLength));
  const own = encoderParameters(family, config);
  const objective = teacher ? distillation(config.hidden, teacher.width) : languageModel(config);
  const store = new ParameterStore([...own, ...objective.parameters]);
  store.initialize(settings.seed);
  const goal = drawGoal(options, store, objective.draw);
  const step = await compileStep(engine, goal, store, { adamw: ADAMW, accumulate: false });
  const sampler = createSampler(
    { lengths: Int32Array.from(student, (one) => one.inputIds.length), batchSize: settings.batchSize, shuffle: true, seed: settings.seed },
    resume?.sampler,
  );
  if (resume) store.restore(resume.parameters);
  let done = resume?.step ?? 0;
  const started = performance.now();
  const first = done;
  while (done < settings.steps) {
    const { rows, epoch } = sampler.next();
    const random = createRandom(settings.seed, done, 0x3a5c);
    const encodings = Array.from(rows, (row) => student[row] as Encoding);
    const batch = masked(encodings, tokenizer, config, settings.masking, random);
    const targets = teacher ? await wordTargets(teacher, rows, encodings, batch.feeds.inputIds as Tensor) : batch.guesses;
    const learningRate = settings.learningRate * scheduleFactor('linear', done, settings.steps, settings.warmup);
    const { loss, gradientNorm } = await step.run([{ ...batch.feeds, ...targets }], learningRate, done + 1);
    done++;
    const seconds = (performance.now() - started) / 1000;
    const perStep = seconds / (done - first);
    await onEvent?.({
      type: 'step',
      step: done,
      epoch,
      loss,
      learningRate,
      gradientNorm,
      examplesPerSecond: settings.batchSize / perStep,
      steps: settings.steps,
      secondsLeft: perStep * (settings.steps - done),
    });
    // A run computes on this thread: without a pause no signal would ever be heard.
    await new Promise((resolve) => setImmediate(resolve));
    if (save && (done % settings.saveEvery === 0 || done === settings.steps || signal?.aborted))
      await save({ step: done, sampler: sampler.state(), parameters: store.state() });
    if (signal?.aborted && done < settings.steps)
      fail({
        code: 'train.stopped',
        subject: `Stopped after step ${done} of ${settings.steps}`,
        next: 'Run the same command with --resume to go on.',
      });
  }
  await step.release();
  await teacher?.release();
  return new Map(own.map(({ name }) => [name, store.get(name)]));
}

/** Every weight of the encoder but its pooler, drawn as BERT draws them. */
function encoderParameters(family: EncoderFamily, config: EncoderConfig): ParameterSpec[] {
  return [...encoderShapes(family, config)]
    .filter(([name]) => !name.startsWith(`${family.prefix}${family.names.pooler}.`))
    .map(([name, shape]) => {
      const isNorm = /LayerNorm/.test(name);
      const isBias = name.endsWith('bias');
      const init = isBias
        ? ({ kind: 'constant', value: 0 } as const)
        : isNorm
          ? ({ kind: 'constant', value: 1 } as const)
          : ({ kind: 'normal', deviation: 0.02 } as const);
      return { name, shape, init, decay: !isBias && !isNorm };
    });
}

interface Objective {
  readonly parameters: readonly ParameterSpec[];
  /** The loss from the student's token vectors [B·S, d] and its parameters. */
  readonly draw: (hidden: Value, get: (name: string) => Value) => Value;
}

function drawGoal({ family, config, settings }: PretrainOptions, store: ParameterStore, draw: Objective['draw']): Goal {
  const plan = planDropout(Math.max(config.hidden, config.positions), settings.seed);
  const resolve = parameters(() => true);
  const trainable = new Map<string, Value>();
  const get = (name: string, shape: readonly number[]) => {
    const value = resolve(name, shape);
    trainable.set(name, value);
    return value;
  };
  const { output } = drawEncoder({ family, config, parameters: get, dropout: plan.dropout, graft: {}, read: 'all' });
  const loss = draw(output, (name) => get(name, store.get(name).shape));
  const masks = (part: Feeds, t: number, microBatch: number) => {
    const [batch, length] = (part.inputIds as Tensor).shape as [number, number];
    return plan.feeds(
      settings.seed,
      t,
      microBatch,
      new Map([
        ['B', batch],
        ['S', length],
      ]),
    );
  };
  return { loss, trainable, weights: plan.pools, masks };
}

/** Mean squared difference of projected word vectors and the teacher's, each word weighing `wordWeights`. */
function distillation(hidden: number, width: number): Objective {
  const [weight, bias] = ['distillation.weight', 'distillation.bias'];
  return {
    parameters: [
      { name: weight as string, shape: [width, hidden], init: { kind: 'fan-in-uniform', fanIn: hidden }, decay: true },
      { name: bias as string, shape: [width], init: { kind: 'constant', value: 0 }, decay: false },
    ],
    draw(output, get) {
      const pooled = matmul(input('wordTokens', 'float32', ['B', 'W', 'S']), reshape(output, ['B', 'S', hidden]));
      const projected = gemm(reshape(pooled, ['B*W', hidden]), get(weight as string), get(bias as string), { transB: true });
      const difference = sub(projected, input('teacherWords', 'float32', ['B*W', width]));
      const each = mul(reduceSum(mul(difference, difference), [1]), scalar(1 / width));
      return reshape(reduceSum(mul(reshape(each, ['B*W']), input('wordWeights', 'float32', ['B*W'])), [0]), []);
    },
  };
}

/** Cross-entropy of the hidden tokens: dense, activation, norm, then the word embeddings as output layer, with a bias. */
function languageModel(config: EncoderConfig): Objective {
  const { hidden, vocabulary } = config;
  const flat = { init: { kind: 'constant', value: 0 }, decay: false } as const;
  const path = 'cls.predictions';
  return {
    parameters: [
      { name: `${path}.transform.dense.weight`, shape: [hidden, hidden], init: { kind: 'normal', deviation: 0.02 }, decay: true },
      { name: `${path}.transform.dense.bias`, shape: [hidden], ...flat },
      { name: `${path}.transform.LayerNorm.weight`, shape: [hidden], init: { kind: 'constant', value: 1 }, decay: false },
      { name: `${path}.transform.LayerNorm.bias`, shape: [hidden], ...flat },
      { name: `${path}.bias`, shape: [vocabulary], ...flat },
    ],
    draw(output, get) {
      const places = gather(output, input('maskedPlaces', 'int32', ['M']));
      const dense = gemm(places, get(`${path}.transform.dense.weight`), get(`${path}.transform.dense.bias`), { transB: true });
      const normed = norm(
        (name) => get(name),
        `${path}.transform.LayerNorm`,
        activation(config.activation, 'encoder.config')(dense),
        config.epsilon,
      );
      const logits = gemm(normed, get('bert.embeddings.word_embeddings.weight'), get(`${path}.bias`), { transB: true });
      const each = mul(pick(logSoftmax(logits), input('maskedTokens', 'int32', ['M'])), input('maskedWeights', 'float32', ['M']));
      return neg(reshape(reduceSum(add(each, scalar(0)), [0]), []));
    },
  };
}

/** Pads a batch and hides a share of its tokens: 80 % become the mask, 10 % another token, 10 % stay (Devlin et al. 2019). */
function masked(
  encodings: readonly Encoding[],
  { maskId }: Tokenizer,
  { padId, vocabulary }: EncoderConfig,
  share: number,
  random: Random,
) {
  const batch = collate(encodings, { padId });
  const { shape, data } = batch.inputIds;
  const ids = (data as Int32Array).slice();
  const places: number[] = [];
  const width = shape[1] as number;
  encodings.forEach(({ specialTokensMask }, row) => {
    specialTokensMask.forEach((special, i) => {
      if (special || random.uniform() >= share) return;
      const at = row * width + i;
      places.push(at);
      const dice = random.uniform();
      if (dice < 0.8) ids[at] = maskId;
      else if (dice < 0.9) ids[at] = random.below(vocabulary);
    });
  });
  if (places.length === 0) places.push(0);
  const feeds: Record<string, Tensor> = {
    inputIds: int32(shape, ids),
    tokenTypeIds: batch.tokenTypeIds,
    attentionMask: float32(shape, Float32Array.from(batch.attentionMask.data as Int32Array)),
  };
  const guesses = {
    maskedPlaces: int32([places.length], places),
    maskedTokens: int32(
      [places.length],
      places.map((at) => (data as Int32Array)[at] as number),
    ),
    maskedWeights: float32([places.length], new Float32Array(places.length).fill(1 / places.length)),
  };
  return { feeds, guesses };
}

/** The weight of a whole text's vector against one word's. */
const TEXT_WEIGHT = 4;

/** The teacher's vectors for a batch, and which of the student's tokens make up each word. Row 0 is the whole text. */
async function wordTargets(teacher: Teacher, rows: Int32Array, encodings: readonly Encoding[], ids: Tensor): Promise<Feeds> {
  const [batch, length] = ids.shape as [number, number];
  const known = await teacher.words(rows);
  const own = encodings.map(wordTokens);
  const most = Math.max(...known.map(({ keys }) => keys.length));
  const width = teacher.width;
  const tokens = new Float32Array(batch * most * length);
  const vectors = new Float32Array(batch * most * width);
  const weights = new Float32Array(batch * most);
  let total = 0;
  known.forEach(({ keys, vectors: given }, b) => {
    keys.forEach((key, w) => {
      const at = key === '' ? [0] : own[b]?.get(key);
      if (!at) return;
      const row = b * most + w;
      for (const token of at) tokens[row * length + token] = 1 / at.length;
      vectors.set(given.subarray(w * width, (w + 1) * width), row * width);
      weights[row] = key === '' ? TEXT_WEIGHT : 1;
      total += weights[row] as number;
    });
  });
  return {
    wordTokens: float32([batch, most, length], tokens),
    teacherWords: float32([batch * most, width], vectors),
    wordWeights: float32(
      [batch * most],
      weights.map((weight) => weight / total),
    ),
  };
}
