// @ts-check
/**
 * The experiment of Pfeiffer et al. 2021 on sixteen tasks: head only, full fine-tuning, one adapter per task (ST-A), and a
 * fusion of all sixteen adapters for each task. One JSON file per run in --out; runs that have one are not repeated, so the
 * script can be stopped at any time. Adapters lie in --work, outside the repository.
 *
 *     node tools/experiments/adapterfusion.mjs --data ../shared/data --model ../shared/models/minilm --work DIR [--jobs 2]
 *     node tools/experiments/adapterfusion.mjs --table            writes docs/experiments/adapterfusion.md from the results
 *     node tools/experiments/adapterfusion.mjs --budget --data …  prints what is to be computed, and stops
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

const TASKS = [
  ...['mnli', 'qqp', 'sst2', 'winogrande', 'imdb', 'hellaswag', 'social_iqa', 'cosmos_qa', 'scitail', 'argument_stance'],
  ...['commonsense_qa', 'boolq', 'mrpc', 'sick_entailment', 'rte', 'cb'],
];
/** The six with the fewest training rows get three seeds. */
const SMALL = 6;
const LIMIT = 1500;
/** Passes over the rows and learning rates; the relative cost of a row is against one of an adapter's training. */
const METHODS = {
  head: { epochs: 3, learningRate: 1e-3, cost: 0.45 },
  full: { epochs: 2, learningRate: 5e-5, cost: 1.6 },
  'st-a': { epochs: 5, learningRate: 1e-3, cost: 1 },
  'fusion-st-a': { epochs: 3, learningRate: 1e-4, cost: 1.8 },
};
/** @typedef {keyof typeof METHODS} Method */
/** @typedef {{ task: string, method: Method, seed: number }} Job */

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const { values } = parseArgs({
  options: {
    data: { type: 'string', default: join(ROOT, '..', 'shared', 'data') },
    model: { type: 'string', default: join(ROOT, '..', 'shared', 'models', 'minilm') },
    work: { type: 'string' },
    out: { type: 'string', default: join(ROOT, 'results', 'adapterfusion') },
    jobs: { type: 'string', default: '2' },
    dist: { type: 'string', default: join(ROOT, 'dist') },
    budget: { type: 'boolean', default: false },
    table: { type: 'boolean', default: false },
    one: { type: 'string' },
  },
});

if (values.table) writeTable();
else if (values.one !== undefined) await runOne(JSON.parse(values.one));
else {
  printBudget();
  if (!values.budget) await runAll();
}

/** Adapters before the fusions that need all of them; small tasks first, so that a run cut short has the interesting ones. */
function allJobs() {
  const bySize = TASKS.map((task) => ({ task, rows: trainingRows(task) })).sort((a, b) => a.rows - b.rows);
  const jobs = /** @type {Job[]} */ ([]);
  for (const method of /** @type {Method[]} */ (['st-a', 'fusion-st-a', 'head', 'full']))
    for (const [place, { task }] of bySize.entries()) for (const seed of place < SMALL ? [1, 2, 3] : [1]) jobs.push({ task, method, seed });
  return jobs;
}

/** @param {string} task */
function trainingRows(task) {
  return readFileSync(join(values.data, task, 'train.jsonl'), 'utf8')
    .split('\n')
    .filter(Boolean).length;
}

/** @param {Job} job */
function resultOf({ task, method, seed }) {
  return join(values.out, `${task}-${method}-${seed}.json`);
}

function printBudget() {
  const jobs = allJobs();
  const passes = jobs.map(({ task, method }) => Math.min(LIMIT, trainingRows(task)) * METHODS[method].epochs * METHODS[method].cost);
  const left = jobs.reduce((sum, job, i) => sum + (existsSync(resultOf(job)) ? 0 : /** @type {number} */ (passes[i])), 0);
  const all = passes.reduce((a, b) => a + b, 0);
  console.log(
    `${jobs.length} runs, ${Math.round(all / 1000)}k row passes in units of an adapter's training; ${Math.round(left / 1000)}k of them to do.`,
  );
  console.log(`At 50 rows a second on two cores: about ${(left / 50 / 3600).toFixed(1)} hours.`);
}

async function runAll() {
  if (values.work === undefined) throw new Error('--work DIR: a folder outside the repository for the adapters');
  mkdirSync(values.out, { recursive: true });
  const left = allJobs().filter((job) => !existsSync(resultOf(job)));
  const running = new Set();
  const ready = (/** @type {Job} */ { method, seed }) =>
    method !== 'fusion-st-a' ||
    TASKS.every((task) =>
      existsSync(join(/** @type {string} */ (values.work), 'st-a', `${task}-${adapterSeed(task, seed)}`, 'metrics.json')),
    );
  const lane = async () => {
    while (left.length > 0) {
      const at = left.findIndex(ready);
      if (at < 0) {
        // Fusions wait for the last adapter, which another lane trains.
        await new Promise((resolve) => setTimeout(resolve, 2000));
        continue;
      }
      const [job] = /** @type {[Job]} */ (left.splice(at, 1));
      running.add(job);
      const args = [
        '--one',
        JSON.stringify(job),
        ...['data', 'model', 'work', 'out', 'dist'].flatMap((name) => [`--${name}`, Reflect.get(values, name)]),
      ];
      const started = performance.now();
      await promisify(execFile)(process.execPath, [fileURLToPath(import.meta.url), ...args], { maxBuffer: 2 ** 26 });
      running.delete(job);
      console.log(
        `${job.task} ${job.method} seed ${job.seed}: ${((performance.now() - started) / 1000).toFixed(0)} s, ${left.length} left`,
      );
    }
  };
  await Promise.all(Array.from({ length: Number(values.jobs) }, lane));
}

