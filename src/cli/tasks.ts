import { z } from 'zod';
import { type Files, fail, joinPath } from '../base/index.ts';
import { checkTask, loadTask, type SplitReport, TASK_KINDS, type Task, type TaskReport } from '../tasks/index.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { taskOptions, taskShape } from './task-options.ts';

const schema = z.object({
  path: z.string().optional().meta({ value: 'path', description: 'a task folder or file to check, or a folder of task folders to list' }),
  ...taskShape,
});

export const command = defineCommand({
  name: 'tasks',
  summary: 'list the tasks in a folder, or read every row of one task and say what is in it',
  arguments: ['path'],
  schema,
  async run(context, { path, ...options }) {
    if (path === undefined)
      print(context, { kinds: TASK_KINDS }, `Kinds of task: ${TASK_KINDS.join(', ')}. Give a folder to see its tasks.`);
    else if (await isTask(context.files, path)) {
      const report = await checkTask(context.files, path, taskOptions(options));
      print(context, report, renderReport(report));
    } else {
      const tasks = await listTasks(context.files, path);
      print(context, tasks, tasks.map(renderTask).join('\n'));
    }
  },
});

function print(context: CommandContext, value: unknown, text: string): void {
  context.stdout(context.json ? JSON.stringify(value) : text);
}

/** A path that does not exist counts as a task too: reading it gives the right error. */
async function isTask(files: Files, path: string): Promise<boolean> {
  if ((await files.kind(path)) !== 'folder') return true;
  return (await files.list(path)).some((name) => name === 'card.json' || /^(train|validation|test)\.[a-z]+$/.test(name));
}

async function listTasks(files: Files, path: string): Promise<Task[]> {
  const tasks: Task[] = [];
  for (const name of await files.list(path)) {
    const inner = joinPath(path, name);
    if ((await files.kind(inner)) === 'folder' && (await isTask(files, inner))) tasks.push(await loadTask(files, inner));
  }
  if (tasks.length > 0) return tasks;
  const expected = 'a card.json, a train, validation or test file, or folders that have them';
  return fail({ code: 'task.card', subject: path, found: 'no task', expected, next: 'Check the path; docs/tasks.md shows the layout.' });
}

function renderTask({ name, kind, labels, metric, files }: Task): string {
  const size = labels.length > 0 ? `${labels.length} labels` : '';
  return `${name.padEnd(20)} ${kind.padEnd(15)} ${size.padEnd(11)} ${metric.padEnd(15)} ${Object.keys(files).join(' ')}`;
}

function renderReport({ task, splits, warnings }: TaskReport): string {
  const shown = task.labels.slice(0, 12).join(', ') + (task.labels.length > 12 ? ', …' : '');
  return [
    `${task.name}: ${task.kind}, metric ${task.metric}`,
    ...(task.labels.length > 0 ? [`${task.labels.length} labels: ${shown}`] : []),
    ...Object.entries(splits).map(([split, report]) => `  ${split.padEnd(10)} ${renderSplit(report)}`),
    ...warnings.map((warning) => `note: ${warning}`),
  ].join('\n');
}

function renderSplit({ rows, words, balance, range, repeated }: SplitReport): string {
  return [
    `${rows} rows`,
    `words: median ${words.median}, 95 % ≤ ${words.p95}, at most ${words.max}`,
    ...(balance ? [`largest class ${(100 * balance.majority).toFixed(1)} %`] : []),
    ...(range ? [`labels ${range.min} to ${range.max}, mean ${range.mean.toFixed(2)}`] : []),
    ...(repeated > 0 ? [`${repeated} ${repeated === 1 ? 'row repeats an earlier one' : 'rows repeat earlier ones'}`] : []),
  ].join('; ');
}
