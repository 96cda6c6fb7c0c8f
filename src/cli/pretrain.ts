import { z } from 'zod';
import { fail } from '../base/errors.ts';
import { joinPath } from '../base/files.ts';
import { type Tensor, toFloat16 } from '../base/tensor.ts';
import { configFields } from '../encoders/fields.ts';
import { FAMILIES, familyOf, loadEncoder } from '../encoders/index.ts';
import { readSafetensors, writeSafetensors } from '../formats/safetensors.ts';
import { nodeEngine } from '../session/node.ts';
import { createTokenizer, loadTokenizer, trainWordPiece, wordPieceTokenizerJson } from '../text/index.ts';
import { loadCorpus, type PretrainState, pretrain } from '../train/index.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { trainingProgress } from './progress.ts';

const schema = z.object({
  data: z.array(z.string()).meta({
    value: 'path',
    description: 'text to learn from: .txt files (a text a line) and task folders (their training rows); may be repeated',
  }),
  unseen: z
    .array(z.string())
    .default([])
    .meta({ value: 'folder', description: 'tasks whose validation and test texts must not be learnt from; may be repeated' }),
  output: z.string().meta({ value: 'folder', description: 'where the encoder goes' }),
  teacher: z
    .string()
    .optional()
    .meta({ value: 'folder', description: 'a larger encoder whose hidden states are to be matched, instead of guessing masked words' }),
  vocabulary: z.number().int().min(100).default(8000).meta({ description: 'WordPiece tokens' }),
  layers: z.number().int().positive().default(4).meta({ description: 'layers of the encoder' }),
  hidden: z.number().int().positive().default(256).meta({ description: 'hidden units' }),
  heads: z.number().int().positive().default(4).meta({ description: 'attention heads' }),
  intermediate: z.number().int().positive().default(1024).meta({ description: 'inner units of the feed-forward part' }),
  steps: z.number().int().positive().default(10000).meta({ description: 'batches to learn from' }),
  batchSize: z.number().int().positive().default(64).meta({ description: 'texts per step' }),
  maxLength: z.number().int().min(8).default(64).meta({ description: 'tokens per text while learning' }),
  positions: z.number().int().min(8).default(256).meta({ description: 'tokens per text that the encoder will take' }),
  learningRate: z.number().positive().default(1e-3).meta({ description: 'step size at the end of warm-up; falls linearly to 0' }),
  warmup: z.number().int().min(0).default(500).meta({ description: 'steps of warm-up' }),
  masking: z.number().min(0).max(0.5).default(0.15).meta({ description: 'share of tokens hidden from the encoder' }),
  seed: z.number().int().default(1).meta({ description: 'fixes initial values, order and masking' }),
  saveEvery: z.number().int().positive().default(200).meta({ description: 'steps between saved states' }),
  precision: z.enum(['float32', 'float16']).default('float16').meta({ description: 'numbers on disk' }),
  threads: z.number().int().positive().optional().meta({ description: 'threads of the engine (default: all cores)' }),
  resume: z.boolean().default(false).meta({ description: 'go on with the unfinished run in --output' }),
});
type Options = z.output<typeof schema>;

