import { z } from 'zod';
import { type Files, joinPath } from '../base/files.ts';
import { DEFAULT_METHOD } from '../methods/index.ts';
import { nodeEngine } from '../session/node.ts';
import { loadTask, type Task } from '../tasks/index.ts';
import { AutoAdapterModel, type SummaryRow } from '../train/index.ts';
import { assetPath, modelFolder } from './assets.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { FRESH, shownAnswer } from './demo-rows.ts';
import { duration, trainingProgress } from './progress.ts';
import { alignColumns, grouped } from './table.ts';

const schema = z.object({
  fast: z.boolean().default(false).meta({ description: 'fewer rows and passes: less than a minute, lower scores' }),
  model: z.string().optional().meta({ value: 'folder', description: 'another encoder (default: the embedded seedling)' }),
  epochs: z.number().positive().optional().meta({ description: 'passes over the training rows (default: 10, or 3 with --fast)' }),
  limit: z
    .number()
    .int()
    .positive()
    .optional()
    .meta({ description: 'train on at most this many rows (default: all, or 300 with --fast); all test rows are scored' }),
  output: z.string().optional().meta({ value: 'folder', description: 'keep the adapters here' }),
  seed: z.number().int().default(1).meta({ description: 'fixes initial values, order of rows and dropout' }),
  threads: z.number().int().positive().optional().meta({ description: 'threads of the engine (default: all cores)' }),
});
type Options = z.output<typeof schema>;

interface DemoResult {
  readonly task: string;
  readonly metric: string;
  readonly rows: number;
  readonly majority: number | undefined;
  /** Logistic or ridge regression on TF-IDF features, from the card of the task. */
  readonly tfidf: number | undefined;
  readonly score: number;
  readonly trained: number;
  readonly seconds: number;
  readonly answers: readonly { readonly row: Readonly<Record<string, unknown>>; readonly prediction: unknown }[];
}

export const command = defineCommand({
  name: 'demo',
  summary: 'train adapters for five small tasks on the embedded encoder, score them, and use them',
  schema,
  async run(context, options) {
    const { files, json, stdout } = context;
    const started = performance.now();
    const tell = (text: string) => (json ? undefined : stdout(text));
    const model = await AutoAdapterModel.fromPretrained(await modelFolder(files, options.model), {
      files,
      engine: await nodeEngine(options.threads === undefined ? {} : { threads: options.threads }),
    });
    const tasks = await demoTasks(files);
    tell(opening(model, tasks));

    const results: DemoResult[] = [];
    for (const task of tasks) {
      const result = await runTask(context, options, model, task);
      tell(progressLine(result, results.length + 1, tasks.length, task));
      results.push(result);
    }
    await model.release();
    const seconds = (performance.now() - started) / 1000;
    tell(closing(results, seconds, options.output));
    if (json) stdout(JSON.stringify({ encoder: model.encoder.name, method: DEFAULT_METHOD, seconds, tasks: results }));
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
  { fast, epochs, limit, seed, output }: Options,
  model: AutoAdapterModel,
  task: Task,
): Promise<DemoResult> {
  const started = performance.now();
  const rows = limit ?? (fast ? 300 : undefined);
  const progress = trainingProgress(context);
  model.addAdapter(task.name, DEFAULT_METHOD);
  try {
    const { trained } = await model.trainAdapter(task.name, {
      task,
      epochs: epochs ?? (fast ? 3 : 10),
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

function opening(model: AutoAdapterModel, tasks: readonly Task[]): string {
  const { parameters } = model.adapterSummary().at(-1) as SummaryRow;
  return `One frozen encoder, ${model.encoder.name} with ${grouped(parameters)} numbers, and ${tasks.length} small tasks: an adapter and a head are trained for each.\n`;
}

function progressLine({ task, metric, score, seconds }: DemoResult, i: number, of: number, { card }: Task): string {
  return `${i}/${of}  ${task.padEnd(16)} ${metric} ${score.toFixed(3)} in ${duration(seconds).padEnd(6)} ${typeof card.description === 'string' ? card.description : ''}`.trimEnd();
}

function closing(results: readonly DemoResult[], seconds: number, output: string | undefined): string {
  const score = (value: number | undefined) => (value === undefined ? '–' : value.toFixed(3));
  const header = ['task', 'metric', 'majority', 'TF-IDF', 'adapter', 'trained numbers', 'seconds'];
  const cells = results.map((one) => [
    one.task,
    one.metric,
    score(one.majority),
    score(one.tfidf),
    score(one.score),
    grouped(one.trained),
    one.seconds.toFixed(0),
  ]);
  const judged = results.filter(({ tfidf }) => tfidf !== undefined);
  const above = judged.filter(({ tfidf, score: own }) => own > (tfidf as number)).length;
  const answers = results.flatMap(({ task, answers: given }) => [
    `  ${task}`,
    ...given.map(({ row, prediction }) => `    ${shownAnswer(row, prediction)}`),
  ]);
  return [
    '\nScores on test rows (majority: the most frequent answer; TF-IDF: a tuned linear model on words and word pairs)',
    ...alignColumns([header, ...cells], [2, 3, 4, 5, 6]).map((line) => `  ${line}`),
    `  The adapter is above the TF-IDF model on ${above} of the ${judged.length} tasks that have one. ${duration(seconds)} in all.`,
    '\nAsked something new',
    ...answers,
    '\nNext',
    ...(output === undefined
      ? ['  multigraft demo --output my-adapters                                keep the adapters']
      : [`  multigraft predict --adapter ${joinPath(output, results[0]?.task ?? '')} "The lamp I ordered is broken."`]),
    '  multigraft train --task FOLDER --output my-adapter                  your own task',
    '  multigraft train --model ENCODER --task FOLDER --output my-adapter  a larger encoder, from a Hugging Face folder',
  ].join('\n');
}
