import { z } from 'zod';
import { defined, type Files, fail, joinPath, type Tensor, toFloat16 } from '../../base/index.ts';
import { configFields, type Encoder, FAMILIES, familyOf, loadEncoder } from '../../encoders/index.ts';
import { readSafetensors, writeSafetensors } from '../../formats/safetensors.ts';
import { maxTokens } from '../../model/encoder-inputs.ts';
import { copyTokenizer, createTokenizer, loadTokenizer, type Tokenizer, trainWordPiece, wordPieceTokenizerJson } from '../../text/index.ts';
import { digestOfEncoder, digestOfSamples } from '../fingerprint.ts';
import { openLog } from '../log.ts';
import { checkPretrainOutput, PRETRAIN_STATE as STATE } from '../output-folder.ts';
import { count, samplerSchema } from '../progress.ts';
import { notesTo, type RunOptions } from '../run-options.ts';
import { compareSettings, damagedUnless } from '../state.ts';
import { loadCorpus } from './corpus.ts';
import { type PretrainState, pretrain } from './trainer.ts';
import type { Sample } from './words.ts';

/** Everything that decides what encoder comes out. One declaration gives type, default, check, flag and help. */
export const pretrainSettings = z.object({
  vocabulary: z.number().int().min(100).default(8000).meta({ description: 'WordPiece tokens' }),
  layers: z.number().int().positive().default(4).meta({ description: 'layers of the encoder' }),
  hidden: z.number().int().positive().default(256).meta({ description: 'hidden units' }),
  heads: z.number().int().positive().default(4).meta({ description: 'attention heads' }),
  intermediate: z.number().int().positive().default(1024).meta({ description: 'inner units of the feed-forward part' }),
  positions: z.number().int().min(8).default(256).meta({ description: 'tokens per text that the encoder will take' }),
  steps: z.number().int().positive().default(10000).meta({ description: 'batches to learn from' }),
  batchSize: z.number().int().positive().default(64).meta({ description: 'texts per step' }),
  maxLength: z.number().int().min(8).default(64).meta({ description: 'tokens per text while learning' }),
  learningRate: z.number().positive().default(1e-3).meta({ description: 'step size at the end of warm-up; falls linearly to 0' }),
  warmup: z.number().int().min(0).default(500).meta({ description: 'steps of warm-up' }),
  masking: z.number().min(0).max(0.5).default(0.15).meta({ description: 'share of tokens hidden from the encoder' }),
  seed: z.number().int().default(1).meta({ description: 'fixes initial values, order and masking' }),
  saveEvery: z.number().int().positive().default(200).meta({ description: 'steps between saved states' }),
  precision: z.enum(['float32', 'float16']).default('float16').meta({ description: 'numbers on disk' }),
});

type PretrainEncoderSettings = z.output<typeof pretrainSettings>;

export interface PretrainEncoderOptions extends Omit<RunOptions, 'model' | 'log'> {
  /** .txt files (a text a line) and task folders (their training rows). */
  readonly data: readonly string[];
  /** Task folders whose validation and test texts must not be learnt from. */
  readonly unseen: readonly string[];
  readonly output: string;
  /** Folder of an encoder whose hidden states are to be matched. */
  readonly teacher?: string;
  /** Folder of an encoder of the same sizes to go on from: its weights and its vocabulary are kept. */
  readonly init?: string;
  readonly settings: PretrainEncoderSettings;
}

const WEIGHTS = 'model.safetensors';
/** Steps between lines of the log: each is the mean of as many. */
const LOG_STEPS = 50;

/**
 * Makes an encoder folder (config, tokenizer, weights, log) from plain text; see {@link pretrain} for how it learns.
 * A run resumes with the same texts, teacher and settings; only `steps` and `saveEvery` may be others.
 * @throws usage.value for an output that holds something else, train.resume, train.stopped, task.empty, and what reading texts and teacher throws
 */