export const command = defineCommand({
  name: 'pretrain',
  summary: 'make a small encoder from plain text: by guessing masked words, or by learning from a larger encoder',
  schema,
  async run(context, options) {
    const { files } = context;
    const engine = await nodeEngine(options.threads === undefined ? {} : { threads: options.threads });
    const { samples, dropped } = await loadCorpus(files, options.data, options.unseen);
    context.stderr(`${samples.length} texts; ${dropped} left out because they stand in validation or test rows.`);
    const tokenizer = await ownTokenizer(context, options, samples.flat());
    const fields = configOf(options, tokenizer.vocabularySize);
    const path = joinPath(options.output, 'config.json');
    await files.write(path, `${JSON.stringify(fields, null, 2)}\n`);
    const family = familyOf(String(fields.model_type), path);
    const statePath = joinPath(options.output, 'state.safetensors');
    const progress = trainingProgress(context);
    const log = joinPath(options.output, 'log.jsonl');
    const resume = options.resume ? await loadState(context, options.output) : undefined;
    if (resume) await files.truncate(log, resume.logLength);
    else await files.write(log, '');
    let [sum, count] = [0, 0];
    const weights = await pretrain({
      engine,
      family,
      // So few passes over so little text do not overfit: dropout would only slow the learning.
      config: { ...family.config(configFields(fields, path)), hiddenDropout: 0, attentionDropout: 0 },
      tokenizer,
      samples,
      settings: options,
      ...(options.teacher !== undefined && {
        teacher: { encoder: await loadEncoder(files, options.teacher), tokenizer: await loadTokenizer(files, options.teacher) },
      }),
      ...(resume && { resume }),
      signal: context.signal,
      async onEvent(event) {
        progress.onEvent(event);
        if (event.type !== 'step') return;
        sum += event.loss;
        count++;
        if (event.step % 50 !== 0) return;
        await files.append(
          log,
          `${JSON.stringify({ step: event.step, epoch: event.epoch, loss: sum / count, learningRate: event.learningRate, textsPerSecond: event.examplesPerSecond })}\n`,
        );
        [sum, count] = [0, 0];
      },
      async save({ step, sampler, parameters }) {
        await files.write(
          statePath,
          writeSafetensors(parameters, { progress: JSON.stringify({ step, sampler, logLength: await files.size(log) }) }),
        );
      },
    });
    progress.stop();
    await files.write(
      joinPath(options.output, 'model.safetensors'),
      writeSafetensors(narrow(weights, options.precision), { format: 'pt' }),
    );
    await files.remove(statePath);
    context.stdout(
      context.json ? JSON.stringify({ output: options.output, steps: options.steps, texts: samples.length }) : `Saved in ${options.output}`,
    );
  },
});

/** The tokenizer of an earlier start of the same run, or a new one learnt from the texts. */
async function ownTokenizer({ files, stderr }: CommandContext, { output, vocabulary, positions, resume }: Options, texts: string[]) {
  if (resume) return loadTokenizer(files, output);
  stderr(`Learning ${vocabulary} word pieces …`);
  const learnt = trainWordPiece(texts, { vocabularySize: vocabulary, lowercase: true });
  const { tokenizer, config } = wordPieceTokenizerJson(learnt, { lowercase: true, modelMaxLength: positions });
  await files.write(joinPath(output, 'tokenizer.json'), JSON.stringify(tokenizer));
  await files.write(joinPath(output, 'tokenizer_config.json'), `${JSON.stringify(config, null, 2)}\n`);
  return createTokenizer(tokenizer, config);
}

function configOf({ hidden, layers, heads, intermediate, positions }: Options, vocabulary: number) {
  return {
    // The plain family: the first of the list.
    model_type: FAMILIES[0]?.name,
    architectures: [`${FAMILIES[0]?.python}Model`],
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

async function loadState({ files }: CommandContext, output: string): Promise<PretrainState & { logLength: number }> {
  const path = joinPath(output, 'state.safetensors');
  if ((await files.kind(path)) === 'none')
    return fail({
      code: 'train.resume',
      subject: output,
      found: 'no unfinished run',
      expected: 'state.safetensors',
      next: 'Start without --resume.',
    });
  const { tensors, metadata } = await readSafetensors(files, path);
  return { ...JSON.parse(metadata.progress ?? '{}'), parameters: tensors } as PretrainState & { logLength: number };
}

function narrow(weights: ReadonlyMap<string, Tensor>, precision: Options['precision']): Map<string, Tensor> {
  if (precision === 'float32') return new Map(weights);
  return new Map([...weights].map(([name, { shape, data }]) => [name, { dtype: 'float16', shape, data: toFloat16(data as Float32Array) }]));
}
