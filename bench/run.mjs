// @ts-check
/**
 * Measures this library, in turn with PyTorch `adapters` when a Python that has it is given.
 *
 *     node bench/run.mjs [--python PATH] [--model DIR] [--task DIR] [--rounds 7] [--only step,memory,forward,task,cold]
 *
 * bench/README.md says what is measured and how to read it.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { environment, load, ROOT, versions, warnWhenBusy } from './environment.mjs';
import { runProcess, startWorker } from './processes.mjs';
import { median, renderTable, summarize } from './report.mjs';

/** @typedef {import('./report.mjs').Result} Result */

const MEASUREMENTS = ['step', 'memory', 'forward', 'task', 'cold'];
/** Both sides' thread pools spin for a while after their work; the other side waits until they sleep. */
const PAUSE_MS = 400;
const WARM_UP = 2;
const PEER = join(ROOT, 'bench', 'peers', 'adapters_bench.py');
const PEER_TRAINING = join(ROOT, 'bench', 'peers', 'adapters_train.py');

const options = readOptions();
const CLI = join(ROOT, options.dist, 'cli', 'main.js');
const missing = whatIsMissing();
if (missing) console.log(`Nothing measured: ${missing}`);
else await main();

async function main() {
  const print = (/** @type {string} */ text) => process.stderr.write(`${text}\n`);
  const report = {
    ...environment(),
    settings: settingsOf(),
    versions: await allVersions(),
    results: /** @type {Result[]} */ ([]),
    loadAfter: 0,
  };
  const path = options.out ?? join(ROOT, 'results', 'bench', `${report.date.slice(0, 16).replace(/[:T]/g, '-')}.json`);
  mkdirSync(dirname(path), { recursive: true });
  // After each part, so that a later failure does not cost what was measured.
  const keep = (/** @type {Result[]} */ results) => {
    report.results.push(...results);
    report.loadAfter = load();
    writeFileSync(path, `${JSON.stringify(report, null, 1)}\n`);
  };
  warnWhenBusy(print);
  const workers = options.only.filter((name) => ['step', 'memory', 'forward'].includes(name));
  if (workers.length > 0) keep(await measureWorkers(workers));
  if (options.only.includes('task')) keep(await measureTask());
  if (options.only.includes('cold')) keep([await measureColdStart()]);
  console.log(renderTable(report.results));
  console.log(`\nWritten to ${relative(process.cwd(), path)}`);
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      python: { type: 'string' },
      model: { type: 'string', default: join(ROOT, '..', 'shared', 'models', 'minilm') },
      task: { type: 'string', default: join(ROOT, '..', 'shared', 'data', 'mrpc') },
      method: { type: 'string', default: 'seq_bn' },
      batch: { type: 'string', default: '16' },
      length: { type: 'string', default: '128' },
      'micro-batch': { type: 'string', default: '4' },
      threads: { type: 'string', default: '2' },
      fuse: { type: 'string', default: '0' },
      dropout: { type: 'string', default: '0.1' },
      rounds: { type: 'string', default: '7' },
      repeats: { type: 'string', default: '3' },
      'task-rounds': { type: 'string', default: '1' },
      'task-epochs': { type: 'string', default: '1' },
      'task-steps': { type: 'string' },
      dist: { type: 'string', default: 'dist' },
      only: { type: 'string', default: MEASUREMENTS.join(',') },
      out: { type: 'string' },
    },
  });
  const only = values.only.split(',');
  const unknown = only.find((name) => !MEASUREMENTS.includes(name));
  if (unknown !== undefined) throw new Error(`--only: '${unknown}'; expected some of ${MEASUREMENTS.join(', ')}`);
  const { rounds, repeats, 'task-rounds': taskRounds, ...rest } = values;
  return { ...rest, only, rounds: Number(rounds), repeats: Number(repeats), taskRounds: Number(taskRounds) };
}

function whatIsMissing() {
  if (!existsSync(join(ROOT, options.dist, 'train', 'step.js'))) return 'the library is not built; run `npm run build`.';
  if (!existsSync(join(options.model, 'config.json')))
    return 'there is no model folder; give one with --model DIR (a Hugging Face folder).';
  return undefined;
}

