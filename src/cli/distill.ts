import { z } from 'zod';
import { defined } from '../base/index.ts';
import { loadTask } from '../tasks/index.ts';
import { distillFusion, trainSettings } from '../train/index.ts';
import { encoderFolder } from './assets.ts';
import { defineCommand } from './command.ts';
import { methodOf } from './method-option.ts';
import { trainingProgress } from './progress.ts';
import { taskOptions, taskShape } from './task-options.ts';
import { noteUnsaved, render, resultFlags } from './train-report.ts';
import { engineOf, trainingShape } from './training-options.ts';

const schema = z.object({
  model: z
    .string()
    .optional()
    .meta({ value: 'folder', description: 'encoder that the fusion was made for (default: the embedded seedling)' }),
  adapter: z.string().meta({ value: 'folder', description: 'a fusion with its adapters and head, as multigraft fuse saves it' }),
  task: z.string().meta({ value: 'path', description: 'its task; the labels of training rows decide nothing, any of its labels will do' }),
  start: z
    .string()
    .optional()
    .meta({ description: "the fused adapter to start from (default: the one of the task's name, if there is one)" }),
  method: z.string().optional().meta({ description: 'what the one adapter is (default: as the adapter to start from)' }),
  output: z.string().optional().meta({ value: 'folder', description: 'where adapter, head, card and metrics go' }),
  name: z.string().optional().meta({ description: 'name of adapter and head (default: the task)' }),
  resume: trainingShape.resume,
  overwrite: trainingShape.overwrite,
  limit: trainingShape.limit,
  format: trainingShape.format,
  threads: trainingShape.threads,
  ...trainSettings.shape,
  ...taskShape,
});

export const command = defineCommand({
  name: 'distill',
  summary: 'turn a fusion into one adapter that answers like it, at the cost of one',
  schema,
  async run(context, options) {
    const task = await loadTask(context.files, options.task, taskOptions(options));
    noteUnsaved(context, options.output);
    const progress = trainingProgress(context, options.model);
    const { start, name, output, limit, format, method } = options;
    try {
      const result = await distillFusion({
        files: context.files,
        engine: await engineOf(options),
        model: await encoderFolder(context.files, options.model),
        task,
        teacher: options.adapter,
        settings: trainSettings.parse(options),
        resume: options.resume,
        overwrite: options.overwrite,
        ...defined({ start, name, output, limit, format, method: method === undefined ? undefined : methodOf(method) }),
        onEvent: progress.onEvent,
        signal: context.signal,
      });
      progress.stop();
      const next = `multigraft predict ${resultFlags(output, options.model)} --input rows.jsonl`;
      context.stdout(context.json ? JSON.stringify(result) : render(result, output, next));
    } finally {
      progress.stop();
    }
  },
});
