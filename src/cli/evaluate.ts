import { z } from 'zod';
import type { AutoAdapterModel, NamedEvaluation } from '../auto-adapter-model/index.ts';
import { fail } from '../base/index.ts';
import { describe, isFuse } from '../methods/index.ts';
import { type Evaluation, evaluateTasks, type MultiTaskEvaluation } from '../predict/index.ts';
import { loadTask, SPLITS, type Task } from '../tasks/index.ts';
import type { SavedMultiTask } from '../train/index.ts';
import { modelShape, openModel, openMultiTask } from './attach.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { countProgress } from './count-progress.ts';
import { duration } from './progress.ts';
import { alignColumns, grouped } from './table.ts';
import { taskOptions, taskShape } from './task-options.ts';
import { engineOf } from './training-options.ts';

const schema = z.object({
  ...modelShape,
  task: z.array(z.string()).meta({
    value: 'path',
    description: 'task folder with card.json, or one file of labelled rows; may be repeated for a model of several tasks',
  }),
  split: z.enum(SPLITS).default('test').describe('which rows of a task folder'),
  limit: z.number().int().positive().optional().meta({ description: 'read at most this many rows of each task' }),
  ...taskShape,
});
type Options = z.output<typeof schema>;

export const command = defineCommand({
  name: 'evaluate',
  summary: 'score a trained adapter or a model of several tasks on a split, beside what the most frequent answer scores',
  schema,
  async run(context, options) {
    const { split } = options;
    const tasks = await Promise.all(options.task.map((path) => loadTask(context.files, path, { ...taskOptions(options), split })));
    for (const path of options.task)
      if ((await context.files.kind(path)) === 'file')
        context.stderr(`note: ${path} has no splits: all its rows are scored, those that the model was trained on among them.`);
    const several = await openMultiTask(context, options);
    const started = performance.now();
    const elapsed = () => (performance.now() - started) / 1000;
    if (several) {
      const evaluation = await scoreSeveral(context, options, several, tasks);
      const report = { split, ...evaluation, seconds: elapsed() };
      return context.stdout(context.json ? JSON.stringify(report) : renderSeveral(split, evaluation, report.seconds));
    }
    const [task, ...others] = tasks as [Task, ...Task[]];
    if (others.length > 0)
      fail({
        code: 'usage.flag',
        subject: '--task',
        found: `${tasks.length} tasks`,
        expected: 'one, for a model that answers one',
        next: 'Give --model FOLDER of multigraft multitask, or run the command once for each.',
      });
    const model = await openModel(context, options);
    const evaluations = await scoreOne(context, options, model, task);
    const active = model.activeAdapters;
    const heads = [model.activeHead ?? []].flat().join(', ');
    const name = active === undefined ? heads : isFuse(active) ? active.name : describe(active);
    const reports = evaluations.map(({ adapter, head, ...evaluation }) => {
      const called = adapter === undefined ? name : `${adapter} in ${name}`;
      const facts = { adapter: called, ...(head !== undefined && { head }), metric: task.metric };
      return { task: task.name, split, ...facts, ...evaluation, seconds: elapsed() };
    });
    const texts = reports.map((report) =>
      render(
        `${task.name} (${split}), ${report.adapter}${report.head === undefined ? '' : `, head ${report.head}`}`,
        report,
        report.seconds,
      ),
    );
    context.stdout(context.json ? JSON.stringify(reports.length === 1 ? reports[0] : reports) : texts.join('\n'));
  },
});

async function scoreOne(context: CommandContext, options: Options, model: AutoAdapterModel, task: Task): Promise<NamedEvaluation[]> {
  const { how, stop } = await scoring(context, options);
  const evaluations = await model.evaluateEach(task, options.split, how);
  stop();
  await model.release();
  return evaluations;
}

async function scoreSeveral(
  context: CommandContext,
  options: Options,
  model: SavedMultiTask,
  tasks: readonly Task[],
): Promise<MultiTaskEvaluation> {
  const { how, stop } = await scoring(context, options);
  const engine = await engineOf(options);
  const evaluation = await evaluateTasks(model, tasks, options.split, { ...how, files: context.files, engine });
  stop();
  return evaluation;
}

async function scoring(context: CommandContext, { limit, maxLength }: Options) {
  const { onProgress, stop } = await countProgress(context, 'rows');
  const onNote = (text: string) => context.stderr(`note: ${text}`);
  return { how: { onNote, onProgress, ...(limit !== undefined && { limit }), ...(maxLength !== undefined && { maxLength }) }, stop };
}

/** A line for each task: its deciding metric, and the others in the last column. */
function renderSeveral(split: string, { tasks, mean }: MultiTaskEvaluation, seconds: number): string {
  const rows = tasks.map(({ task, rows, metric, metrics, warnings, majority }) => [
    task,
    grouped(rows),
    metric,
    (metrics[metric] as number).toFixed(4),
    majority?.metrics[metric]?.toFixed(4) ?? '–',
    Object.entries(metrics)
      .filter(([name]) => name !== metric)
      .map(([name, value]) => `${name} ${value.toFixed(4)}`)
      .concat(Object.entries(warnings).map(([name, why]) => `${name} is undefined: ${why}`))
      .join(', '),
  ]);
  const header = ['task', 'rows', 'metric', split, 'most frequent answer', 'other metrics'];
  return [
    ...alignColumns([header, ...rows], [1, 3, 4]),
    `The mean of ${tasks.length} ${tasks.length === 1 ? 'task' : 'tasks'} is ${mean.toFixed(4)}; scored in ${duration(seconds)}.`,
  ].join('\n');
}

function render(title: string, { rows, metrics, warnings, majority }: Evaluation, seconds: number): string {
  const entries = Object.entries(metrics);
  const width = Math.max(...entries.map(([name]) => name.length), 'majority answer'.length);
  return [
    `${title}: ${rows} rows in ${duration(seconds)}`,
    ...entries.map(
      ([name, value]) => `  ${name.padEnd(width)}  ${value.toFixed(4)}${warnings[name] ? `  (undefined: ${warnings[name]})` : ''}`,
    ),
    ...(majority
      ? [
          `  ${'majority answer'.padEnd(width)}  ${majority.accuracy.toFixed(4)}  (accuracy of always giving ${JSON.stringify(majority.answer)})`,
        ]
      : []),
  ].join('\n');
}
