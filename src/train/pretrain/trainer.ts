import { createRandom, fail, pause, type Tensor } from '../../base/index.ts';
import { createSampler, type SamplerState } from '../../batch/index.ts';
import {
  type DrawingOptions,
  drawEncoder,
  drawWordScores,
  type Encoder,
  type EncoderConfig,
  type EncoderFamily,
  encoderSpecs,
} from '../../encoders/index.ts';
import { gather, input, matmul, reshape, type Value } from '../../graph/index.ts';
import { linear, type ParameterSpec, planDropout, recordedParameters } from '../../nn/index.ts';
import { crossEntropy, drawTransform, meanSquaredError } from '../../objectives/index.ts';
import type { Engine, Feeds } from '../../session/session.ts';
import type { Encoding, Tokenizer } from '../../text/index.ts';
import { ADAMW, ParameterStore } from '../../update/index.ts';
import { releasing } from '../releasing.ts';
import { type Batch, type RunHooks, runSteps, START, type StepLoop } from '../run-steps.ts';
import { createSchedule } from '../schedule.ts';
import { compileStep, type Goal } from '../step.ts';
import { restore } from '../store.ts';
import { maskTokens } from './masking.ts';
import { createTeacher, type Teacher, wordTargets } from './teacher.ts';
import { type Sample, wordTokens } from './words.ts';

export interface PretrainOptions extends RunHooks<PretrainState> {
  readonly engine: Engine;
  readonly family: EncoderFamily;
  readonly config: EncoderConfig;
  readonly tokenizer: Tokenizer;
  readonly samples: readonly Sample[];
  /** An encoder whose hidden states are to be matched; without one, masked words are to be guessed. */
  readonly teacher?: { readonly encoder: Encoder; readonly tokenizer: Tokenizer };
  readonly settings: PretrainSettings;
  /** First values of the encoder's weights by full name; drawn where there are none. */
  readonly initial?: ReadonlyMap<string, Tensor>;
  readonly resume?: PretrainState;
}