export async function pretrainEncoder(options: PretrainEncoderOptions): Promise<{ texts: number; dropped: number }> {
  const { files, engine, output, settings, signal } = options;
  const note = notesTo(options);
  checkSettings(settings, options.teacher);
  await checkPretrainOutput(files, output, options);
  const logPath = joinPath(output, 'log.jsonl');
  const teacher = options.teacher === undefined ? undefined : await loadTeacher(files, options.teacher, settings);
  const init = options.init === undefined ? undefined : await loadInit(files, options.init, settings);
  // Adds nothing: a folder that cannot be written is to show before hours of work.
  await files.append(logPath, '');
  const saved = options.resume ? await loadState(files, output) : undefined;
  const { samples, dropped } = await loadCorpus(files, options.data, options.unseen);
  note(`${samples.length} texts; ${dropped} left out because they stand in validation or test rows.`);
  const fingerprint = { ...(await fingerprintOf(settings, samples, teacher?.encoder)), init: init ? await digestOfEncoder(init) : null };
  if (saved) compareSettings(saved.settings, fingerprint, joinPath(output, STATE));
  else await clear(files, output, note);

  if (!saved && options.init !== undefined) await copyTokenizer(files, options.init, output);
  const hasTokenizer = saved !== undefined || init !== undefined;
  const tokenizer = hasTokenizer ? await loadTokenizer(files, output) : await learnTokenizer(options, samples.flat(), note);
  const fields = configOf(settings, tokenizer.vocabularySize);
  const path = joinPath(output, 'config.json');
  await files.write(path, `${JSON.stringify(fields, null, 2)}\n`);
  const family = familyOf(fields.model_type, path);
  const log = await openLog(files, logPath, saved?.logLength ?? 0);
  let unlogged = saved?.unlogged ?? { sum: 0, count: 0 };
  const weights = await pretrain({
    engine,
    family,
    // So few passes over so little text do not overfit: dropout would only slow the learning.
    config: { ...family.config(configFields(fields, path)), hiddenDropout: 0, attentionDropout: 0 },
    tokenizer,
    samples,
    settings,
    ...defined({ teacher, initial: init && (await weightsIn(init)), resume: saved?.state, signal }),
    async onEvent(event) {
      options.onEvent?.(event);
      if (event.type !== 'step') return;
      unlogged = { sum: unlogged.sum + event.loss, count: unlogged.count + 1 };
      if (event.step % LOG_STEPS !== 0 && event.step !== settings.steps) return;
      await log.write({ ...event, loss: unlogged.sum / unlogged.count });
      unlogged = { sum: 0, count: 0 };
    },
    async save({ step, sampler, parameters }) {
      const progress: PretrainProgress = { step, sampler, logLength: await log.length(), unlogged, settings: fingerprint };
      await files.write(joinPath(output, STATE), writeSafetensors(parameters, { progress: JSON.stringify(progress) }));
    },
  });
  await files.write(joinPath(output, WEIGHTS), writeSafetensors(narrow(weights, settings.precision), { format: 'pt' }));
  await files.remove(joinPath(output, STATE));
  return { texts: samples.length, dropped };
}

function checkSettings({ hidden, heads, maxLength, positions, masking }: PretrainEncoderSettings, teacher: string | undefined): void {
  if (masking === 0 && teacher === undefined)
    fail({
      code: 'usage.value',
      subject: '--masking',
      found: '0',
      expected: 'more than 0 without --teacher: hidden words are learnt from',
    });
  if (hidden % heads !== 0)
    fail({ code: 'usage.value', subject: '--hidden', found: `${hidden} with ${heads} heads`, expected: 'a multiple of --heads' });
  if (maxLength > positions)
    fail({ code: 'usage.value', subject: '--max-length', found: `${maxLength}`, expected: `at most --positions, ${positions}` });
}

/** @throws usage.value for an encoder of other sizes */
async function loadInit(files: Files, folder: string, settings: PretrainEncoderSettings): Promise<Encoder> {
  const encoder = await loadEncoder(files, folder);
  const { hidden, layers, heads, intermediate, positions } = encoder.config;
  const found = { hidden, layers, heads, intermediate, positions };
  const [plain] = FAMILIES;
  for (const [size, value] of Object.entries(found)) {
    const wanted = settings[size as keyof typeof found];
    if (value !== wanted)
      fail({
        code: 'usage.value',
        subject: `--${size}`,
        found: `${wanted}`,
        expected: `${value}, as in ${folder}`,
        next: 'Give the sizes of the encoder to go on from.',
      });
  }
  if (encoder.family !== plain)
    fail({
      code: 'usage.value',
      subject: '--init',
      found: `${folder}, of the family ${encoder.family.name}`,
      expected: `${plain?.name}, which is what is made here`,
    });
  return encoder;
}

async function weightsIn({ weights }: Encoder): Promise<Map<string, Tensor>> {
  return new Map(await Promise.all([...weights].map(async ([name, weight]) => [name, await weight.read()] as const)));
}