async function allVersions() {
  const theirs = options.python === undefined ? undefined : JSON.parse((await runProcess(options.python, [PEER, '--versions'])).stdout);
  return { ours: versions(), ...(theirs && { theirs }) };
}

/** All but the places of things. */
function settingsOf() {
  const { python, model, task, out, only, ...settings } = options;
  const nameOf = (/** @type {string} */ path) => path.replace(/\/+$/, '').split('/').at(-1);
  return { ...settings, model: nameOf(model), task: nameOf(task), peer: python !== undefined };
}

/**
 * Training step, memory after training steps, and evaluation, in two processes that stay alive and work in turn.
 * @param {readonly string[]} what
 */
async function measureWorkers(what) {
  const args = ['model', 'method', 'batch', 'length', 'threads', 'dropout', 'fuse'].flatMap((name) => [
    `--${name}`,
    Reflect.get(options, name),
  ]);
  const ours = await startWorker(process.execPath, [
    join(ROOT, 'bench', 'ours.mjs'),
    ...args,
    '--micro-batch',
    options['micro-batch'],
    '--dist',
    options.dist,
  ]);
  const theirs = options.python === undefined ? undefined : await startWorker(options.python, [PEER, ...args]);
  const targets = options.fuse === '0' ? { step: 0.45, memory: 0.45 } : { step: 0.16, memory: 0.25 };
  /** @type {Result[]} */
  const results = [];
  try {
    if (what.includes('step')) results.push(summarize('training step', 'ms', await inTurn(ours, theirs, 'step'), targets.step));
    if (what.includes('memory')) {
      if (!what.includes('step')) await inTurn(ours, theirs, 'step', 1);
      const peaks = await Promise.all([ours, theirs].map(async (worker) => (await worker?.ask('stats'))?.peakMB ?? null));
      results.push(summarize('peak memory, training', 'MB', { ours: [peaks[0]], theirs: [peaks[1]] }, targets.memory));
    }
    if (what.includes('forward')) results.push(summarize('forward', 'ms', await inTurn(ours, theirs, 'forward')));
  } finally {
    await Promise.all([ours.quit(), theirs?.quit()]);
  }
  return results;
}

/**
 * Ours, theirs, ours, theirs, …: what disturbs the machine disturbs both. A round's number is the median of its repeats.
 * @param {import('./processes.mjs').Worker} ours
 * @param {import('./processes.mjs').Worker | undefined} theirs
 * @param {string} command
 */
async function inTurn(ours, theirs, command, rounds = options.rounds) {
  const times = { ours: /** @type {number[]} */ ([]), theirs: /** @type {number[]} */ ([]) };
  for (const worker of [ours, theirs]) for (let i = 0; worker && i < WARM_UP; i++) await worker.ask(command);
  for (let round = 0; round < rounds; round++) {
    times.ours.push(await turn(ours, command));
    if (theirs) times.theirs.push(await turn(theirs, command));
  }
  return times;
}

/**
 * @param {import('./processes.mjs').Worker} worker
 * @param {string} command
 */
async function turn(worker, command) {
  await sleep(PAUSE_MS);
  const values = [];
  for (let i = 0; i < options.repeats; i++) values.push((await worker.ask(command)).ms);
  return median(values);
}

/**
 * A real task from text to test scores: loading, training, an evaluation each epoch and of the test split. Each side says
 * how long that took; what Node and Python need to start is left out, which favours the peer.
 */
