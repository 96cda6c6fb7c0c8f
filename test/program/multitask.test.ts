import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import type { TaskSummary } from '../../src/train/index.ts';
import type { ChosenOfTask, ChosenRows } from '../../src/train/multi-task/chosen.ts';
import type { Beginning } from '../../src/train/multi-task/method.ts';
import { type Running, runCli, startCli, temporaryFolder } from '../cli.ts';
import { type TinyTask, writeTinyEncoder, writeTinyTask } from '../tiny.ts';
import { runHere } from './here.ts';

const folder = temporaryFolder();
const KINDS: readonly TinyTask[] = ['classification', 'regression', 'tagging', 'choice', 'span'];
let encoder: string;
let tasks: string[];

beforeAll(async () => {
  encoder = await writeTinyEncoder(folder);
  tasks = await Promise.all(KINDS.map((kind) => writeTinyTask(folder, kind, { train: 60, validation: 12, test: 12 })));
});

const METHODS = {
  caMtl: ['--method', 'ca_mtl_base', '--sampler', 'uncertainty', '--candidates', '2', '--refresh', '3'],
  mtA: ['--method', 'adapters', '--train-encoder', '--sampler', 'uniform'],
  joint: ['--method', 'joint', '--task-weights', 'averaging'],
  shared: ['--method', 'shared_adapter'],
} as const;

function command(output: string, which: keyof typeof METHODS, paths = tasks): string[] {
  const given = paths.flatMap((path) => ['--task', path]);
  const fixed = ['--batch-size', '8', '--epochs', '2', '--dropout', '0.1', '--learning-rate', '0.003', '--max-length', '32'];
  const often = ['--save-every', '2', '--eval-every', '30', '--threads', '1', '--json'];
  return ['multitask', '--model', encoder, '--output', output, ...given, ...fixed, ...often, ...METHODS[which]];
}

async function trained(which: keyof typeof METHODS): Promise<string> {
  const output = join(folder, `whole-${which}`);
  if (!existsSync(output)) {
    const { code, stderr } = await runCli(command(output, which));
    expect(stderr).toBe('');
    expect(code).toBe(0);
  }
  return output;
}

describe('kill -9', () => {
  it.each(['caMtl', 'mtA'] as const)('%s: after each resume the run goes on as if nothing had happened', async (which) => {
    const whole = await trained(which);
    const output = join(folder, `killed-${which}`);
    for (const [i, step] of [3, 23, 43].entries()) {
      const run = startCli([...command(output, which), ...(i ? ['--resume'] : [])]);
      await killAt(run, output, step + Math.floor(8 * Math.random()), 20 * Math.random());
    }
    const { code, stderr } = await runCli([...command(output, which), '--resume']);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(linesOf(output)).toEqual(linesOf(whole));
    const files = allFiles(whole);
    expect(allFiles(output)).toEqual(files);
    // Configurations name the encoder, which lies in the folder.
    const weights = files.filter((name) => /\.(bin|safetensors)$|ca_mtl_config\.json$/.test(name));
    expect(weights.length).toBeGreaterThanOrEqual(which === 'mtA' ? 11 : 2);
    for (const name of weights) expect(readFileSync(join(output, name)).equals(readFileSync(join(whole, name))), name).toBe(true);
    expect(metricsOf(output)).toEqual(metricsOf(whole));
  });
});

async function killAt(run: Running, output: string, step: number, milliseconds: number): Promise<void> {
  const log = join(output, 'log.jsonl');
  let over = false;
  void run.ended.then(() => {
    over = true;
  });
  while (!over && !(existsSync(log) && readFileSync(log, 'utf8').includes(`{"step":${step},`))) await wait(2);
  await wait(milliseconds);
  run.process.kill('SIGKILL');
  const { code, stderr } = await run.ended;
  expect(code, `killed, not ended by itself: ${stderr}`).toBe(null);
}

function linesOf(output: string): unknown[] {
  const lines = readFileSync(join(output, 'log.jsonl'), 'utf8').trimEnd().split('\n');
  expect(lines.length).toBeGreaterThan(76);
  return lines.map((line) => ({ ...JSON.parse(line), examplesPerSecond: 0 }));
}

function allFiles(path: string): string[] {
  return (readdirSync(path, { recursive: true }) as string[]).sort();
}