async function loadTeacher(files: Files, folder: string, { maxLength }: PretrainEncoderSettings) {
  const encoder = await loadEncoder(files, folder);
  const most = maxTokens(encoder);
  if (maxLength > most)
    fail({
      code: 'usage.value',
      subject: '--max-length',
      found: `${maxLength}`,
      expected: `at most ${most}, what the teacher ${folder} takes`,
    });
  return { encoder, tokenizer: await loadTokenizer(files, folder) };
}

/** What decides the result. Another number of steps is another end of the same road: the learning rate falls towards it. */
async function fingerprintOf(
  { steps: _steps, saveEvery: _saveEvery, ...settings }: PretrainEncoderSettings,
  samples: readonly Sample[],
  teacher: Encoder | undefined,
): Promise<Readonly<Record<string, unknown>>> {
  return { ...settings, texts: await digestOfSamples(samples), teacher: teacher ? await digestOfEncoder(teacher) : null };
}

/** An older run's state and weights do not go with the new tokenizer. */
async function clear(files: Files, output: string, note: (text: string) => void): Promise<void> {
  if ((await files.kind(joinPath(output, STATE))) !== 'none') note(`The unfinished run in ${output} is replaced.`);
  for (const name of [STATE, WEIGHTS]) await files.remove(joinPath(output, name));
}

async function learnTokenizer(
  { files, output, settings }: PretrainEncoderOptions,
  texts: string[],
  note: (text: string) => void,
): Promise<Tokenizer> {
  note(`Learning ${settings.vocabulary} word pieces …`);
  const vocabulary = trainWordPiece(texts, { vocabularySize: settings.vocabulary, lowercase: true });
  const { tokenizer, config } = wordPieceTokenizerJson(vocabulary, { lowercase: true, modelMaxLength: settings.positions });
  await files.write(joinPath(output, 'tokenizer.json'), JSON.stringify(tokenizer));
  await files.write(joinPath(output, 'tokenizer_config.json'), `${JSON.stringify(config, null, 2)}\n`);
  return createTokenizer(tokenizer, config);
}

function configOf({ hidden, layers, heads, intermediate, positions }: PretrainEncoderSettings, vocabulary: number) {
  // The plain family is the first of the list.
  const [plain] = FAMILIES;
  return {
    model_type: String(plain?.name),
    architectures: [`${plain?.python}Model`],
    hidden_size: hidden,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    intermediate_size: intermediate,
    vocab_size: vocabulary,
    max_position_embeddings: positions,
    type_vocab_size: 2,
    hidden_act: 'gelu',
    hidden_dropout_prob: 0.1,
    attention_probs_dropout_prob: 0.1,
    layer_norm_eps: 1e-12,
    pad_token_id: 0,
  };
}

async function loadState(files: Files, output: string): Promise<Omit<PretrainProgress, 'step' | 'sampler'> & { state: PretrainState }> {
  const path = joinPath(output, STATE);
  if ((await files.kind(path)) === 'none') {
    const finished = (await files.kind(joinPath(output, WEIGHTS))) === 'file';
    return fail({
      code: 'train.resume',
      subject: output,
      found: finished ? 'a run that is finished' : 'no unfinished run',
      expected: STATE,
      next: finished
        ? 'There is nothing left to do; with --overwrite instead of --resume the encoder is made anew.'
        : 'Start without --resume.',
    });
  }
  const { tensors, metadata } = await damagedUnless(path, () => readSafetensors(files, path));
  const progress = progressSchema.safeParse(parseOrUndefined(metadata.progress));
  if (!progress.success)
    return fail({
      code: 'train.resume',
      subject: path,
      found: 'no readable progress',
      expected: 'a state as this version writes it',
      next: 'Start anew without --resume.',
    });
  const { step, sampler, ...rest } = progress.data;
  return { ...rest, state: { step, sampler, parameters: tensors } };
}

const progressSchema = z.object({
  step: count,
  sampler: samplerSchema,
  /** Bytes of the log that belong to this state. */
  logLength: count,
  /** Losses since the last line of the log. */
  unlogged: z.object({ sum: z.number(), count }),
  /** What the run was started with. */
  settings: z.record(z.string(), z.unknown()),
});

type PretrainProgress = z.output<typeof progressSchema>;

function parseOrUndefined(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '');
  } catch {
    return undefined;
  }
}

function narrow(weights: ReadonlyMap<string, Tensor>, precision: PretrainEncoderSettings['precision']): Map<string, Tensor> {
  if (precision === 'float32') return new Map(weights);
  return new Map([...weights].map(([name, { shape, data }]) => [name, { dtype: 'float16', shape, data: toFloat16(data as Float32Array) }]));
}