async function measureTask() {
  if (!existsSync(join(options.task, 'card.json'))) {
    process.stderr.write('task: skipped, there is no task folder; give one with --task DIR\n');
    return [];
  }
  const sides = ['ours', ...(options.python === undefined ? [] : ['longest', 'max'])];
  /** @type {Record<string, { seconds: number[], peaks: (number | null)[] }>} */
  const measured = Object.fromEntries(sides.map((side) => [side, { seconds: [], peaks: [] }]));
  await inTemporaryFolder(async (folder) => {
    for (let round = 0; round < options.taskRounds; round++) {
      for (const side of sides) {
        await sleep(PAUSE_MS);
        const { seconds, peakMB } = await (side === 'ours' ? trainOurs(join(folder, `${round}`)) : trainTheirs(side));
        measured[side]?.seconds.push(seconds);
        measured[side]?.peaks.push(peakMB);
      }
    }
  });
  const ours = measured.ours?.seconds ?? [];
  return [
    summarize('task, padded to the batch', 's', { ours, theirs: measured.longest?.seconds ?? [] }, 0.5),
    summarize('task, padded to the length', 's', { ours, theirs: measured.max?.seconds ?? [] }, 0.25),
    summarize('peak memory, task', 'MB', { ours: measured.ours?.peaks ?? [], theirs: measured.longest?.peaks ?? [] }),
  ];
}

function trainingFlags() {
  return [
    ...['--model', options.model, '--task', options.task, '--method', options.method],
    ...['--epochs', options['task-epochs'], '--batch-size', options.batch, '--max-length', options.length],
    ...['--learning-rate', '1e-3', '--seed', '1', '--threads', options.threads],
    ...(options['task-steps'] === undefined ? [] : ['--max-steps', options['task-steps']]),
  ];
}

/** @param {string} output */
async function trainOurs(output) {
  const { stdout, peakMB } = await runProcess(process.execPath, [CLI, 'train', ...trainingFlags(), '--output', output, '--json']);
  return { seconds: /** @type {number} */ (JSON.parse(stdout).seconds), peakMB };
}

/** @param {string} padding */
async function trainTheirs(padding) {
  const python = /** @type {string} */ (options.python);
  const { stdout, peakMB } = await runProcess(python, [PEER_TRAINING, ...trainingFlags(), '--padding', padding]);
  return { seconds: /** @type {number} */ (JSON.parse(stdout).seconds.total), peakMB };
}

/**
 * From the shell to one predicted row and back. The peer only starts, loads and runs one short row of token ids, which
 * is less than our side does.
 */
async function measureColdStart() {
  const times = { ours: /** @type {number[]} */ ([]), theirs: /** @type {number[]} */ ([]) };
  await inTemporaryFolder(async (folder) => {
    const task = join(folder, 'task');
    mkdirSync(task);
    writeFileSync(join(task, 'card.json'), JSON.stringify({ name: 'cold', kind: 'classification', labels: ['no', 'yes'] }));
    const rows = ['It was a fine day.', 'Nothing worked at all.'].map((text, i) => JSON.stringify({ text, label: ['yes', 'no'][i] }));
    for (const split of ['train', 'validation', 'test']) writeFileSync(join(task, `${split}.jsonl`), `${rows.join('\n')}\n`);
    writeFileSync(join(folder, 'input.jsonl'), `${JSON.stringify({ text: 'A train left the station.' })}\n`);
    const adapter = join(folder, 'adapter');
    const flags = ['--model', options.model, '--task', task, '--method', options.method, '--max-steps', '1', '--output', adapter];
    await runProcess(process.execPath, [CLI, 'train', ...flags]);
    const predict = ['predict', '--model', options.model, '--adapter', adapter, '--input', join(folder, 'input.jsonl')];
    for (let round = 0; round < options.rounds; round++) {
      await sleep(PAUSE_MS);
      times.ours.push((await runProcess(process.execPath, [CLI, ...predict, '--output', join(folder, 'output.jsonl')])).ms);
      if (options.python === undefined) continue;
      await sleep(PAUSE_MS);
      const start = performance.now();
      const flags = ['--model', options.model, '--method', options.method, '--threads', options.threads];
      const worker = await startWorker(options.python, [PEER, ...flags, '--batch', '1', '--length', '8']);
      await worker.ask('forward');
      await worker.quit();
      times.theirs.push(performance.now() - start);
    }
  });
  return summarize('cold start of predict', 'ms', times, undefined, 2000);
}

/** @param {(folder: string) => Promise<void>} action */
async function inTemporaryFolder(action) {
  const folder = mkdtempSync(join(tmpdir(), 'multigraft-bench-'));
  try {
    await action(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