function metricsOf(output: string): unknown {
  const metrics = JSON.parse(readFileSync(join(output, 'metrics.json'), 'utf8'));
  return { ...metrics, seconds: 0, ...(metrics.sampling && { sampling: { ...metrics.sampling, seconds: 0, shareOfTime: 0 } }) };
}

/** Test rows of all tasks, in turns, each naming its task; and what it should be told with. */
async function mixed(): Promise<{ task: string; id: number }[]> {
  const all = await Promise.all(tasks.map(async (path) => (await readFile(join(path, 'test.jsonl'), 'utf8')).trimEnd().split('\n')));
  return Array.from({ length: 4 }, (_, row) =>
    all.map((lines, task) => ({ ...JSON.parse(lines[row] as string), task: `tiny-${KINDS[task]}` })),
  )
    .flat()
    .map((row, id) => ({ ...row, id }));
}

async function answersOf(args: readonly string[], rows: readonly unknown[]): Promise<{ id: number; prediction: unknown }[]> {
  const input = join(folder, `rows-${Math.random()}.jsonl`);
  writeFileSync(input, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const { code, stdout, stderr } = await runHere(['predict', ...args, '--input', input, '--scores', '--threads', '1']);
  expect(stderr.replaceAll(/^note: .*\n/gm, '')).toBe('');
  expect(code).toBe(0);
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

describe('answers', () => {
  it.each(['mtA', 'joint', 'shared'] as const)('%s: mixed rows get what each task’s folder answers by itself', async (which) => {
    const output = await trained(which);
    const place = which === 'shared' ? ['--model', encoder] : ['--model', output];
    const rows = await mixed();
    const together = await answersOf(which === 'shared' ? [...place, '--adapter', output] : place, rows);
    expect(together.map(({ id }) => id)).toEqual(rows.map(({ id }) => id));
    for (const kind of KINDS) {
      const own = rows.filter(({ task }) => task === `tiny-${kind}`).map(({ task: _, ...row }) => row);
      const alone = await answersOf([...place, '--adapter', join(output, `tiny-${kind}`)], own);
      const same = together.filter((_, i) => rows[i]?.task === `tiny-${kind}`);
      expect(alone).toHaveLength(4);
      for (const [i, { prediction }] of alone.entries()) {
        if (typeof prediction === 'number' && kind === 'regression') expect(same[i]?.prediction).toBeCloseTo(prediction, 5);
        else expect(same[i]?.prediction).toEqual(prediction);
      }
    }
  });

  it('CA-MTL answers any task from one folder, and the table stands beside the majority', async () => {
    const output = await trained('caMtl');
    const rows = await mixed();
    const answers = await answersOf(['--model', output], rows);
    expect(answers).toHaveLength(20);
    const types = answers.slice(0, 5).map(({ prediction }) => (Array.isArray(prediction) ? 'list' : typeof prediction));
    expect(types).toEqual(['string', 'number', 'list', 'number', 'string']);
    const {
      tasks: summaries,
      sampling,
      size,
      encoderParameters,
    } = metricsOf(output) as {
      size: number;
      encoderParameters: number;
      tasks: { name: string; rows: number; majority?: number; metrics: object }[];
      sampling: { chosen: Record<string, number>; candidates: Record<string, number>; overTime: ChosenRows };
    };
    expect(summaries.map(({ name }) => name)).toEqual(KINDS.map((kind) => `tiny-${kind}`));
    const { byteLength } = readFileSync(join(output, 'model.safetensors'));
    expect(Math.abs(byteLength / 4 / size - 1)).toBeLessThan(0.1);
    expect(size / encoderParameters).toBeGreaterThan(1.05);
    expect(summaries[0]?.majority).toBeGreaterThan(0.2);
    const sum = (counts: Record<string, number>) => Object.values(counts).reduce((a, b) => a + b, 0);
    expect(sum(sampling.chosen)).toBe(8 * 76);
    // They are scored for three steps at once, the last three of which the run has but one.
    expect(sum(sampling.candidates)).toBe(2 * 8 * 78);
    const { shares, rows: chosen } = sampling.overTime;
    for (let period = 0; period < 10; period++)
      expect(Object.values(shares).reduce((total, own) => total + (own[period] as number), 0)).toBeCloseTo(1, 9);
    for (const { name, rows: count } of summaries) {
      const { distinct, mostOften } = chosen[name] as ChosenOfTask;
      expect(distinct > 0).toBe((sampling.chosen[name] as number) > 0);
      expect(distinct).toBeLessThanOrEqual(count);
      expect(mostOften).toHaveLength(Math.min(5, distinct));
      expect(readFileSync(join(output, 'sampling.svg'), 'utf8')).toContain(`>${name}<`);
    }
    expect(readFileSync(join(output, 'sampling.png')).subarray(1, 4).toString()).toBe('PNG');
    expect(readFileSync(join(output, 'README.md'), 'utf8')).toContain('multigraft predict --model . --input rows.jsonl');
    const misused = await runHere(['train', '--model', output, '--task', tasks[0] as string, '--json']);
    expect([misused.code, misused.stderr]).toEqual([2, expect.stringContaining('multitask --add')]);
    const parts = await inspected(output);
    expect(parts).toMatchObject([
      { kind: 'model of several tasks', facts: { method: 'ca_mtl', tasks: KINDS.map((kind) => `tiny-${kind}`) }, warnings: [] },
      { kind: 'tokenizer' },
    ]);
    expect(Math.abs((4 * (parts[0]?.parameters ?? 0)) / byteLength - 1)).toBeLessThan(0.1);
  });

  it('inspect shows the parts of a model that has a folder for each task', async () => {
    const output = await trained('mtA');
    const kinds = (await inspected(output)).map(({ kind }) => kind);
    expect(kinds).toEqual(['model of several tasks', ...KINDS.flatMap(() => ['adapter', 'head']), 'encoder', 'tokenizer']);
  });

  it('a fusion stands on the encoder that MT-A trained', async () => {
    const output = await trained('mtA');
    const adapters = ['classification', 'choice'].flatMap((kind) => ['--adapter', join(output, `tiny-${kind}`)]);
    const task = tasks[0] as string;
    const fused = join(folder, 'fused');
    const { code, stderr } = await runHere([
      'fuse',
      '--model',
      output,
      ...adapters,
      '--task',
      task,
      '--output',
      fused,
      '--epochs',
      '1',
      '--json',
    ]);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(existsSync(join(fused, 'adapter_setup.json'))).toBe(true);
  });
});

describe('a task that comes later', () => {
  it('is added to a CA-MTL model, whose answers to the others stay the same bit by bit', async () => {
    const before = await trained('caMtl');
    const added = await writeTinyTask(folder, 'pair', { train: 60, validation: 12, test: 12 });
    const output = join(folder, 'extended');
    const add = ['multitask', '--add', '--model', before, '--task', added, '--output', output, '--epochs', '4', '--threads', '1', '--json'];
    const { code, stderr } = await runCli([...add, '--learning-rate', '0.01']);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    const [summary] = (metricsOf(output) as { tasks: TaskSummary[] }).tasks;
    const begins = summary?.begins as Beginning & { similarities: Record<string, number> };
    expect(Object.keys(begins.similarities)).toEqual(KINDS.map((kind) => `tiny-${kind}`));
    expect(begins.by).toBe('features');
    expect(begins.similarities[begins.as]).toBe(Math.max(...Object.values(begins.similarities)));
    const rows = await mixed();
    expect(await answersOf(['--model', output], rows)).toEqual(await answersOf(['--model', before], rows));
    const pairs = readFileSync(join(added, 'test.jsonl'), 'utf8').trimEnd().split('\n').slice(0, 3);
    const asked = pairs.map((line) => ({ ...JSON.parse(line), task: 'tiny-pair' }));
    expect((await answersOf(['--model', output], asked)).every(({ prediction }) => ['no', 'yes'].includes(prediction as string))).toBe(
      true,
    );
    const card = readFileSync(join(output, 'README.md'), 'utf8');
    expect(card).toContain(`# ${KINDS.map((kind) => `tiny-${kind}`).join(', ')}, tiny-pair`);
    expect(card).toContain('which answers these as before; their scores stand in its own card.\nOne model for 6 tasks');
    const again = await runHere([...add.map((arg) => (arg === before ? output : arg === output ? join(folder, 'twice') : arg))]);
    expect([again.code, again.stderr]).toEqual([2, expect.stringContaining("'tiny-pair', which the model has learnt")]);
    const place = join(folder, 'not-a-model');
    const elsewhere = await runHere(add.map((arg) => (arg === before ? added : arg === output ? place : arg)));
    expect([elsewhere.code, elsewhere.stderr]).toEqual([2, expect.stringContaining('expected a CA-MTL model')]);
    const like = await runHere([...add.map((arg) => (arg === output ? place : arg)), '--like', 'tiny-choise']);
    expect(like.stderr).toContain('Did you mean tiny-choice?');
  });

  it('of another kind than those before changes no bit of their answers either', async () => {
    const [single, numbers, words] = tasks as [string, string, string];
    const [before, after] = [join(folder, 'sequences'), join(folder, 'with-words')];
    const few = ['--max-steps', '3', '--batch-size', '8', '--threads', '1', '--json'];
    await expectFine(['multitask', '--model', encoder, '--task', single, '--task', numbers, '--output', before, ...few]);
    await expectFine(['multitask', '--add', '--model', before, '--task', words, '--output', after, ...few]);
    const rows = (await mixed()).filter(({ task }) => ['tiny-classification', 'tiny-regression'].includes(task));
    expect(rows).toHaveLength(8);
    expect(await answersOf(['--model', after], rows)).toEqual(await answersOf(['--model', before], rows));
  });
});

async function expectFine(args: readonly string[]): Promise<void> {
  const { code, stderr } = await runHere(args);
  expect([code, stderr]).toEqual([0, '']);
}

describe('what a run leaves out and what a saved model scores', () => {
  it('rows of --exclude do not train, and evaluate gives the scores of the training', async () => {
    const list = join(folder, 'exclude.json');
    const listed = { 'tiny-classification': { trainLines: [0, 7, 59] }, elsewhere: { trainLines: [1] } };
    writeFileSync(list, JSON.stringify({ tasks: listed }));
    const output = join(folder, 'excluded');
    const { stdout, stderr, code } = await runHere([...command(output, 'shared').filter((arg) => arg !== '--json'), '--exclude', list]);
    expect(stderr.replaceAll(/^step .*\n/gm, '')).toBe('');
    expect(code).toBe(0);
    expect(stdout).toContain('Left out of training: tiny-classification 3.');
    const { tasks: summaries } = metricsOf(output) as { tasks: { rows: number; leftOut: number; metrics: { test: object } }[] };
    expect(summaries.map(({ rows, leftOut }) => [rows, leftOut])).toEqual([[57, 3], ...KINDS.slice(1).map(() => [60, 0])]);

    const at = ['evaluate', '--model', encoder, '--adapter', output, '--threads', '1', '--json'];
    const all = await runCli([...at, ...tasks.flatMap((path) => ['--task', path])]);
    expect(all.stderr).toBe('');
    const scored = JSON.parse(all.stdout) as { mean: number; split: string; tasks: { metrics: object; rows: number }[] };
    expect(scored.tasks.map(({ metrics }) => metrics)).toEqual(summaries.map(({ metrics }) => metrics.test));
    expect(scored).toMatchObject({ split: 'test', mean: expect.any(Number) });
    const table = await runHere([...at.slice(0, -1), '--task', tasks[1] as string]);
    expect(table.stdout).toMatch(
      /^task +rows +metric +test +most frequent answer +other metrics\ntiny-regression +12 +\w+ +-?\d\.\d{4} +– /,
    );
    expect((await runHere([...at, '--task', await writeTinyTask(folder, 'multilabel')])).stderr).toMatch(
      'the task tiny-multilabel; expected',
    );
    const two = tasks.slice(0, 2).flatMap((path) => ['--task', path]);
    const alone = await runHere([...at.slice(0, 3), '--adapter', join(output, 'tiny-choice'), ...two]);
    expect(alone.stderr).toMatch('--task: found 2 tasks; expected one, for a model that answers one.');
  });

  it('a list that belongs to other rows is refused', async () => {
    const list = join(folder, 'beyond.json');
    writeFileSync(list, '{"tasks":{"tiny-choice":{"trainLines":[60]}}}');
    const { code, stderr } = await runHere([...command(join(folder, 'beyond'), 'joint'), '--exclude', list]);
    expect(code).toBe(2);
    expect(stderr).toMatch('tiny-choice/train.jsonl: found 60 rows; expected a row 60 (from 0), which is to be left out.');
  });
});

describe('bad input', () => {
  async function refused(args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await runHere(args);
    expect(code).not.toBe(0);
    expect(stdout).toBe('');
    return (JSON.parse(stderr.trim().split('\n').at(-1) as string) as { error: { message: string } }).error.message;
  }

  it('flags without effect are refused, and leave no unfinished run', async () => {
    const output = join(folder, 'useless');
    const plain = ['multitask', '--model', encoder, ...tasks.flatMap((path) => ['--task', path]), '--output', output, '--json'];
    expect(await refused([...plain, '--temperature', '3'])).toMatch('--temperature: found it with the sampler proportional; expected');
    for (const flag of ['--candidates', '--refresh'])
      expect(await refused([...plain, flag, '2'])).toMatch(
        `${flag}: found it with the sampler proportional; expected --sampler uncertainty`,
      );
    expect(await refused([...plain, '--no-task-factor'])).toMatch('--no-task-factor: found it with the sampler proportional');
    expect(await refused([...plain, '--regression-score', 'published'])).toMatch('--regression-score: found it with');
    expect(await refused([...plain, '--add', '--method', 'joint'])).toMatch('--method: found it with --add');
    expect(await refused(['multitask', '--add', '--task', tasks[0] as string, '--json'])).toMatch('--add: found it without --model');
    expect(await refused([...plain, '--keep', 'task'])).toMatch('--keep');
    expect(existsSync(join(output, 'state'))).toBe(false);
  });

  it('the max_length of CA-MTL is the longest sequence, in training and after', async () => {
    const output = join(folder, 'short');
    const method = ['--method', 'ca_mtl_base[max_length=12]'];
    const short = ['multitask', '--model', encoder, ...tasks.slice(0, 2).flatMap((path) => ['--task', path]), '--threads', '1', '--json'];
    expect(await refused([...short, ...method, '--max-length', '16'])).toMatch(
      '--max-length: found 16; expected at most 12: the max_length of its CA-MTL modules',
    );
    const { code, stderr } = await runHere([...short, ...method, '--output', output, '--max-steps', '2']);
    expect([code, stderr]).toEqual([0, '']);
    const rows = [{ task: 'tiny-classification', text: 'the sea '.repeat(40) }];
    const input = join(folder, 'long.jsonl');
    writeFileSync(input, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const predict = ['predict', '--model', output, '--input', input, '--threads', '1', '--json'];
    expect((await runCli(predict)).code).toBe(0);
    expect((await runHere([...predict, '--max-length', '16'])).stderr).toMatch('expected at most 12: the max_length');
  });

  it('a resume with other tasks, labels or rows says what differs, and the run can still go on', async () => {
    const output = join(folder, 'changed');
    const run = startCli(command(output, 'caMtl'));
    await killAt(run, output, 9, 0);
    const [first, ...rest] = tasks as [string, ...string[]];
    expect(await refused([...command(output, 'caMtl', rest), '--resume'])).toMatch(
      'state.json: tasks: found ["tiny-regression","tiny-tagging","tiny-choice","tiny-span"] now; expected ["tiny-classification",',
    );
    const changed = join(folder, 'relabelled', 'tiny-classification');
    await cp(first, changed, { recursive: true });
    const card = JSON.parse(readFileSync(join(changed, 'card.json'), 'utf8'));
    writeFileSync(join(changed, 'card.json'), JSON.stringify({ ...card, labels: ['land', 'sea', 'sky'] }));
    expect(await refused([...command(output, 'caMtl', [changed, ...rest]), '--resume'])).toMatch(
      'state.json: head of tiny-classification: found',
    );
    expect((await runHere([...command(output, 'caMtl'), '--resume'])).code).toBe(0);
    expect(metricsOf(output)).toEqual(metricsOf(await trained('caMtl')));
  });

  it('tasks without rows, of one class, alone or twice', async () => {
    const output = join(folder, 'nothing');
    const [first, second] = tasks as [string, string];
    const edited = async (name: string, change: (lines: string[]) => string[]) => {
      const path = join(folder, name);
      await cp(first, path, { recursive: true });
      const train = join(path, 'train.jsonl');
      writeFileSync(train, change(readFileSync(train, 'utf8').trimEnd().split('\n')).join('\n'));
      return path;
    };
    const empty = await edited('empty', () => []);
    expect(await refused(command(output, 'joint', [empty, second]))).toMatch('empty/train.jsonl: found no rows; expected at least one.');
    const one = await edited('one-class', (lines) => lines.filter((line) => line.includes('"sea"')));
    expect(await refused(command(output, 'joint', [one, second]))).toMatch(
      /^the training rows of tiny-classification: found \d+ rows, all with the answer sea; expected two different answers or more\./,
    );
    expect(await refused(command(output, 'joint', [first]))).toMatch('--task: found one task; expected two or more.');
    expect(await refused(command(output, 'joint', [first, first]))).toMatch("found two tasks named 'tiny-classification'");
    expect(existsSync(output)).toBe(false);
  });

  it('unknown tasks, methods and places', async () => {
    const output = await trained('caMtl');
    const input = join(folder, 'unknown.jsonl');
    writeFileSync(input, '{"task":"tiny-choise","text":"ba"}\n');
    expect(await refused(['predict', '--json', '--model', output, '--input', input])).toMatch(
      /unknown\.jsonl:1, column "task": found "tiny-choise"; expected one of .*Did you mean "tiny-choice"\?$/,
    );
    writeFileSync(input, '{"text":"ba"}\n');
    expect(await refused(['predict', '--json', '--model', output, '--input', input])).toMatch('column "task": found none;');
    const named = await runHere(['predict', '--json', '--model', output, '--input', input, '--task', tasks[0] as string]);
    expect(JSON.parse(named.stdout)).toEqual({ prediction: expect.any(String) });
    const other = join(folder, 'other-columns');
    await cp(tasks[0] as string, other, { recursive: true });
    const card = JSON.parse(readFileSync(join(other, 'card.json'), 'utf8'));
    writeFileSync(join(other, 'card.json'), JSON.stringify({ ...card, columns: { text: 'sentence' } }));
    // Of cells that are empty the task is that of --task, whose columns are its own rows' alone.
    writeFileSync(input, '{"sentence":"ba","task":""}\n{"sentence":"ba","task":null}\n{"text":"ba","task":"tiny-regression"}\n');
    const { stdout, stderr } = await runHere(['predict', '--json', '--model', output, '--input', input, '--task', other]);
    expect(stderr).toBe('');
    const answers = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).prediction);
    expect(answers).toEqual([expect.any(String), answers[0], expect.any(Number)]);
    writeFileSync(input, '{"sentence":"ba","task":"tiny-classification"}\n');
    const again = ['predict', '--json', '--model', output, '--task', other];
    expect(JSON.parse((await runHere([...again, '--input', input])).stdout).prediction).toBe(answers[0]);
    expect(JSON.parse((await runHere([...again, 'ba'])).stdout).prediction).toBe(answers[0]);
    const unknown = await writeTinyTask(folder, 'pair', { train: 4, validation: 4, test: 4 });
    expect(await refused(['predict', '--json', '--model', output, '--input', input, '--task', unknown])).toMatch(
      /^--task: found the task tiny-pair; expected one of the tasks that the model has learnt: tiny-classification, /,
    );
    writeFileSync(input, '{"text":"ba"}\n');
    expect(await refused(['predict', '--json', '--model', output, '--input', input, '--output', input])).toMatch('which --input reads');
    expect(readFileSync(input, 'utf8')).toBe('{"text":"ba"}\n');
    for (const method of ['ca_mtl_base[freeze=99]', 'ca_mtl_base[freez=1]']) {
      const { code } = await runHere([...command(join(folder, 'x'), 'joint').slice(0, -2), '--method', method]);
      expect(code, method).toBe(2);
    }
    expect(await refused([...command(join(folder, 'x'), 'joint').slice(0, -4), '--method', 'ca_mtl_bas'])).toMatch(
      "Did you mean 'ca_mtl_base'?",
    );
    expect(await refused(command(output, 'caMtl'))).toMatch('the result of an earlier run');
    expect(await refused([...command(join(folder, 'x'), 'caMtl'), '--train-encoder'])).toMatch(
      '--train-encoder: found it with the method ca_mtl_base',
    );
  });
});

async function inspected(path: string): Promise<{ kind: string; facts: object; parameters?: number; warnings: string[] }[]> {
  return JSON.parse((await runHere(['inspect', path, '--json'])).stdout).parts;
}
