import { z } from 'zod';
import { defined, joinPath } from '../base/index.ts';
import { FUSION_PRESETS, type FusionConfig, fusionConfig, parseGrammar } from '../methods/index.ts';
import { loadTask } from '../tasks/index.ts';
import { trainFusion, trainSettings } from '../train/index.ts';
import { encoderFolder } from './assets.ts';
import { defineCommand } from './command.ts';
import { candidatesOf, choose } from './fuse-candidates.ts';
import { attentionLines, choiceLines } from './fuse-report.ts';
import { layerRows, writeHeatMap } from './heat-map.ts';
import { usageOf } from './method-option.ts';
import { trainingProgress } from './progress.ts';
import { taskOptions, taskShape } from './task-options.ts';
import { noteUnsaved, render, resultFlags } from './train-report.ts';
import { engineOf, exclusionsOf, trainingShape } from './training-options.ts';

const schema = z.object({
  model: z
    .string()
    .optional()
    .meta({ value: 'folder', description: 'encoder that the adapters were made for (default: the embedded seedling)' }),
  adapter: z.array(z.string()).default([]).meta({ value: 'folder', description: 'a saved adapter to fuse; give two or more' }),
  shelf: z
    .string()
    .optional()
    .meta({ value: 'folder', description: 'fuse the adapters in the folders of this one too, as train makes them for several tasks' }),
  choose: z.number().int().positive().optional().meta({
    description:
      'fuse only so many of them: those that explain the training rows best together (LogME; no training, one pass over the rows each)',
  }),
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
    .meta({ description: 'show which adapter each layer listens to; also attention.svg and .png beside attention.json in --output' }),
  ...trainingShape,
  ...trainSettings.shape,
  ...taskShape,
});

export const command = defineCommand({
  name: 'fuse',
  summary: 'learn to mix several trained adapters for one task (AdapterFusion)',
  schema,
  async run(context, options) {
    const { files } = context;
    const candidates = await candidatesOf(files, options);
    const config = configOf(options.fusion);
    const settings = trainSettings.parse(options);
    const task = await loadTask(files, options.task, taskOptions(options));
    const engine = await engineOf(options);
    const model = await encoderFolder(files, options.model);
    const exclude = (await exclusionsOf(files, options))?.get(task.name);
    const { name, output, headLayers, pooling, limit, log, format } = options;
    const common = { files, engine, model, task, ...defined({ limit, exclude }) };
    const choice = options.choose === undefined ? undefined : await choose(context, options.choose, { ...common, settings, candidates });
    noteUnsaved(context, options.output);
    const progress = trainingProgress(context, options.model);
    try {
      const result = await trainFusion({
        ...common,
        adapters: choice?.chosen.map(({ folder }) => folder) ?? candidates,
        config,
        trainAdapters: options.unfreezeAdapters,
        settings,
        resume: options.resume,
        overwrite: options.overwrite,
        ...defined({ name, output, headLayers, pooling, log, format }),
        onEvent: progress.onEvent,
        signal: context.signal,
      });
      progress.stop();
      const { attention } = result;
      if (options.report && attention && output !== undefined) {
        const title = `${result.name}: attention to each adapter, percent`;
        await writeHeatMap(files, joinPath(output, 'attention'), layerRows(attention), title);
      }
      if (choice && output !== undefined) await files.write(joinPath(output, 'choice.json'), `${JSON.stringify(choice, null, 1)}\n`);
      const more = [
        ...(choice ? ['', ...choiceLines(choice)] : []),
        ...(options.report && attention ? ['', ...attentionLines(attention)] : []),
      ];
      const next = `multigraft predict ${resultFlags(output, options.model)} --input rows.jsonl`;
      context.stdout(context.json ? JSON.stringify({ ...result, ...defined({ choice }) }) : render(result, output, next, more));
    } finally {
      progress.stop();
    }
  },
});

/** @throws usage.value */
function configOf(text: string): FusionConfig {
  return usageOf(() => {
    const { name, values } = parseGrammar(text);
    return fusionConfig({ ...fusionConfig(name, '--fusion'), ...values }, '--fusion');
  });
}
