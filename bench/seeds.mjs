// @ts-check
/**
 * Does training here give the test scores it gives with PyTorch `adapters`? Trains tasks × seeds on both sides with the
 * same settings, keeps one file per run, and compares the means. Run again after a break, it does only what is left.
 *
 *     node bench/seeds.mjs --python PATH [--tasks mrpc,rte,trec6,stsb] [--seeds 1,2,3,4,5] [--jobs 2] [--out results/seeds]
 *     node bench/seeds.mjs --table
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { environment, ROOT, versions } from './environment.mjs';
import { runProcess } from './processes.mjs';
import { align } from './report.mjs';

/** @typedef {'ours' | 'adapters'} SideName */
/** @typedef {{ task: string, side: SideName, seed: number, metric: string, test: Record<string, number>, settings: Record<string, unknown> }} Run */

/** Of metrics, in points; between the means of the two sides. */
const LARGEST_MEAN_DIFFERENCE = 1;
/** @type {readonly SideName[]} */
const SIDES = ['ours', 'adapters'];
const PEER = join(ROOT, 'bench', 'peers', 'adapters_train.py');

const options = readOptions();
const CLI = join(ROOT, options.dist, 'cli', 'main.js');
/** What both sides are told; a kept run counts only when it was made with the same. */
const settings = {
  method: options.method,
  epochs: Number(options.epochs),
  batchSize: Number(options['batch-size']),
  learningRate: Number(options['learning-rate']),
  schedule: options.schedule,
  warmup: Number(options.warmup),
  weightDecay: Number(options['weight-decay']),
  clip: Number(options.clip),
  dropout: Number(options.dropout),
  maxLength: Number(options['max-length']),
  headLayers: Number(options['head-layers']),
};
if (!options.table) await runAll();
printTable();

function readOptions() {
  const { values } = parseArgs({
    options: {
      python: { type: 'string' },
      model: { type: 'string', default: join(ROOT, '..', 'shared', 'models', 'minilm') },
      data: { type: 'string', default: join(ROOT, '..', 'shared', 'data') },
      tasks: { type: 'string', default: 'mrpc,rte,trec6,stsb' },
      seeds: { type: 'string', default: '1,2,3,4,5' },
      method: { type: 'string', default: 'seq_bn' },
      epochs: { type: 'string', default: '2' },
      'batch-size': { type: 'string', default: '16' },
      'learning-rate': { type: 'string', default: '1e-3' },
      schedule: { type: 'string', default: 'linear' },
      warmup: { type: 'string', default: '0.06' },
      'weight-decay': { type: 'string', default: '0.01' },
      clip: { type: 'string', default: '1' },
      dropout: { type: 'string', default: '0.1' },
      'max-length': { type: 'string', default: '128' },
      'head-layers': { type: 'string', default: '2' },
      threads: { type: 'string', default: '1' },
      jobs: { type: 'string', default: '2' },
      dist: { type: 'string', default: 'dist' },
      out: { type: 'string', default: join(ROOT, 'results', 'seeds') },
      table: { type: 'boolean', default: false },
    },
  });
  return values;
}

/** Both sides of a seed and task stand beside each other, so that a run cut short can be compared as well. */
async function runAll() {
  const problem = whatIsMissing();
  if (problem) return console.log(problem);
  mkdirSync(options.out, { recursive: true });
  const left = options.seeds
    .split(',')
    .flatMap((seed) => options.tasks.split(',').flatMap((task) => SIDES.map((side) => ({ task, side, seed: Number(seed) }))))
    .filter(({ side }) => side === 'ours' || options.python !== undefined)
    .filter(({ task, side, seed }) => !isDone(pathOf(task, side, seed)));
  console.log(`${left.length} runs to do`);
  const lanes = Array.from({ length: Number(options.jobs) }, async () => {
    for (let next = left.shift(); next; next = left.shift()) await runOne(next.task, next.side, next.seed);
  });
  await Promise.all(lanes);
}

function whatIsMissing() {
  if (!existsSync(CLI)) return 'Nothing trained: the library is not built; run `npm run build`.';
  if (!existsSync(join(options.model, 'config.json'))) return 'Nothing trained: there is no model folder; give one with --model DIR.';
  const absent = options.tasks.split(',').find((task) => !existsSync(join(options.data, task, 'card.json')));
  return absent === undefined ? undefined : `Nothing trained: there is no task folder ${absent} in --data.`;
}

/**
 * @param {string} task
 * @param {SideName} side
 * @param {number} seed
 */
function pathOf(task, side, seed) {
  return join(options.out, nameOf({ task, side, seed }));
}

/** @param {Pick<Run, 'task' | 'side' | 'seed'>} run */
function nameOf({ task, side, seed }) {
  return `${task}-${side}-${seed}.json`;
}

/** @param {string} path */
function isDone(path) {
  if (!existsSync(path)) return false;
  const { settings: kept } = JSON.parse(readFileSync(path, 'utf8'));
  if (isDeepStrictEqual(kept, settings)) return true;
  throw new Error(`${path} was made with ${JSON.stringify(kept)}, not ${JSON.stringify(settings)}; give another --out or the same flags`);
}

/**
 * @param {string} task
 * @param {SideName} side
 * @param {number} seed
 */
