import { z } from 'zod';
import { defined, fail, joinPath } from '../base/index.ts';
import { loadTask } from '../tasks/index.ts';
import {
  extendCaMtl,
  loadGrowing,
  type MultiTaskMethod,
  multiTaskMethod,
  multiTaskMethodNames,
  multiTaskSettings,
  runMultiTask,
} from '../train/index.ts';
import { encoderFolder, modelFolder } from './assets.ts';
import { defineCommand } from './command.ts';
import { periodRows, writeHeatMap } from './heat-map.ts';
import { usageOf } from './method-option.ts';
import { renderMultiTask } from './multitask-report.ts';
import { trainingProgress } from './progress.ts';
import { noteUnsaved } from './train-report.ts';
import { engineOf, exclusionsOf, trainingShape } from './training-options.ts';

const schema = z.object({
  model: z.string().optional().meta({ value: 'folder', description: 'encoder, a Hugging Face folder (default: the embedded seedling)' }),
  task: z
    .array(z.string())
    .default([])
    .meta({ value: 'path', description: 'task folder with card.json, or one file of rows; give two or more' }),
  method: z
    .string()
    .default('ca_mtl_base')
    .meta({
      description: `how tasks share the encoder: ${multiTaskMethodNames().join(', ')}, or a method that each task gets one of; settings in brackets`,
    }),
  trainEncoder: z
    .boolean()
    .default(false)
    .meta({ description: 'train the encoder with the modules (adapters: MT-A; pals: as in their paper)' }),
  add: z.boolean().default(false).meta({ description: 'add the tasks to the CA-MTL model in --model; its other tasks keep their answers' }),
  like: z
    .string()
    .optional()
    .meta({ value: 'task', description: 'with --add: the task that new ones begin as (default: the one whose rows are most alike)' }),
  output: z.string().optional().meta({ value: 'folder', description: 'where model, card and metrics go' }),
  resume: trainingShape.resume,
  overwrite: trainingShape.overwrite,
  headLayers: trainingShape.headLayers.meta({
    description: 'linears in each head (default: 1; 2 for adapters, but for tagging and spans)',
  }),
  pooling: trainingShape.pooling.meta({
    description:
      "what heads read of each row, where they read one vector: first, pooler, mean, max or mean_sqrt_len (default: what a sentence encoder's modules.json says, else the pooler where the encoder trains and has one, else first)",
  }),
  limit: trainingShape.limit.meta({ description: 'read at most this many rows of each split of each task' }),
  exclude: trainingShape.exclude,
  threads: trainingShape.threads,
  log: trainingShape.log,
  ...multiTaskSettings.shape,
});

export const command = defineCommand({
  name: 'multitask',
  summary: 'train one model on several tasks at once (CA-MTL, and other ways of sharing an encoder)',
  schema,
  async run(context, options) {
    const { files } = context;
    const settings = multiTaskSettings.parse(options);
    checkFlags(options);
    const model = await (options.add ? modelFolder : encoderFolder)(files, options.model);
    const method = options.add ? extendCaMtl(await loadGrowing(files, model), defined({ like: options.like })) : usageOfMethod(options);
    const tasks = await Promise.all(options.task.map((path) => loadTask(files, path)));
    const exclude = await exclusionsOf(files, options);
    const engine = await engineOf(options);
    const progress = trainingProgress(context, options.model);
    let begun = false;
    const { output, headLayers, pooling, limit, log } = options;
    try {
      const result = await runMultiTask({
        files,
        engine,
        model,
        tasks,
        method,
        settings,
        resume: options.resume,
        overwrite: options.overwrite,
        ...defined({ output, headLayers, pooling, limit, exclude, log }),
        onEvent(event) {
          if (!begun && event.type === 'step') noteUnsaved(context, output);
          begun ||= event.type === 'step';
          progress.onEvent(event);
        },
        signal: context.signal,
      });
      progress.stop();
      const { overTime } = result.sampling ?? {};
      if (overTime && output !== undefined) {
        const title = 'Rows that trained, percent of each task, by steps';
        await writeHeatMap(files, joinPath(output, 'sampling'), periodRows(overTime), title);
      }
      context.stdout(context.json ? JSON.stringify(result) : renderMultiTask(result, method, options));
    } finally {
      progress.stop();
    }
  },
});

/** Settings that do not fit the encoder are found out when the method is attached: wrong usage as well. @throws usage.value */
function usageOfMethod({ method: text, trainEncoder }: z.output<typeof schema>): MultiTaskMethod {
  const method = usageOf(() => multiTaskMethod(text, { trainEncoder }));
  return { ...method, attach: (...facts) => usageOf(() => method.attach(...facts)) };
}

/** Refuses what would have no effect. @throws usage.flag */
function checkFlags(options: z.output<typeof schema>): void {
  const { add, sampler } = options;
  const refuse = (subject: string, found: string, expected: string) => fail({ code: 'usage.flag', subject, found, expected });
  if (options.like !== undefined && !add) refuse('--like', 'it without --add', '--add, with a CA-MTL model in --model');
  if (add && options.trainEncoder) refuse('--add', 'it with --train-encoder', 'one of them: --add changes no weights');
  if (add && options.model === undefined) refuse('--add', 'it without --model', '--model, the folder of a CA-MTL model');
  if (add && options.method !== schema.shape.method.parse(undefined))
    refuse('--method', 'it with --add', 'one of them: new tasks share the encoder as those of --model do');
  const { shape } = multiTaskSettings;
  const isSet = (key: 'temperature' | 'candidates' | 'refresh' | 'scoring' | 'taskFactor' | 'regressionScore') =>
    options[key] !== shape[key].parse(undefined);
  if (sampler !== 'temperature' && isSet('temperature')) refuse('--temperature', `it with the sampler ${sampler}`, '--sampler temperature');
  const scored = {
    candidates: '--candidates',
    refresh: '--refresh',
    scoring: '--scoring',
    taskFactor: '--no-task-factor',
    regressionScore: '--regression-score',
  } as const;
  for (const [key, flag] of Object.entries(scored))
    if (sampler !== 'uncertainty' && isSet(key as keyof typeof scored))
      refuse(flag, `it with the sampler ${sampler}`, '--sampler uncertainty');
}
