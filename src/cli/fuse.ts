import { z } from 'zod';
import { fail, MultigraftError } from '../base/errors.ts';
import { joinPath } from '../base/files.ts';
import { FUSION_PRESETS, type FusionConfig, fusionConfig, parseGrammar } from '../methods/index.ts';
import { nodeEngine } from '../session/node.ts';
import { loadTask } from '../tasks/index.ts';
import { type AttentionTable, trainFusion, trainSettings } from '../train/index.ts';
import { modelFolder } from './assets.ts';
import { defineCommand } from './command.ts';
import { heatMap, heatMapPng, siteLabel } from './heat-map.ts';
import { trainingProgress } from './progress.ts';
import { alignColumns } from './table.ts';
import { taskOptions, taskShape } from './task-options.ts';
import { render } from './train-report.ts';

const schema = z.object({
  model: z
    .string()
    .optional()
    .meta({ value: 'folder', description: 'encoder that the adapters were made for (default: the embedded seedling)' }),
  adapter: z.array(z.string()).default([]).meta({ value: 'folder', description: 'a saved adapter to fuse; give two or more' }),
  task: z.string().meta({ value: 'path', description: 'task folder with card.json, or one file of rows' }),
  fusion: z
    .string()
    .default('dynamic')
    .meta({
      description: `how to mix: ${Object.keys(FUSION_PRESETS).join(' or ')}; settings in brackets, dynamic[temperature=True]`,
    }),
  unfreezeAdapters: z.boolean().default(false).meta({ description: 'train the adapters with the fusion' }),
  output: z.string().optional().meta({ value: 'folder', description: 'where adapters, fusion, head, card and metrics go' }),
  name: z.string().optional().meta({ description: 'name of fusion and head (default: the task and -fusion)' }),
  report: z
    .boolean()
    .default(false)
    .meta({ description: 'show which adapter each layer listens to; also attention.json, .svg and .png in --output' }),
  resume: z.boolean().default(false).meta({ description: 'go on with the unfinished run in --output' }),
  overwrite: z.boolean().default(false).meta({ description: 'replace an earlier result, or an unfinished run, in --output' }),
  headLayers: z.number().int().min(1).max(8).optional().meta({ description: 'linears in the head (default: 2; 1 for tagging and spans)' }),
  limit: z.number().int().positive().optional().meta({ description: 'read at most this many rows of each split' }),
  format: z.enum(['bin', 'safetensors']).optional().meta({ description: 'weight files; Python reads bin by default' }),
  threads: z.number().int().positive().optional().meta({ description: 'threads of the engine (default: all cores)' }),
  log: z
    .string()
    .optional()
    .meta({ value: 'file', description: 'log of steps and evaluations, a JSON object a line (default: log.jsonl in --output)' }),
  ...trainSettings.shape,
  ...taskShape,
});

export const command = defineCommand({
  name: 'fuse',
  summary: 'learn to mix several trained adapters for one task (AdapterFusion)',
  schema,
  async run(context, options) {
    const { files } = context;
    if (options.adapter.length < 2)
      fail({
        code: 'usage.flag',
        subject: '--adapter',
        found: options.adapter.length === 0 ? 'none' : 'one adapter',
        expected: 'two or more adapters to mix',
        next: 'Train them with multigraft train, one for each task, and give --adapter FOLDER for each.',
      });
    const config = configOf(options.fusion);
    const settings = trainSettings.parse(options);
    const task = await loadTask(files, options.task, taskOptions(options));
    const engine = await nodeEngine(options.threads === undefined ? {} : { threads: options.threads });
    const progress = trainingProgress(context);
    const { name, output, headLayers, limit, log, format } = options;
    try {
      const result = await trainFusion({
        files,
        engine,
        model: await modelFolder(files, options.model),
        task,
        adapters: options.adapter,
        config,
        trainAdapters: options.unfreezeAdapters,
        settings,
        resume: options.resume,
        overwrite: options.overwrite,
        ...Object.fromEntries(Object.entries({ name, output, headLayers, limit, log, format }).filter(([, value]) => value !== undefined)),
        onEvent: progress.onEvent,
        signal: context.signal,
      });
      progress.stop();
      const { attention } = result;
      if (options.report && attention && output !== undefined) {
        await files.write(joinPath(output, 'attention.json'), `${JSON.stringify(attention, null, 1)}\n`);
        const title = `${result.name}: attention to each adapter, percent`;
        await files.write(joinPath(output, 'attention.svg'), heatMap(attention, title));
        await files.write(joinPath(output, 'attention.png'), heatMapPng(attention, title));
      }
      context.stdout(
        context.json
          ? JSON.stringify(result)
          : render(result, output, nextCommand(options), options.report && attention ? ['', ...attentionLines(attention)] : []),
      );
    } finally {
      progress.stop();
    }
  },
});

/** @throws usage.value */
function configOf(text: string): FusionConfig {
  try {
    const { name, values } = parseGrammar(text);
    return fusionConfig({ ...fusionConfig(name, '--fusion'), ...values }, '--fusion');
  } catch (error) {
    if (!(error instanceof MultigraftError) || error.code !== 'method.config') throw error;
    return fail({ ...error.problem, code: 'usage.value' });
  }
}

function nextCommand({ output, model }: { output?: string | undefined; model?: string | undefined }): string {
  return `multigraft predict ${model === undefined ? '' : `--model ${model} `}--adapter ${output} --input rows.jsonl`;
}

function attentionLines({ adapters, sites, mean, rows }: AttentionTable): string[] {
  const percent = (shares: readonly number[]) => shares.map((share) => (100 * share).toFixed(1));
  const table = [['', ...adapters], ...sites.map((site) => [siteLabel(site), ...percent(site.attention)]), ['mean', ...percent(mean)]];
  return [
    `Attention to each adapter, percent, over ${rows} rows:`,
    ...alignColumns(
      table,
      adapters.map((_, i) => i + 1),
    ),
    '',
  ];
}
