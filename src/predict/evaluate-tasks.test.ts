import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/cli.ts';
import { writeTinyEncoder, writeTinyTask } from '../../test/tiny.ts';
import { nodeFiles as files } from '../base/files-node.ts';
import { type Program, topological, type Value } from '../graph/index.ts';
import { drawModel } from '../model/draw.ts';
import { noDropout } from '../nn/index.ts';
import { nodeEngine } from '../session/node.ts';
import type { Engine } from '../session/session.ts';
import { loadTask, type Task } from '../tasks/index.ts';
import { extendCaMtl } from '../train/multi-task/extend-ca-mtl.ts';
import { loadGrowing, loadMultiTask } from '../train/multi-task/folder.ts';
import { multiTaskMethod } from '../train/multi-task/registry.ts';
import { runMultiTask } from '../train/multi-task/run.ts';
import { multiTaskSettings } from '../train/multi-task/settings.ts';
import { answerTasks } from './answer-tasks.ts';
import { evaluateTasks } from './evaluate-tasks.ts';

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
    expect(majority?.metrics[before?.metric ?? '']).toBe(before?.majority);
    expect(metrics).toEqual(before?.metrics.test);
  }
  const [a = 0, b = 0, c = 0] = summary.tasks.map(({ metrics, metric }) => metrics.test?.[metric]);
  expect(result.mean).toBeCloseTo((a + b + c) / 3, 12);
});

