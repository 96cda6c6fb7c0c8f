import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { temporaryFolder } from '../../../test/cli.ts';
import { writeTinyEncoder, writeTinyTask } from '../../../test/tiny.ts';
import { nodeFiles as files } from '../../base/files-node.ts';
import { nodeEngine } from '../../session/node.ts';
import { loadTask, type Task } from '../../tasks/index.ts';
import { answerTasks } from './answers.ts';
import { evaluateTasks } from './evaluation.ts';
import { loadMultiTask } from './folder.ts';
import { multiTaskMethod } from './method.ts';
import { runMultiTask } from './run.ts';
import { multiTaskSettings } from './settings.ts';

const folder = temporaryFolder();
const SIZES = { train: 4, validation: 2, test: 6 };
let [model, tasks]: [string, Task[]] = ['', []];

beforeAll(async () => {
  model = await writeTinyEncoder(folder);
  const paths = await Promise.all((['classification', 'regression', 'choice'] as const).map((kind) => writeTinyTask(folder, kind, SIZES)));
  tasks = await Promise.all(paths.map((path) => loadTask(files, path)));
});

async function trained(method: string) {
  const engine = await nodeEngine({ threads: 1 });
  const settings = multiTaskSettings.parse({ maxSteps: 2, batchSize: 4, learningRate: 0.01, maxLength: 24 });
  const output = join(folder, method);
  const summary = await runMultiTask({ files, engine, model, tasks, method: multiTaskMethod(method), settings, output, overwrite: true });
  return { engine, summary, saved: await loadMultiTask(files, output, { model }) };
}

it.each(['ca_mtl_base', 'adapters', 'joint'])('%s: a saved model scores what it scored when it was trained', async (method) => {
  const { engine, summary, saved } = await trained(method);
  const notes: string[] = [];
  const result = await evaluateTasks(saved, tasks.toReversed(), 'test', { files, engine, onNote: (text) => notes.push(text) });
  expect(notes).toEqual([]);
  expect(result.tasks.map(({ task }) => task)).toEqual(summary.tasks.map(({ task }) => task).reverse());
  for (const [i, { metrics, majority, rows }] of result.tasks.toReversed().entries()) {
    const before = summary.tasks[i];
    expect(rows).toBe(SIZES.test);
    expect(majority?.accuracy).toBe(before?.majority);
    expect(metrics).toEqual(before?.metrics.test);
  }
  const [a = 0, b = 0, c = 0] = summary.tasks.map(({ metrics, metric }) => metrics.test?.[metric]);
  expect(result.mean).toBeCloseTo((a + b + c) / 3, 12);
});

it('refuses tasks that are not the model’s', async () => {
  const { engine, saved } = await trained('ca_mtl_base');
  const score = (some: Task[]) => evaluateTasks(saved, some, 'test', { files, engine });
  const [first] = tasks as [Task];
  await expect(score([...tasks, await loadTask(files, await writeTinyTask(folder, 'span', SIZES))])).rejects.toThrow(
    '--task: found the task tiny-span; expected one of the tasks that the model has learnt: tiny-classification, tiny-regression, tiny-choice.',
  );
  await expect(score([first, first])).rejects.toThrow('found tiny-classification twice');
  await expect(score([{ ...first, labels: ['sea', 'shore', 'sky'] }])).rejects.toThrow(
    "task tiny-classification: found the labels shore; expected labels of the head 'tiny-classification': sea, land, sky.",
  );
  await expect(score([{ ...first, kind: 'regression', labels: [] }])).rejects.toThrow(
    "task tiny-classification: found the kind regression; expected classification, which the head 'tiny-classification' answers",
  );
});

it('tells how many rows of a task that learnt from pairs have one text', async () => {
  const { engine } = await trained('joint');
  const pairs = await loadTask(files, await writeTinyTask(folder, 'pair', SIZES));
  const [single] = tasks as [Task];
  const output = join(folder, 'pairs');
  const settings = multiTaskSettings.parse({ maxSteps: 1, batchSize: 4, maxLength: 24 });
  await runMultiTask({ files, engine, model, tasks: [single, pairs], method: multiTaskMethod('joint'), settings, output });
  const notes: string[] = [];
  const rows = [
    { task: 'tiny-classification', text: 'sea' },
    { task: 'tiny-pair', text: 'sea' },
    { task: 'tiny-pair', text: 'sea', textPair: 'land' },
  ];
  await answerTasks(await loadMultiTask(files, output, { model }), rows, { files, engine, onNote: (text) => notes.push(text) });
  expect(notes).toEqual(['Rows without "textPair", of tasks that learnt from pairs, are answered from one text: 1.']);
});
