import { z } from 'zod';
import { fail } from '../base/index.ts';
import { POOLINGS } from '../nn/index.ts';
import { isNews } from './assets.ts';
import { type ModelFlags, modelShape, openEncoder, openFolder } from './attach.ts';
import { defineCommand } from './command.ts';
import { countProgress } from './count-progress.ts';
import { checkOutput, type InputRow, readRows, sourceOf } from './input-rows.ts';
import { checkOutputName, fileSink, linesTo } from './vector-sink.ts';

const schema = z.object({
  texts: z.array(z.string()).default([]).meta({ value: 'text', description: 'texts to embed' }),
  model: modelShape.model.meta({
    value: 'folder',
    description: 'encoder, a Hugging Face or sentence-transformers folder (default: the embedded seedling)',
  }),
  adapter: z.string().optional().meta({ value: 'folder', description: 'a saved adapter, or setup of several, that acts in the encoder' }),
  pooling: z
    .enum(POOLINGS)
    .optional()
    .meta({ description: "which vector stands for a text (default: what the encoder's modules.json says, else mean)" }),
  normalize: z
    .boolean()
    .default(false)
    .meta({ description: 'divide vectors by their length; where modules.json says so, that is done in any case' }),
  prompt: z
    .string()
    .optional()
    .meta({ value: 'name', description: 'which of the prompts in config_sentence_transformers.json goes before texts' }),
  maxLength: z.number().int().min(3).optional().meta({
    description: 'tokens per text; longer texts are cut (default: what the folder says, else as many as the encoder takes)',
  }),
  threads: modelShape.threads,
  input: z
    .string()
    .optional()
    .meta({ value: 'file', description: 'rows: .jsonl, .csv, .tsv or .parquet; - reads JSON lines from standard input' }),
  text: z.string().default('text').meta({ value: 'column', description: 'column of the text' }),
  output: z.string().default('-').meta({
    value: 'file',
    description:
      '.jsonl or .parquet, in the order of the rows, written as it is made; a file is replaced; - writes JSON lines to standard output',
  }),
});

/** Texts that are embedded, and written, at once. */
const CHUNK = 512;

export const command = defineCommand({
  name: 'embed',
  summary: 'turn texts into vectors, as sentence-transformers does, with an adapter or without',
  arguments: ['texts'],
  schema,
  async run(context, options) {
    const { files, stdout, stderr, json, signal } = context;
    const output = options.output === '/dev/stdout' ? '-' : options.output;
    checkOutputName(output);
    if (output !== '-') await checkOutput(context, { ...options, output });
    const rows = await readRows(context, { ...options, command: 'embed' });
    const source = sourceOf(options);
    const texts = rows.map((row) => textOf(row, options.text, source));
    const started = performance.now();
    const { pooling, normalize, prompt, maxLength, threads } = options;
    const model = await openEncoder(context, { ...modelDefaults, model: options.model, threads });
    if (options.adapter !== undefined) await openFolder(context, model, options.adapter);
    if (options.adapter !== undefined && model.activeAdapters === undefined)
      fail({
        code: 'usage.value',
        subject: '--adapter',
        found: `${options.adapter}, a head alone`,
        expected: 'an adapter',
        next: 'Leave it out: a head makes no vectors.',
      });
    for (const note of model.notes.filter((text) => isNews(text, options.model))) stderr(`note: ${note}`);
    const embedder = await model.embedder({
      normalize,
      ...(pooling && { pooling }),
      ...(prompt !== undefined && { prompt }),
      ...(maxLength !== undefined && { maxLength }),
      onNote: (text) => stderr(`note: ${text}`),
    });
    const progress = await countProgress(context, 'texts');
    const partial = `${output}.partial`;
    try {
      const sink = output === '-' ? linesTo(async (text) => stdout(text.trimEnd())) : await fileSink(files, partial, output, rows);
      for (let from = 0; from < texts.length; from += CHUNK) {
        if (signal.aborted)
          fail({ code: 'train.stopped', subject: 'embed', found: `${from} of ${texts.length} texts done`, next: 'Run the command again.' });
        const vectors = await embedder.embed(texts.slice(from, from + CHUNK), (done) => progress.onProgress(from + done, texts.length));
        await sink.write(rows.slice(from, from + CHUNK), vectors);
      }
      await sink.finish();
      if (output !== '-') await files.rename(partial, output);
    } catch (error) {
      if (output !== '-') await files.remove(partial);
      throw error;
    } finally {
      progress.stop();
      await embedder.release();
      await model.release();
    }
    const { cut, maxLength: read } = embedder;
    if (cut > 0) stderr(`note: ${cut} of ${texts.length} texts are longer than ${read} tokens and were cut.`);
    if (output === '-') return;
    const { width, normalizes } = embedder;
    const report = {
      rows: texts.length,
      width,
      pooling: embedder.pooling,
      normalized: normalizes,
      output,
      seconds: (performance.now() - started) / 1000,
    };
    stdout(
      json
        ? JSON.stringify(report)
        : `${texts.length} vectors of ${width} numbers (${embedder.pooling}${normalizes ? ', of length 1' : ''}) in ${report.seconds.toFixed(1)} s, in ${output}`,
    );
  },
});

const modelDefaults: Omit<ModelFlags, 'model' | 'threads'> = {
  adapter: [],
  fusion: [],
  setup: undefined,
  skipLayers: [],
  head: [],
  maxLength: undefined,
};

/** @throws task.row */
function textOf({ value, line }: InputRow, column: string, file: string): string {
  const text = value[column];
  if (typeof text === 'string') return text;
  return fail({
    code: 'task.row',
    subject: `${file}:${line}, column "${column}"`,
    found:
      text === undefined
        ? `no such column (there are ${Object.keys(value)
            .map((name) => `"${name}"`)
            .join(', ')})`
        : JSON.stringify(text),
    expected: 'a text',
    next: 'Name the column of the text with --text.',
  });
}