it.each([
  ['ca_mtl_base', 'all'],
  ['adapters', 'first'],
  ['joint', 'first'],
] as const)('%s: computes %s tokens to the end for heads that read the first', async (method, read) => {
  const { engine, saved } = await trained(method);
  const programs: Program[] = [];
  const watched: Engine = {
    ...engine,
    compile(program, weights) {
      programs.push(program);
      return engine.compile(program, weights);
    },
  };
  const rows = [{ task: 'tiny-classification', text: 'sea' }];
  await answerTasks(saved, rows, { files, engine: watched });
  await evaluateTasks(saved, tasks, 'test', { files, engine: watched });
  const shapes = (values: Iterable<Value>) =>
    topological([...values]).map(({ outputs }) => JSON.stringify(outputs.map(({ shape }) => shape)));
  const drawn = (which: 'all' | 'first') => shapes(drawModel(saved, noDropout, () => false, { read: which }).logits);
  expect(drawn('all')).not.toEqual(drawn('first'));
  expect(programs.map(({ outputs }) => shapes(Object.values(outputs)))).toEqual([drawn(read), drawn(read)]);
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

it.each(['joint', 'ca_mtl_base'])('%s: tells how many rows of a task that learnt from pairs have one text', async (method) => {
  const engine = await nodeEngine({ threads: 1 });
  const pairs = await loadTask(files, await writeTinyTask(folder, 'pair', SIZES));
  const [single] = tasks as [Task];
  const output = join(folder, `pairs-${method}`);
  const settings = multiTaskSettings.parse({ maxSteps: 1, batchSize: 4, maxLength: 24 });
  await runMultiTask({ files, engine, model, tasks: [single, pairs], method: multiTaskMethod(method), settings, output });
  const notes: string[] = [];
  const rows = [
    { task: 'tiny-classification', text: 'sea' },
    { task: 'tiny-pair', text: 'sea' },
    { task: 'tiny-pair', text: 'sea', textPair: 'land' },
  ];
  const saved = await loadMultiTask(files, output, { model });
  await answerTasks(saved, rows, { files, engine, onNote: (text) => notes.push(text) });
  expect(notes).toEqual(['Rows without "textPair", of tasks that learnt from pairs, are answered from one text: 1.']);
  const wrong = answerTasks(saved, [...rows, { task: 'tiny-pair', inputIds: [99_999] }], { files, engine });
  await expect(wrong).rejects.toThrow(/^rows:4\b/);
});

it('CA-MTL reads each task at the length that it was trained with, though its modules take more', async () => {
  const engine = await nodeEngine({ threads: 1 });
  const [single] = tasks as [Task];
  const pairs = await loadTask(files, await writeTinyTask(folder, 'pair', SIZES));
  const output = join(folder, 'lengths');
  const settings = multiTaskSettings.parse({ maxSteps: 1, batchSize: 4, maxLength: 6 });
  const method = multiTaskMethod('ca_mtl_base[max_length=30]');
  const summary = await runMultiTask({ files, engine, model, tasks: [single, pairs], method, settings, output });
  const saved = await loadMultiTask(files, output, { model });
  expect(saved.training.map(({ maxLength }) => maxLength)).toEqual([6, 6]);
  const long = { task: 'tiny-pair', text: 'sea '.repeat(20), textPair: 'land '.repeat(20) };
  const [one, other] = await answerTasks(saved, [long, { ...long, textPair: `${long.textPair} sky` }], { files, engine });
  expect(one?.logits).toEqual(other?.logits);
  const scored = await evaluateTasks(saved, [single, pairs], 'test', { files, engine });
  expect(scored.tasks.map(({ metrics }) => metrics)).toEqual(summary.tasks.map(({ metrics }) => metrics.test));
});

it('refuses tasks whose rows all have one answer, and rows that have another number of choices', async () => {
  const engine = await nodeEngine({ threads: 1 });
  const place = join(folder, 'odd');
  mkdirSync(place, { recursive: true });
  const write = async (card: object, rows: readonly object[], more: readonly object[] = rows) => {
    writeFileSync(join(place, 'card.json'), JSON.stringify({ name: 'odd', ...card }));
    writeFileSync(join(place, 'train.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    writeFileSync(join(place, 'validation.jsonl'), more.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const settings = multiTaskSettings.parse({ maxSteps: 1, batchSize: 4, maxLength: 24 });
    const all = [tasks[0] as Task, await loadTask(files, place)];
    return runMultiTask({ files, engine, model, tasks: all, method: multiTaskMethod('joint'), settings });
  };
  const text = 'sea';
  await expect(
    write({ kind: 'regression' }, [
      { text, label: 0.1 },
      { text, label: 0.1 },
      { text, label: 0.1 },
    ]),
  ).rejects.toThrow('the training rows of odd: found 3 rows, all with the answer 0.1; expected two different answers or more.');
  const words = { tokens: ['sea', 'land'], tags: ['O', 'O'] };
  await expect(write({ kind: 'tagging', labels: ['O', 'B-X'] }, [words, words])).rejects.toThrow('found 2 rows, all with the answer O');
  const set = (...label: string[]) => ({ text, label });
  await expect(write({ kind: 'multilabel', labels: ['a', 'b'] }, [set('a', 'b'), set('b', 'a')])).rejects.toThrow(
    'all with the answer [a, b]',
  );
  const choice = (label: number, choices = ['sea', 'land']) => ({ text, choices, label });
  await expect(write({ kind: 'choice' }, [choice(1), choice(1)])).rejects.toThrow('all with the answer 1');
  await expect(write({ kind: 'choice' }, [choice(0), choice(1)], [choice(2, ['sea', 'land', 'sky'])])).rejects.toThrow(
    "row 1: found 3 choices; expected 2, as many as the head 'odd' was made for",
  );
});

it('what is refused before its first step leaves an earlier result and an unfinished run as they are', async () => {
  const { engine } = await trained('joint');
  const output = join(folder, 'joint');
  mkdirSync(join(output, 'state'), { recursive: true });
  writeFileSync(join(output, 'state', 'state.json'), '{}');
  writeFileSync(join(output, 'log.jsonl'), '{"step":1}\n');
  const settings = { maxSteps: 2, batchSize: 4, maxLength: 24, keep: 'task' } as const;
  const method = multiTaskMethod('joint');
  await expect(runMultiTask({ files, engine, model, tasks, method, settings, output, overwrite: true })).rejects.toThrow('--keep');
  expect(readFileSync(join(output, 'log.jsonl'), 'utf8')).toBe('{"step":1}\n');
  expect(existsSync(join(output, 'state', 'state.json'))).toBe(true);
});

it('the folders of tasks named in other letters are cleared when another method takes their place', async () => {
  const engine = await nodeEngine({ threads: 1 });
  const renamed = [{ ...(tasks[0] as Task), name: 'Häfen am Meer' }, tasks[1] as Task];
  const settings = { maxSteps: 1, batchSize: 4, maxLength: 24 };
  const output = join(folder, 'renamed');
  const run = (method: string) =>
    runMultiTask({ files, engine, model, tasks: renamed, method: multiTaskMethod(method), settings, output, overwrite: true });
  await run('adapters');
  expect(existsSync(join(output, 'Häfen am Meer', 'adapter_config.json'))).toBe(true);
  await run('joint');
  expect(readdirSync(join(output, 'Häfen am Meer')).filter((name) => name.includes('adapter'))).toEqual([]);
  expect(existsSync(join(output, 'Häfen am Meer', 'head_config.json'))).toBe(true);
});

it('rows of the task that a card is of have its columns, those that name another have the usual ones', async () => {
  const { engine, saved } = await trained('joint');
  const rows = [
    { sentence: 'sea', task: 'tiny-classification' },
    { text: 'sea', sentence: 'land', task: 'tiny-regression' },
  ];
  const columns = (i: number) => (i === 0 ? { text: 'sentence' } : {});
  const [first, second] = await answerTasks(saved, rows, { files, engine, columns });
  const [plain, other] = await answerTasks(
    saved,
    rows.map((row) => ({ task: row.task, text: 'sea' })),
    { files, engine },
  );
  expect([first?.logits, second?.logits]).toEqual([plain?.logits, other?.logits]);
});

it('a model that grows resumes only as the same task', async () => {
  const { engine } = await trained('ca_mtl_base');
  const pairs = await loadTask(files, await writeTinyTask(folder, 'pair', SIZES));
  const saved = await loadGrowing(files, join(folder, 'ca_mtl_base'));
  const settings = multiTaskSettings.parse({ maxSteps: 4, batchSize: 4, maxLength: 24 });
  const output = join(folder, 'grown');
  const grow = async (like: string, more: { signal?: AbortSignal; resume?: boolean; onEvent?: () => void }) =>
    runMultiTask({
      files,
      engine,
      model: saved.encoder.folder,
      tasks: [pairs],
      method: extendCaMtl(saved, { like }),
      settings,
      output,
      ...more,
    });
  const stop = new AbortController();
  await expect(grow('tiny-choice', { signal: stop.signal, onEvent: () => stop.abort() })).rejects.toThrow('Stopped after step 1 of 4');
  await expect(grow('tiny-regression', { resume: true })).rejects.toThrow(/like/);
  expect((await grow('tiny-choice', { resume: true })).steps).toBe(4);
});

it('the numbers of CA-MTL’s parts are those of the model that was trained', async () => {
  const { summary } = await trained('ca_mtl_base');
  expect(summary.report?.total).toEqual({ all: summary.size, trained: summary.parameters });
  expect(summary.report?.againstOneEncoder).toBe(summary.size / summary.encoderParameters);
});

it('settings that are none are refused, and those left out have their defaults', async () => {
  const engine = await nodeEngine({ threads: 1 });
  const method = multiTaskMethod('ca_mtl_base');
  const notes: string[] = [];
  const run = (settings: object) =>
    runMultiTask({
      files,
      engine,
      model,
      tasks,
      method,
      settings: { maxSteps: 1, maxLength: 24, ...settings },
      onEvent: (event) => event.type === 'note' && notes.push(event.text),
    });
  await expect(run({ samplr: 'uncertainty' })).rejects.toThrow(/setting 'samplr': found no such setting; .* Did you mean 'sampler'\?$/);
  await expect(run({ sampler: 'uncertain' })).rejects.toMatchObject({ code: 'usage.value' });
  const { sampling } = await run({ sampler: 'uncertainty', regressionScore: 'published' });
  expect(notes.filter((text) => text.includes('mrpc'))).toEqual([expect.stringMatching(/^tiny-regression scores 0/)]);
  expect(Object.values(sampling?.candidates ?? {})).toEqual([SIZES.train, SIZES.train, SIZES.train]);
});
