import { z } from 'zod';
import { defined, fail } from '../base/index.ts';
import { type ConfiguredMethod, DEFAULT_METHOD } from '../methods/index.ts';
import { kindForTask } from '../objectives/index.ts';
import { loadTask, type Task } from '../tasks/index.ts';
import { trainSettings, trainTask, trainTasks } from '../train/index.ts';
import { encoderFolder } from './assets.ts';
import { defineCommand } from './command.ts';
import { countProgress } from './count-progress.ts';
import { methodToTrain } from './method-option.ts';
import { trainingProgress } from './progress.ts';
import { taskOptions, taskShape } from './task-options.ts';
import { noteUnsaved, render, renderSeveral, resultFlags } from './train-report.ts';
import { engineOf, exclusionsOf, trainingShape } from './training-options.ts';

const schema = z.object({
  model: z.string().optional().meta({ value: 'folder', description: 'encoder, a Hugging Face folder (default: the embedded seedling)' }),
  task: z.array(z.string()).default([]).meta({
    value: 'path',
    description:
      'task folder with card.json, or one file of rows; may be repeated: then each gets its own adapter, in a folder of its name in --output',
  }),
  method: z
    .string()
    .optional()
    .meta({
      description: `what to train: multigraft methods lists them; settings in brackets, ${DEFAULT_METHOD}[reduction_factor=8] (default: that of --init, else ${DEFAULT_METHOD})`,
    }),
  output: z.string().optional().meta({ value: 'folder', description: 'where adapter, head, card and metrics go' }),
  name: z.string().optional().meta({ description: 'name of adapter and head (default: the task)' }),
  init: z.string().optional().meta({
    value: 'folder',
    description: 'a saved adapter to start from, with its method and settings; its head too where it gives the same labels',
  }),
  headStart: z.enum(['solved']).optional().meta({
    description: 'begin with a head of one linear that is solved exactly, by logistic or ridge regression (default: drawn)',
  }),
  contrastive: z.boolean().default(false).meta({
    description:
      'few rows: train the adapter on pairs of rows, alike or not, then solve the head exactly (default steps, rows a step and learning rate: 30, 32, 0.002)',
  }),
  ...trainingShape,
  ...trainSettings.shape,
  ...taskShape,
});

export const command = defineCommand({
  name: 'train',
  summary: 'train an adapter (or the whole encoder, or only a head) on one task',
  schema,
  async run(context, options) {
    const settings = trainSettings.parse(options);
    const folder = await encoderFolder(context.files, options.model);
    const method = await methodToTrain(context.files, folder, options);
    const [task, ...others] = await Promise.all(tasksIn(options.task).map((path) => loadTask(context.files, path, taskOptions(options))));
    if (!task) return;
    const engine = await engineOf(options);
    if (others.length === 0) noteUnsaved(context, options.output);
    const progress = trainingProgress(context, options.model);
    const reading = await countProgress(context, 'rows read by the encoder');
    const exclusions = await exclusionsOf(context.files, options);
    const { model, name, output, init, headLayers, headStart, contrastive, pooling, limit, log, format } = options;
    const common = {
      files: context.files,
      engine,
      model: folder,
      method,
      settings,
      resume: options.resume,
      overwrite: options.overwrite,
      ...defined({ headLayers, headStart, pooling, limit, format }),
      ...(contrastive && { contrastive }),
      onProgress: reading.onProgress,
      onEvent: progress.onEvent,
      signal: context.signal,
    };
    try {
      if (others.length > 0) {
        const results = await trainTasks({
          ...common,
          tasks: [task, ...others],
          ...defined({ exclusions }),
          output: outputForSeveral(options),
          onTask: ({ name: which }, i) => {
            progress.restart();
            context.stderr(`${i}/${others.length + 1} ${which}`);
          },
        });
        progress.stop();
        context.stdout(context.json ? JSON.stringify(results) : renderSeveral(results, [task, ...others], output as string));
        return;
      }
      const result = await trainTask({ ...common, task, ...defined({ name, output, init, log, exclude: exclusions?.get(task.name) }) });
      progress.stop();
      context.stdout(context.json ? JSON.stringify(result) : render(result, output, nextCommand(output, model, method, task)));
    } finally {
      reading.stop();
      progress.stop();
    }
  },
});

/** @throws usage.flag */
function tasksIn(paths: readonly string[]): readonly string[] {
  if (paths.length === 0)
    fail({ code: 'usage.flag', subject: '--task', found: 'nothing', expected: 'a path', next: 'Give --task <path>.' });
  return paths;
}

/** @throws usage.flag */
function outputForSeveral({
  output,
  ...options
}: {
  output?: string | undefined;
  name?: string | undefined;
  init?: string | undefined;
  log?: string | undefined;
}): string {
  const single = (['name', 'init', 'log'] as const).find((flag) => options[flag] !== undefined);
  if (single)
    fail({
      code: 'usage.flag',
      subject: `--${single}`,
      found: 'several tasks',
      expected: 'one task',
      next: `Leave out --${single}, or train the tasks one by one.`,
    });
  return (
    output ??
    fail({
      code: 'usage.flag',
      subject: '--output',
      found: 'nothing',
      expected: 'a folder',
      next: 'Several tasks go to folders of their names in it.',
    })
  );
}

function nextCommand(output: string | undefined, model: string | undefined, { method }: ConfiguredMethod, { kind }: Task): string {
  const asked = kindForTask(kind).columns({});
  const rows = asked.length === 1 ? '"A text of your own."' : '--input rows.jsonl';
  return `multigraft predict ${resultFlags(output, model, method.trainsEncoder)} ${rows}`;
}