/**
 * Large tasks have one adapter, which serves the fusions of every seed.
 * @param {string} task
 * @param {number} seed
 */
function adapterSeed(task, seed) {
  const small = TASKS.map((name) => ({ name, rows: trainingRows(name) }))
    .sort((a, b) => a.rows - b.rows)
    .slice(0, SMALL);
  return small.some(({ name }) => name === task) ? seed : 1;
}

/** @param {Job} job */
async function runOne(job) {
  const { task: name, method, seed } = job;
  const load = (/** @type {string} */ module) => import(join(values.dist, module));
  const [{ nodeFiles }, { nodeEngine }, { loadTask }, train, { configureMethod, fusionConfig }] = await Promise.all(
    ['base/files-node.js', 'session/node.js', 'tasks/index.js', 'train/index.js', 'methods/index.js'].map(load),
  );
  const work = /** @type {string} */ (values.work);
  const { epochs, learningRate } = METHODS[method];
  const excluded = JSON.parse(readFileSync(join(values.data, 'mtl_exclude.json'), 'utf8')).tasks[name]?.trainLines ?? [];
  const output = join(work, method, `${name}-${seed}`);
  if (existsSync(join(output, 'metrics.json'))) rmSync(output, { recursive: true });
  const common = {
    files: nodeFiles,
    engine: await nodeEngine({ threads: 1 }),
    model: values.model,
    task: await loadTask(nodeFiles, join(values.data, name)),
    limit: LIMIT,
    exclude: new Set(excluded),
    settings: train.trainSettings.parse({ epochs, learningRate, seed, batchSize: 16, maxLength: 128 }),
    resume: existsSync(join(output, 'state', 'state.json')),
    output,
  };
  const text = { head: 'head', full: 'full', 'st-a': 'seq_bn' };
  const result =
    method === 'fusion-st-a'
      ? await train.trainFusion({
          ...common,
          adapters: TASKS.map((task) => join(work, 'st-a', `${task}-${adapterSeed(task, seed)}`)),
          config: fusionConfig('dynamic'),
        })
      : await train.trainTask({ ...common, name, method: configureMethod(text[method]) });
  const { metrics, majority, parameters, steps, seconds, attention } = result;
  const kept = {
    ...job,
    metric: common.task.metric,
    metrics,
    majority,
    parameters,
    steps,
    seconds,
    settings: { ...METHODS[method], limit: LIMIT },
  };
  const path = resultOf(job);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(
    `${path}.part`,
    `${JSON.stringify({ ...kept, ...(attention && { attention: { adapters: attention.adapters, mean: attention.mean } }) })}\n`,
  );
  renameSync(`${path}.part`, path);
  // A whole encoder per task is not kept.
  if (method === 'full') rmSync(output, { recursive: true });
}

function writeTable() {
  const runs = readdirSync(values.out)
    .filter((file) => file.endsWith('.json'))
    .map((file) => JSON.parse(readFileSync(join(values.out, file), 'utf8')));
  const methods = /** @type {Method[]} */ (Object.keys(METHODS));
  const cell = (/** @type {string} */ task, /** @type {Method} */ method) => {
    const scores = runs.filter((run) => run.task === task && run.method === method).map((run) => 100 * run.metrics.test[run.metric]);
    if (scores.length === 0) return undefined;
    const mean = scores.reduce((a, b) => a + b, 0) / scores.length;
    const deviation = Math.sqrt(scores.reduce((sum, x) => sum + (x - mean) ** 2, 0) / Math.max(1, scores.length - 1));
    return { mean, text: scores.length > 1 ? `${mean.toFixed(1)} ± ${deviation.toFixed(1)}` : mean.toFixed(1) };
  };
  const rows = TASKS.map((task) => ({ task, cells: methods.map((method) => cell(task, method)) }));
  const complete = rows.filter(({ cells }) => cells.every(Boolean));
  const means = methods.map((_, i) => complete.reduce((sum, { cells }) => sum + (cells[i]?.mean ?? 0), 0) / complete.length);
  const lines = [
    '# AdapterFusion on sixteen tasks',
    '',
    'Made by `node tools/experiments/adapterfusion.mjs --table` from `results/adapterfusion/`; the script says what was run.',
    `MiniLM, at most ${LIMIT} training rows of each task and ${LIMIT} of each other split, test metric in hundredths; ± is the standard deviation of three seeds.`,
    '',
    `| task | ${methods.join(' | ')} |`,
    `| --- |${' --- |'.repeat(methods.length)}`,
    ...rows.map(({ task, cells }) => `| ${task} | ${cells.map((one) => one?.text ?? '–').join(' | ')} |`),
    ...(complete.length > 0
      ? [`| mean of ${complete.length} tasks that have all | ${means.map((mean) => mean.toFixed(1)).join(' | ')} |`]
      : []),
    '',
  ];
  const path = join(ROOT, 'docs', 'experiments', 'adapterfusion.md');
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, lines.join('\n'));
  console.log(lines.join('\n'));
}