async function runOne(task, side, seed) {
  const folder = mkdtempSync(join(tmpdir(), 'multigraft-seeds-'));
  try {
    const { loadBefore: _load, ...where } = environment();
    const result = await (side === 'ours' ? trainOurs(task, seed, folder) : trainTheirs(task, seed, folder));
    const run = { task, side, seed, settings, ...where, ...result };
    const path = pathOf(task, side, seed);
    writeFileSync(`${path}.part`, `${JSON.stringify(run, null, 1)}\n`);
    renameSync(`${path}.part`, path);
    console.log(`${task} ${side} seed ${seed}: ${result.metric} ${result.test[result.metric]?.toFixed(4)}, ${result.seconds} s`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * @param {string} task
 * @param {number} seed
 */
function flagsFor(task, seed) {
  const flags = Object.entries({ ...settings, model: options.model, task: join(options.data, task), seed, threads: options.threads });
  return flags.flatMap(([name, value]) => [`--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`, `${value}`]);
}

/**
 * @param {string} task
 * @param {number} seed
 * @param {string} folder
 */
async function trainOurs(task, seed, folder) {
  const output = join(folder, 'run');
  const { ms } = await runProcess(process.execPath, [CLI, 'train', ...flagsFor(task, seed), '--output', output, '--json']);
  const metrics = JSON.parse(readFileSync(join(output, 'metrics.json'), 'utf8'));
  // The primary metric stands first.
  const { validation, test } = metrics.metrics;
  const metric = /** @type {string} */ (Object.keys(test)[0]);
  return { metric, validation, test, seconds: seconds(ms), versions: versions() };
}

/**
 * @param {string} task
 * @param {number} seed
 * @param {string} folder
 */
async function trainTheirs(task, seed, folder) {
  const output = join(folder, 'run.json');
  const python = /** @type {string} */ (options.python);
  const { ms } = await runProcess(python, [PEER, ...flagsFor(task, seed), '--padding', 'longest', '--output', output]);
  const { metric, validation, test, versions } = JSON.parse(readFileSync(output, 'utf8'));
  return { metric, validation, test, seconds: seconds(ms), versions };
}

/** @param {number} ms */
function seconds(ms) {
  return Math.round(ms / 100) / 10;
}

/**
 * Means within noise: |mean₁ − mean₂| ≤ 3·√(s₁²/n₁ + s₂²/n₂) on every task. Scores and differences in points (hundredths).
 */
function printTable() {
  const runs = readRuns();
  if (runs.length === 0) return console.log(`No runs in ${options.out}`);
  const tasks = [...new Set(runs.map((run) => run.task))].sort();
  const differences = /** @type {number[]} */ ([]);
  const rows = tasks.map((task) => {
    const of = (/** @type {SideName} */ side) => runs.filter((run) => run.task === task && run.side === side);
    const metric = of('ours')[0]?.metric ?? of('adapters')[0]?.metric ?? '';
    const [ours, theirs] = SIDES.map((side) => statistics(of(side).map((run) => 100 * (run.test[metric] ?? Number.NaN))));
    if (!ours || !theirs || ours.n < 2 || theirs.n < 2) return [task, metric, show(ours), show(theirs), '–', '–', 'too few runs'];
    const difference = ours.mean - theirs.mean;
    const limit = 3 * Math.sqrt(ours.variance / ours.n + theirs.variance / theirs.n);
    differences.push(Math.abs(difference));
    return [task, metric, show(ours), show(theirs), signed(difference), limit.toFixed(2), Math.abs(difference) <= limit ? 'yes' : 'NO'];
  });
  console.log(align([['task', 'metric', 'ours', 'adapters', 'difference', 'limit', 'within'], ...rows]));
  if (differences.length === 0) return;
  const mean = statistics(differences).mean;
  console.log(
    `\nMean difference, signs dropped: ${mean.toFixed(2)} points; limit ${LARGEST_MEAN_DIFFERENCE}: ${mean <= LARGEST_MEAN_DIFFERENCE ? 'yes' : 'NO'}`,
  );
}

/** @returns {Run[]} */
function readRuns() {
  if (!existsSync(options.out)) return [];
  const names = readdirSync(options.out).filter((name) => /-(ours|adapters)-\d+\.json$/.test(name));
  const runs = names.map((name) => /** @type {Run} */ (JSON.parse(readFileSync(join(options.out, name), 'utf8'))));
  for (const run of runs) {
    const other = runs.find((one) => one.task === run.task && !isDeepStrictEqual(one.settings, run.settings));
    if (other)
      throw new Error(`${options.out}: runs of ${run.task} with different settings (${nameOf(run)} and ${nameOf(other)}); remove one kind`);
  }
  return runs;
}

/** @param {readonly number[]} values */
function statistics(values) {
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1);
  return { n, mean, variance };
}

/** @param {{ n: number, mean: number, variance: number } | undefined} side */
function show(side) {
  if (!side || side.n === 0) return '–';
  return `${side.mean.toFixed(2)} ± ${side.n > 1 ? Math.sqrt(side.variance).toFixed(2) : '?'} (${side.n})`;
}

/** @param {number} value */
function signed(value) {
  return `${value >= 0 ? '+' : ''}${value.toFixed(2)}`;
}