export interface PretrainSettings {
  readonly steps: number;
  readonly batchSize: number;
  readonly maxLength: number;
  readonly learningRate: number;
  readonly warmup: number;
  /** Share of tokens hidden from the student; more than 0 without a teacher. */
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
 * @throws train.stopped, train.resume, train.non-finite; text.tokenizer when the teacher splits text into other words
 */
export function pretrain(options: PretrainOptions): Promise<Map<string, Tensor>> {
  const { engine, family, config, tokenizer, samples, settings, initial = new Map(), resume } = options;
  return releasing(async (hold) => {
    const student = await tokenize(options);
    const { maxLength } = settings;
    const teacher =
      options.teacher && hold(await createTeacher(engine, options.teacher.encoder, options.teacher.tokenizer, samples, maxLength));
    const wordsOf = (row: number) => wordTokens(student[row] as Encoding, samples[row] as Sample);
    if (teacher) await checkWords(teacher, samples.length, wordsOf);
    const weights = encoderParameters(family, config);
    const objective = teacher ? distillation(config.hidden, teacher.width) : languageModel(config);
    const store = new ParameterStore([...weights, ...objective.parameters]);
    store.initialize(settings.seed);
    for (const [name, { data }] of initial) if (store.values().has(name)) store.set(name, data as Float32Array);
    const step = hold(await compileStep(engine, drawGoal(options, objective.draw), store, { adamw: ADAMW }));
    const lengths = Int32Array.from(student, ({ inputIds }) => inputIds.length);
    const sampler = createSampler({ lengths, batchSize: settings.batchSize, shuffle: true, seed: settings.seed }, resume?.sampler);
    if (resume) restore(store, resume);
    const loop: StepLoop<Batch, PretrainState> = {
      schedule: createSchedule({ ...settings, warmupSteps: settings.warmup, shape: 'linear' }),
      step,
      from: { ...START, step: resume?.step ?? 0 },
      async next(done) {
        const { rows, epoch } = sampler.next();
        const random = createRandom(settings.seed, done, MASKING);
        const encodings = Array.from(rows, (row) => student[row] as Encoding);
        const { feeds, guesses } = maskTokens(encodings, tokenizer, config, settings.masking, random);
        const targets = teacher
          ? wordTargets(await teacher.words(rows), Array.from(rows, wordsOf), feeds.inputIds.shape[1] as number, teacher.width)
          : guesses;
        return { parts: [{ ...feeds, ...targets }], size: rows.length, epoch };
      },
      state: ({ step }) => ({ step, sampler: sampler.state(), parameters: store.state() }),
    };
    await runSteps(loop, options);
    return new Map(weights.map(({ name }) => [name, store.get(name)]));
  });
}

/** The stream of random numbers that hides words. */
const MASKING = 0x3a5c;

const TEXTS_PER_PAUSE = 500;

async function tokenize({ tokenizer, samples, settings, onEvent, signal }: PretrainOptions): Promise<Encoding[]> {
  await onEvent?.({ type: 'note', text: `Cutting ${samples.length} texts into tokens …` });
  const encodings: Encoding[] = [];
  for (const [text, pair] of samples) {
    if (encodings.length % TEXTS_PER_PAUSE === 0) await pause();
    if (signal?.aborted)
      fail({ code: 'train.stopped', subject: 'Stopped before the first step', next: 'Nothing is lost: run the same command again.' });
    encodings.push(tokenizer.encode(text, pair, { maxLength: settings.maxLength }));
  }
  return encodings;
}

const CHECKED = 32;

/** Words that only one of the two knows teach nothing: where they are most of all words, the teacher does not fit. */
async function checkWords(teacher: Teacher, count: number, wordsOf: (row: number) => ReadonlyMap<string, unknown>): Promise<void> {
  const rows = Int32Array.from({ length: Math.min(count, CHECKED) }, (_, row) => row);
  let [all, shared] = [0, 0];
  (await teacher.words(rows)).forEach(({ keys }, row) => {
    const words = wordsOf(row);
    all += words.size;
    shared += keys.filter((key) => words.has(key)).length;
  });
  if (shared * 2 < all)
    fail({
      code: 'text.tokenizer',
      subject: 'the tokenizer of the teacher',
      found: `${shared} of ${all} words that both split alike`,
      expected: 'at least half of them',
      next: 'Choose a teacher whose tokenizer splits text at spaces and punctuation, or leave out --teacher.',
    });
}

/** Every weight of the encoder but its pooler, drawn as BERT draws them. */
function encoderParameters(family: EncoderFamily, config: EncoderConfig): ParameterSpec[] {
  return encoderSpecs(family, config).filter(({ part }) => part !== 'pooler');
}

interface Objective {
  readonly parameters: readonly ParameterSpec[];
  /** The loss from the student's token vectors [B·S, d] and its parameters. */
  readonly draw: (hidden: Value, options: DrawingOptions) => Value;
}

function drawGoal({ family, config, settings }: PretrainOptions, draw: Objective['draw']): Goal {
  const plan = planDropout(Math.max(config.hidden, config.positions), settings.seed);
  const { get, read: trainable } = recordedParameters(() => true);
  const options: DrawingOptions = { family, config, parameters: get, dropout: plan.dropout, hooks: {}, read: 'all' };
  const loss = draw(drawEncoder(options).output, options);
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
  const name = 'distillation';
  return {
    parameters: [
      { name: `${name}.weight`, shape: [width, hidden], init: { kind: 'fan-in-uniform', fanIn: hidden }, decay: true },
      { name: `${name}.bias`, shape: [width], init: { kind: 'constant', value: 0 }, decay: false },
    ],
    draw(output, { parameters: resolve }) {
      const pooled = matmul(input('wordTokens', 'float32', ['B', 'W', 'S']), reshape(output, ['B', 'S', hidden]));
      const projected = linear(resolve, name, reshape(pooled, ['B*W', hidden]), width);
      return meanSquaredError(projected, input('teacherWords', 'float32', ['B*W', width]), input('wordWeights', 'float32', ['B*W']));
    },
  };
}

/** Cross-entropy of the hidden tokens: dense, activation, norm, then the word embeddings as output layer, with a bias. */
function languageModel({ hidden, embedding, vocabulary, activation, epsilon }: EncoderConfig): Objective {
  const flat = { init: { kind: 'constant', value: 0 }, decay: false } as const;
  const path = 'cls.predictions';
  return {
    parameters: [
      { name: `${path}.transform.dense.weight`, shape: [embedding, hidden], init: { kind: 'normal', deviation: 0.02 }, decay: true },
      { name: `${path}.transform.dense.bias`, shape: [embedding], ...flat },
      { name: `${path}.transform.LayerNorm.weight`, shape: [embedding], init: { kind: 'constant', value: 1 }, decay: false },
      { name: `${path}.transform.LayerNorm.bias`, shape: [embedding], ...flat },
      { name: `${path}.bias`, shape: [vocabulary], ...flat },
    ],
    draw(output, options) {
      const places = gather(output, input('maskedPlaces', 'int32', ['M']));
      const layers = [{ linear: `${path}.transform.dense`, norm: `${path}.transform.LayerNorm` }];
      const hidden = drawTransform(places, layers, { parameters: options.parameters, width: embedding, activation, epsilon });
      const logits = drawWordScores(options, hidden, options.parameters(`${path}.bias`, [vocabulary]));
      return crossEntropy(logits, input('maskedTokens', 'int32', ['M']), input('maskedWeights', 'float32', ['M']));
    },
  };
}
