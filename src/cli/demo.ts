import { z } from 'zod';
import { AutoAdapterModel } from '../auto-adapter-model/index.ts';
import { type Files, joinPath } from '../base/index.ts';
import { loadTask, type Task } from '../tasks/index.ts';
import { assetPath, modelFolder } from './assets.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { caMtlLines, compareCaMtl } from './demo-ca-mtl.ts';
import { compareFusion, fusionLines } from './demo-fusion.ts';
import { closing, type DemoResult, opening, progressLine } from './demo-report.ts';
import { FRESH } from './demo-rows.ts';
import { DEMO } from './demo-settings.ts';
import { trainingProgress } from './progress.ts';
import { engineOf } from './training-options.ts';

const schema = z.object({
  fast: z.boolean().default(false).meta({ description: 'fewer rows and passes: about a minute, lower scores' }),
  model: z.string().optional().meta({ value: 'folder', description: 'another encoder (default: the embedded seedling)' }),
  epochs: z.number().positive().optional().meta({ description: 'passes over the training rows (default: 8, or 3 with --fast)' }),
  limit: z
    .number()
    .int()
    .positive()
    .optional()
    .meta({ description: 'train on at most this many rows (default: all, or 300 with --fast); all test rows are scored' }),
  fusion: z
    .boolean()
    .default(true)
    .meta({ description: 'leave out the comparison of AdapterFusion with one adapter, five seeds (also left out with --fast)' }),
  multitask: z.boolean().default(true).meta({ description: 'leave out the one CA-MTL model of all tasks (also left out with --fast)' }),
  output: z.string().optional().meta({ value: 'folder', description: 'keep the adapters here' }),
  seed: z.number().int().default(1).meta({ description: 'fixes initial values, order of rows and dropout' }),
  threads: z.number().int().positive().optional().meta({ description: 'threads of the engine (default: all cores)' }),
});
type Options = z.output<typeof schema>;

export const command = defineCommand({
  name: 'demo',
  summary: 'train adapters for five small tasks on the embedded encoder, score, fuse and use them, and compare them with one CA-MTL model',
  schema,
  async run(context, options) {
    const { files, json, stdout } = context;
    const started = performance.now();
    const tell = (text: string) => (json ? undefined : stdout(text));
    const folder = await modelFolder(files, options.model);
    const engine = await engineOf(options);
    const model = await AutoAdapterModel.fromPretrained(folder, { files, engine });
    const tasks = await demoTasks(files);
    tell(opening(model, tasks));

    const results: DemoResult[] = [];
    for (const task of tasks) {
      const result = await runTask(context, options, model, task);
      tell(progressLine(result, results.length + 1, tasks.length, task));
      results.push(result);
    }
    const comparison = options.fusion && !options.fast ? await compareFusion(context, model, tasks, options) : undefined;
    await model.release();
    const together =
      options.multitask && !options.fast ? await compareCaMtl(context, { ...options, engine, model: folder }, tasks, results) : undefined;
    const seconds = (performance.now() - started) / 1000;
    if (comparison) tell(`\n${fusionLines(comparison)}`);
    if (together) tell(`\n${caMtlLines(together)}`);
    tell(closing(results, seconds, options));
    if (json)
      stdout(
        JSON.stringify({
          encoder: model.encoder.name,
          method: DEMO.method,
          seconds,
          tasks: results,
          ...(comparison && { fusion: comparison }),
          ...(together && { caMtl: together }),
        }),
      );
  },
});

async function demoTasks(files: Files): Promise<Task[]> {
  const folder = assetPath('tasks');
  const tasks = await Promise.all((await files.list(folder)).map((name) => loadTask(files, joinPath(folder, name))));
  return tasks.sort((a, b) => order(a) - order(b));
}

/** Tasks in the order of the sentences written for them. */
function order({ name }: Task): number {
  const place = Object.keys(FRESH).indexOf(name);
  return place < 0 ? Number.POSITIVE_INFINITY : place;
}

async function runTask(
  context: CommandContext,
  { fast, epochs, limit, seed, output, model: encoder }: Options,
  model: AutoAdapterModel,
  task: Task,
): Promise<DemoResult> {
  const started = performance.now();
  const rows = limit ?? (fast ? 300 : undefined);
  const progress = trainingProgress(context, encoder);
  model.addAdapter(task.name, DEMO.method);
  try {
    const { trained } = await model.trainAdapter(task.name, {
      task,
      epochs: epochs ?? (fast ? DEMO.fastEpochs : DEMO.epochs),
      learningRate: DEMO.learningRate,
      seed,
      signal: context.signal,
      ...(rows !== undefined && { limit: rows }),
      ...(context.isTTY && { onEvent: (event) => void (event.type === 'step' && progress.onEvent(event)) }),
    });
    const evaluation = await model.evaluate(task);
    const fresh = FRESH[task.name] ?? [];
    const answers = await model.predict(fresh);
    if (output !== undefined) await model.saveAdapter(joinPath(output, task.name), task.name);
    return {
      task: task.name,
      metric: task.metric,
      rows: evaluation.rows,
      majority: task.metric === 'accuracy' ? evaluation.majority?.accuracy : undefined,
      tfidf: tfidfOf(task),
      score: evaluation.metrics[task.metric] as number,
      trained,
      seconds: (performance.now() - started) / 1000,
      answers: answers.map(({ prediction }, i) => ({ row: fresh[i] ?? {}, prediction })),
    };
  } finally {
    progress.stop();
  }
}

function tfidfOf({ card }: Task): number | undefined {
  const floor = card.floor as { readonly tfidf?: unknown } | undefined;
  return typeof floor?.tfidf === 'number' ? floor.tfidf : undefined;
}
