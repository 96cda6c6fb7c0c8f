import { z } from 'zod';
import { fail } from '../base/errors.ts';
import { type Files, joinPath } from '../base/files.ts';
import { type Tensor, toFloat16 } from '../base/tensor.ts';
import { configFields } from '../encoders/fields.ts';
import { FAMILIES, familyOf, loadEncoder } from '../encoders/index.ts';
import { readSafetensors, writeSafetensors } from '../formats/safetensors.ts';
import type { Engine } from '../session/session.ts';
import { createTokenizer, loadTokenizer, type Tokenizer, trainWordPiece, wordPieceTokenizerJson } from '../text/index.ts';
import { loadCorpus } from './corpus.ts';
import { type PretrainState, pretrain } from './pretrain.ts';
import type { TrainEvent } from './settings.ts';

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

export interface PretrainEncoderOptions {
  readonly files: Files;
  readonly engine: Engine;
  /** .txt files (a text a line) and task folders (their training rows). */
  readonly data: readonly string[];
  /** Task folders whose validation and test texts must not be learnt from. */
  readonly unseen: readonly string[];
  readonly output: string;
  /** Folder of an encoder whose hidden states are to be matched. */
  readonly teacher?: string;
  readonly resume?: boolean;
  readonly settings: PretrainEncoderSettings;
  readonly onEvent?: (event: TrainEvent) => void;
  readonly signal?: AbortSignal;
}

const STATE = 'state.safetensors';
/** Steps between lines of the log: each is the mean of as many. */
const LOG_STEPS = 50;

/**
 * Makes an encoder folder (config, tokenizer, weights, log) from plain text; see {@link pretrain} for how it learns.
 * @throws train.resume, train.stopped, task.empty, and what reading texts and teacher throws
 */
export async function pretrainEncoder(options: PretrainEncoderOptions): Promise<{ texts: number; dropped: number }> {
  const { files, engine, output, teacher, settings, signal } = options;
  const note = (text: string) => options.onEvent?.({ type: 'note', text });
  const { samples, dropped } = await loadCorpus(files, options.data, options.unseen);
  note(`${samples.length} texts; ${dropped} left out because they stand in validation or test rows.`);
  const saved = options.resume ? await loadState(files, output) : undefined;
  const tokenizer = saved ? await loadTokenizer(files, output) : await learnTokenizer(options, samples.flat(), note);
  const fields = configOf(settings, tokenizer.vocabularySize);
  const path = joinPath(output, 'config.json');
  await files.write(path, `${JSON.stringify(fields, null, 2)}\n`);
  const family = familyOf(fields.model_type, path);

  const log = joinPath(output, 'log.jsonl');
  if (saved) await files.truncate(log, saved.logLength);
  else await files.write(log, '');
  let [sum, count] = [0, 0];
  const weights = await pretrain({
    engine,
    family,
    // So few passes over so little text do not overfit: dropout would only slow the learning.
    config: { ...family.config(configFields(fields, path)), hiddenDropout: 0, attentionDropout: 0 },
    tokenizer,
    samples,
    settings,
    ...(teacher !== undefined && {
      teacher: { encoder: await loadEncoder(files, teacher), tokenizer: await loadTokenizer(files, teacher) },
    }),
    ...(saved && { resume: saved.state }),
    ...(signal && { signal }),
    async onEvent(event) {
      options.onEvent?.(event);
      if (event.type !== 'step') return;
      sum += event.loss;
      count++;
      if (event.step % LOG_STEPS !== 0) return;
      const { step, epoch, learningRate, examplesPerSecond } = event;
      await files.append(log, `${JSON.stringify({ step, epoch, loss: sum / count, learningRate, textsPerSecond: examplesPerSecond })}\n`);
      [sum, count] = [0, 0];
    },
    async save({ step, sampler, parameters }) {
      const progress = JSON.stringify({ step, sampler, logLength: await files.size(log) });
      await files.write(joinPath(output, STATE), writeSafetensors(parameters, { progress }));
    },
  });
  await files.write(joinPath(output, 'model.safetensors'), writeSafetensors(narrow(weights, settings.precision), { format: 'pt' }));
  await files.remove(joinPath(output, STATE));
  return { texts: samples.length, dropped };
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
  if (hidden % heads !== 0)
    fail({ code: 'usage.value', subject: '--hidden', found: `${hidden} with ${heads} heads`, expected: 'a multiple of --heads' });
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

async function loadState(files: Files, output: string): Promise<{ state: PretrainState; logLength: number }> {
  const path = joinPath(output, STATE);
  if ((await files.kind(path)) === 'none')
    return fail({ code: 'train.resume', subject: output, found: 'no unfinished run', expected: STATE, next: 'Start without --resume.' });
  const { tensors, metadata } = await readSafetensors(files, path);
  const progress = progressSchema.safeParse(parseOrUndefined(metadata.progress));
  if (!progress.success)
    return fail({
      code: 'train.resume',
      subject: path,
      found: 'no readable progress',
      expected: 'what an unfinished run saves',
      next: 'Start without --resume.',
    });
  const { logLength, ...rest } = progress.data;
  return { state: { ...rest, parameters: tensors }, logLength };
}

const whole = z.number().int().nonnegative();
const progressSchema = z.object({
  step: whole,
  sampler: z.object({ epoch: whole, batch: whole, rowCount: whole, batchSize: whole, shuffle: z.boolean(), seed: z.number() }),
  logLength: whole,
});

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
