// @ts-check
/**
 * The experiment of Pfeiffer et al. 2021 on sixteen tasks: head only, full fine-tuning, one adapter per task (ST-A), adapters of all
 * tasks trained together with the encoder (MT-A), and for each task a fusion of all sixteen adapters of either kind. Rows that
 * share text with the test rows of another task are left out everywhere (mtl_exclude.json beside the data). One JSON file per
 * task, method and seed in --out; what has one is not repeated, and a run that was stopped goes on, so the script can be stopped at
 * any time. Adapters lie in --work, outside the repository.
 *
 *     node tools/experiments/adapterfusion.mjs --budget             prints what is to be computed, and stops
 *     node tools/experiments/adapterfusion.mjs --work DIR           computes it, two runs at a time
 *     node tools/experiments/adapterfusion.mjs --work DIR --pilot fusion-st-a --rates 1e-4,5e-4,1e-3 --targets cb,rte,mrpc
 *         only these targets, at each rate: validation metrics to choose METHODS' rates by, in --out/pilot
 *     node tools/experiments/adapterfusion.mjs --work DIR --better mnli=4000 --targets cb,rte,mrpc,sick_entailment
 *         the fusions of these targets once more, with adapters of these tasks that saw more rows, in --out/better
 *     node tools/experiments/adapterfusion.mjs --work DIR --alone --targets cb,rte,mrpc,sick_entailment,scitail
 *         fusions of these targets' own adapters alone: what training goes on to give without any other adapter, in --out/alone
 *     node tools/experiments/adapterfusion.mjs --table              writes docs/experiments/adapterfusion.md from the results
 *     multigraft attention DIR/fusion-st-a/*-1 --output FOLDER      draws which task listens to which adapter
 *
 * To see that it works: --limit 40 --tasks cb,rte,commonsense_qa --model assets/seedling --out and --work somewhere else.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

/** By the paper's number of training rows, the largest first. */
const TASKS = [
  ...['mnli', 'qqp', 'sst2', 'winogrande', 'imdb', 'hellaswag', 'social_iqa', 'cosmos_qa', 'scitail', 'argument_stance'],
  ...['commonsense_qa', 'boolq', 'mrpc', 'sick_entailment', 'rte', 'cb'],
];
/** The six that are smallest in the paper get three seeds; here all but cb have more rows than the limit. */
const SMALL = 6;
/** Rows of each split. */
const LIMIT = 500;
const BATCH = 16;
/** Epochs between evaluations; the last step has one too. */
const EVALUATE = 2;
/**
 * Passes over the rows, learning rates, and what a row costs in training and in evaluation, against one of an adapter's training. Rates
 * of head, full and fusions: of three the one with the most validation rows right over cb, mrpc and sick_entailment (`--pilot`).
 */
const METHODS = {
  head: { epochs: 3, learningRate: 3e-3, cost: 0.45, forward: 0.45 },
  full: { epochs: 2, learningRate: 1e-4, cost: 1.7, forward: 0.45 },
  'st-a': { epochs: 4, learningRate: 1e-3, cost: 1, forward: 0.45 },
  'mt-a': { epochs: 3, learningRate: 1e-4, cost: 1.8, forward: 0.45 },
  'fusion-st-a': { epochs: 3, learningRate: 5e-4, cost: 1.65, forward: 0.65 },
  'fusion-mt-a': { epochs: 3, learningRate: 5e-4, cost: 1.65, forward: 0.65 },
};
/** Of 128 tokens, in training an adapter of MiniLM, on two cores (40 ms each). */
const ROWS_PER_SECOND = 25;
/** What is set against single-task adapters. */
const COMPARED = /** @type {Method[]} */ (['fusion-st-a', 'mt-a', 'fusion-mt-a', 'full', 'head']);
/** The one run of all tasks. */
const ALL = 'all';
/** @typedef {keyof typeof METHODS} Method */
/**
 * `learningRate`: of a pilot, in place of the method's; `better`: rows of the tasks whose adapters saw more; `alone`: no other task's adapter.
 * @typedef {{ task: string, method: Method, seed: number, learningRate?: number, better?: Record<string, number>, alone?: true }} Job
 */

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
    limit: { type: 'string', default: String(LIMIT) },
    tasks: { type: 'string', default: TASKS.join() },
    pilot: { type: 'string' },
    rates: { type: 'string', default: '' },
    better: { type: 'string' },
    alone: { type: 'boolean', default: false },
    targets: { type: 'string', default: TASKS.slice(-SMALL).join() },
  },
});
const tasks = values.tasks.split(',');
const limit = Number(values.limit);

if (values.table) writeTable();
else if (values.one !== undefined) await runOne(JSON.parse(values.one));
else {
  printBudget();
  if (!values.budget) await runAll();
}

/**
 * Adapters before the fusions that need all of them; small tasks first, so that a run cut short has the interesting ones.
 * @returns {Job[]}
 */
function allJobs() {
  if (values.pilot !== undefined) return pilotJobs(/** @type {Method} */ (values.pilot));
  if (values.better !== undefined) return betterJobs(values.better);
  if (values.alone)
    return values.targets.split(',').flatMap((task) => seedsOf(task).map((seed) => ({ task, method: 'fusion-st-a', seed, alone: true })));
  const jobsOf = (/** @type {Method} */ method) => bySize().flatMap((task) => seedsOf(task).map((seed) => ({ task, method, seed })));
  return [
    ...jobsOf('st-a'),
    { task: ALL, method: 'mt-a', seed: 1 },
    .../** @type {Method[]} */ (['fusion-st-a', 'fusion-mt-a', 'head', 'full']).flatMap(jobsOf),
  ];
}

/** @param {Method} method @returns {Job[]} */
function pilotJobs(method) {
  const rates = values.rates.split(',').map(Number);
  return values.targets.split(',').flatMap((task) => rates.map((learningRate) => ({ task, method, seed: 1, learningRate })));
}

/** @param {string} text such as mnli=4000,qqp=2000 @returns {Job[]} */
function betterJobs(text) {
  const better = Object.fromEntries(text.split(',').map((one) => [one.split('=')[0], Number(one.split('=')[1])]));
  return [
    ...Object.keys(better).map((task) => ({ task, method: /** @type {Method} */ ('st-a'), seed: 1, better })),
    ...values.targets
      .split(',')
      .flatMap((task) => [1, 2, 3].map((seed) => ({ task, method: /** @type {Method} */ ('fusion-st-a'), seed, better }))),
  ];
}

/** @param {string} task */
function seedsOf(task) {
  return bySize().indexOf(task) < SMALL ? [1, 2, 3] : [1];
}

/** The smallest first. */
function bySize() {
  return tasks.toSorted((a, b) => TASKS.indexOf(b) - TASKS.indexOf(a));
}

/** @param {string} task @param {string} split */
function linesOf(task, split) {
  return readFileSync(join(values.data, task, `${split}.jsonl`), 'utf8')
    .split('\n')
    .filter(Boolean);
}

/** @param {string} task */
function excludedFrom(task) {
  return new Set(JSON.parse(readFileSync(join(values.data, 'mtl_exclude.json'), 'utf8')).tasks[task]?.trainLines ?? []);
}

/** Training rows. @param {string} task @param {number} [most] */
function rowsOf(task, most = limit) {
  return Math.min(most, linesOf(task, 'train').length - excludedFrom(task).size);
}

/** @param {Job} job */
function resultOf({ task, method, seed, learningRate, better, alone }) {
  if (alone) return join(values.out, 'alone', `${task}-${method}-${seed}.json`);
  if (better) return join(values.out, 'better', `${task}-${method}-${seed}.json`);
  if (learningRate !== undefined) return join(values.out, 'pilot', `${task}-${method}-${seed}-${learningRate}.json`);
  return join(values.out, `${task}-${method}-${seed}.json`);
}

/** @param {Job} job */
function done(job) {
  return (job.task === ALL ? tasks : [job.task]).every((task) => existsSync(resultOf({ ...job, task })));
}

/** @param {Pick<Job, 'method' | 'task' | 'seed' | 'better' | 'alone'>} job */
function folderOf({ method, task, seed, better, alone }) {
  if (alone) return join(/** @type {string} */ (values.work), `${method}-alone`, `${task}-${seed}`);
  const more = method === 'st-a' ? better?.[task] : better && Object.entries(better).flat().join('-');
  if (more !== undefined) return join(/** @type {string} */ (values.work), `${method}-better`, `${task}-${seed}-${more}`);
  return join(/** @type {string} */ (values.work), method, method === 'mt-a' ? String(seed) : `${task}-${seed}`);
}

function printBudget() {
  const sizes = new Map();
  const sizeOf = (/** @type {string} */ task, most = limit) => {
    const key = `${task} ${most}`;
    if (!sizes.has(key)) sizes.set(key, passesOf(task, most));
    return /** @type {ReturnType<typeof passesOf>} */ (sizes.get(key));
  };
  const passes = allJobs().map((job) => {
    const { epochs, cost, forward } = METHODS[job.method];
    const judged = (/** @type {ReturnType<typeof passesOf>} */ { train, validation, test }) =>
      epochs * train * cost + Math.ceil(epochs / EVALUATE) * validation * forward + (validation + test) * forward;
    const each = (job.task === ALL ? tasks : [job.task]).map((task) =>
      judged(sizeOf(task, job.method === 'st-a' ? job.better?.[task] : limit)),
    );
    return { job, cost: each.reduce((a, b) => a + b, 0) };
  });
  const sum = (/** @type {typeof passes} */ some) => some.reduce((total, { cost }) => total + cost, 0);
  const shown = (/** @type {typeof passes} */ some) =>
    `${Math.round(sum(some) / 1000)}k row passes, ${(sum(some) / ROWS_PER_SECOND / 3600).toFixed(2)} hours`;
  console.log(`Row passes of 128 tokens in units of an adapter's training, evaluation included; ${ROWS_PER_SECOND} a second on two cores.`);
  for (const method of Object.keys(METHODS))
    console.log(`${method.padEnd(12)} ${shown(passes.filter(({ job }) => job.method === method))}`);
  console.log(`${passes.length} runs: ${shown(passes)}; still to do: ${shown(passes.filter(({ job }) => !done(job)))}.`);
}

/**
 * Rows of each split as sequences of 128 tokens: a choice is a sequence of its own, a text about 1.1 tokens a word or sign.
 * @param {string} task
 * @param {number} most rows of each split
 */
function passesOf(task, most) {
  const excluded = excludedFrom(task);
  const tokens = (/** @type {string} */ text) => 1.1 * (text?.match(/\w+|[^\w\s]/g)?.length ?? 0);
  const rowTokens = (/** @type {string} */ line) => {
    const { text, textPair, choices = [textPair ?? ''] } = JSON.parse(line);
    return choices.reduce(
      (/** @type {number} */ sum, /** @type {string} */ other) => sum + Math.min(128, tokens(text) + tokens(other) + 3),
      0,
    );
  };
  const of = (/** @type {string} */ split) =>
    linesOf(task, split)
      .filter((_, i) => split !== 'train' || !excluded.has(i))
      .slice(0, most)
      .reduce((sum, line) => sum + rowTokens(line) / 128, 0);
  return { train: of('train'), validation: of('validation'), test: of('test') };
}

async function runAll() {
  if (values.work === undefined) throw new Error('--work DIR: a folder outside the repository for the adapters');
  mkdirSync(values.out, { recursive: true });
  const trained = (/** @type {string} */ folder) => existsSync(join(folder, 'metrics.json')) && !existsSync(join(folder, 'state'));
  const jobs = allJobs();
  // With another --work than before, adapters that fusions still need are trained again, to the same numbers.
  const gone = (/** @type {Job} */ job) =>
    !trained(folderOf(job)) && jobs.some((other) => other.method === `fusion-${job.method}` && !done(other));
  const left = jobs.filter((job) => !done(job) || gone(job));
  const ready = (/** @type {Job} */ job) =>
    (job.method !== 'fusion-st-a' || fused(job).every(trained)) && (job.method !== 'fusion-mt-a' || trained(jointRun()));
  let running = 0;
  const lane = async () => {
    while (left.length > 0) {
      const at = left.findIndex(ready);
      if (at < 0 && running === 0) throw new Error('--work lacks adapters to fuse: run it without --pilot first');
      if (at < 0) {
        // Fusions wait for the last adapter, which another lane trains.
        await new Promise((resolve) => setTimeout(resolve, 2000));
        continue;
      }
      const [job] = /** @type {[Job]} */ (left.splice(at, 1));
      const shared = ['data', 'model', 'work', 'out', 'dist', 'limit', 'tasks'];
      const args = ['--one', JSON.stringify(job), ...shared.flatMap((name) => [`--${name}`, Reflect.get(values, name)])];
      const started = performance.now();
      running++;
      await promisify(execFile)(process.execPath, [fileURLToPath(import.meta.url), ...args], { maxBuffer: 2 ** 26 });
      running--;
      console.log(
        `${job.task} ${job.method} seed ${job.seed}: ${((performance.now() - started) / 1000).toFixed(0)} s, ${left.length} left`,
      );
    }
  };
  await Promise.all(Array.from({ length: Number(values.jobs) }, lane));
}

/** The one run of all tasks that MT-A is. */
function jointRun() {
  return folderOf({ method: 'mt-a', task: ALL, seed: 1 });
}

/** Folders of the single-task adapters that a fusion mixes. @param {Job} job */
function fused({ task, seed, better, alone }) {
  return (alone ? [task] : tasks).map((other) =>
    folderOf({ method: 'st-a', task: other, seed: adapterSeed(other, seed, better), ...(better && { better }) }),
  );
}

/**
 * Large tasks have one adapter, which serves the fusions of every seed, and so have those with more rows.
 * @param {string} task
 * @param {number} seed
 * @param {Record<string, number>} [better]
 */
function adapterSeed(task, seed, better) {
  return bySize().indexOf(task) < SMALL && better?.[task] === undefined ? seed : 1;
}

/** @param {Job} job */
async function runOne(job) {
  const { task: name, method, seed } = job;
  const learningRate = job.learningRate ?? METHODS[method].learningRate;
  const output = folderOf(job) + (job.learningRate === undefined ? '' : `-${learningRate}`);
  const finished = join(output, 'metrics.json');
  const unfinished = existsSync(join(output, 'state', 'state.json'));
  // A run that was stopped between its last file and its result is not repeated.
  const result =
    existsSync(finished) && !unfinished
      ? JSON.parse(readFileSync(finished, 'utf8'))
      : await train({ ...job, learningRate }, output, unfinished);
  const { epochs } = METHODS[method];
  const settings = { epochs, learningRate, limit, ...(job.better && { better: job.better }), encoder: basename(values.model) };
  const { parameters, steps, seconds } = result;
  const { nodeFiles, loadTask } = await import(join(values.dist, 'index.js'));
  for (const one of method === 'mt-a' ? result.tasks : [{ ...result, task: name }]) {
    const { metric } = await loadTask(nodeFiles, join(values.data, one.task));
    const kept = { task: one.task, method, seed, metric, metrics: one.metrics, majority: one.majority };
    const attention = join(output, 'attention.json');
    const { adapters, mean } = existsSync(attention) ? JSON.parse(readFileSync(attention, 'utf8')) : {};
    write(resultOf({ ...job, task: one.task }), {
      ...kept,
      parameters,
      steps,
      seconds,
      settings,
      ...(mean && { attention: { adapters, mean } }),
    });
  }
  // A whole encoder per task is not kept.
  if (method === 'full') rmSync(output, { recursive: true });
}

/** @param {Job & { learningRate: number }} job @param {string} output @param {boolean} resume */
async function train(job, output, resume) {
  const { task: name, method, seed, learningRate, better } = job;
  const load = (/** @type {string} */ module) => import(join(values.dist, module));
  const [{ nodeFiles: files, nodeEngine, loadTask, configureMethod }, training, { fusionConfig }] = await Promise.all(
    ['index.js', 'train/index.js', 'methods/index.js'].map(load),
  );
  const { epochs } = METHODS[method];
  const most = (method === 'st-a' && better?.[name]) || limit;
  const steps = (/** @type {string[]} */ some) => Math.ceil(some.reduce((sum, task) => sum + rowsOf(task, most), 0) / BATCH);
  const evalEvery = EVALUATE * steps(method === 'mt-a' ? tasks : [name]);
  const settings = { epochs, learningRate, seed, batchSize: BATCH, maxLength: 128, evalEvery };
  const common = { files, engine: await nodeEngine({ threads: 1 }), model: values.model, limit: most, resume, output };
  const open = (/** @type {string} */ task) => loadTask(files, join(values.data, task));
  if (method === 'mt-a')
    return training.runMultiTask({
      ...common,
      tasks: await Promise.all(tasks.map(open)),
      exclude: new Map(tasks.map((task) => [task, excludedFrom(task)])),
      method: training.multiTaskMethod('adapters', { trainEncoder: true }),
      settings: training.multiTaskSettings.parse(settings),
    });
  const task = await open(name);
  const one = { ...common, task, exclude: excludedFrom(name), settings: training.trainSettings.parse(settings) };
  switch (method) {
    case 'fusion-st-a':
      return training.trainFusion({
        ...one,
        adapters: fused(job),
        config: fusionConfig('dynamic'),
      });
    case 'fusion-mt-a':
      return training.trainFusion({
        ...one,
        model: jointRun(),
        adapters: tasks.map((other) => join(jointRun(), other)),
        config: fusionConfig('dynamic'),
      });
    default:
      return training.trainTask({ ...one, name, method: configureMethod({ head: 'head', full: 'full', 'st-a': 'seq_bn' }[method]) });
  }
}

/** @param {string} path @param {unknown} value */
function write(path, value) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.part`, `${JSON.stringify(value)}\n`);
  renameSync(`${path}.part`, path);
}

/** @typedef {{ task: string, method: Method, seed: number, metric: string, metrics: Record<string, Record<string, number>>, majority: number, parameters: number, steps: number, seconds: number, settings: { epochs: number, learningRate: number, better?: Record<string, number> }, attention?: { adapters: string[], mean: number[] } }} Run */

/** @param {string} folder @returns {Run[]} */
function readRuns(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .map((file) => JSON.parse(readFileSync(join(folder, file), 'utf8')));
}

/** Test metric in hundredths. @param {Run} run */
function scoreOf(run) {
  return 100 * /** @type {number} */ (run.metrics.test?.[run.metric]);
}

/** @param {number[]} numbers */
function mean(numbers) {
  return numbers.reduce((a, b) => a + b, 0) / numbers.length;
}

/** @param {number[]} numbers */
function deviation(numbers) {
  const middle = mean(numbers);
  return Math.sqrt(numbers.reduce((sum, x) => sum + (x - middle) ** 2, 0) / Math.max(1, numbers.length - 1));
}

/** @param {number} x */
function signed(x) {
  return `${x < 0 ? '−' : '+'}${Math.abs(x).toFixed(1)}`;
}

/** @param {string[]} titles @param {(string | undefined)[][]} rows */
function markdown(titles, rows) {
  return [titles, titles.map(() => '---'), ...rows].map((row) => `| ${row.map((cell) => cell ?? '–').join(' | ')} |`);
}

function writeTable() {
  const runs = readRuns(values.out);
  const methods = /** @type {Method[]} */ (Object.keys(METHODS));
  const of = (/** @type {string} */ task, /** @type {Method} */ method) => runs.filter((run) => run.task === task && run.method === method);
  const scores = (/** @type {string} */ task, /** @type {Method} */ method) => of(task, method).map(scoreOf);
  const cell = (/** @type {number[]} */ some) => {
    if (some.length === 0) return undefined;
    return some.length > 1 ? `${mean(some).toFixed(1)} ± ${deviation(some).toFixed(1)}` : mean(some).toFixed(1);
  };
  const complete = tasks.filter((task) => methods.every((method) => of(task, method).length > 0));
  const means = (/** @type {string[]} */ some) =>
    methods.map((method) => (some.length > 0 ? mean(some.map((task) => mean(scores(task, method)))).toFixed(1) : undefined));
  const small = complete.filter((task) => bySize().indexOf(task) < SMALL);
  const lines = [
    '# AdapterFusion on sixteen tasks',
    '',
    'The experiment of Pfeiffer et al. 2021 at a small scale. Made by `node tools/experiments/adapterfusion.mjs --table` from `results/adapterfusion/`; the script says what was run.',
    `MiniLM, at most ${limit} training rows of each task and ${limit} of each other split, batches of ${BATCH}, 128 tokens, test metric in hundredths; ± is the standard deviation of three seeds.`,
    'Rows that share text with the test rows of another task are left out. MT-A is one run with one seed; its fusions have three. "majority" is the score of the most frequent label; – is not run yet.',
    '',
    ...markdown(
      ['method', 'epochs', 'learning rate', 'trained parameters, median over runs'],
      methods.map((method) => {
        const some = runs.filter((run) => run.method === method);
        const middle = (/** @type {number[]} */ numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
        return [
          method,
          String(METHODS[method].epochs),
          String(METHODS[method].learningRate),
          middle(some.map(({ parameters }) => parameters))?.toLocaleString('en'),
        ];
      }),
    ),
    '',
    '## Scores',
    '',
    ...markdown(
      ['task', 'majority', ...methods],
      [
        ...tasks.map((task) => {
          const [first] = runs.filter((run) => run.task === task);
          return [task, first && (100 * first.majority).toFixed(1), ...methods.map((method) => cell(scores(task, method)))];
        }),
        ...(complete.length > 0 ? [[`mean of ${complete.length} tasks that have all`, '', ...means(complete)]] : []),
        ...(small.length > 0 ? [[`mean of the ${small.length} smallest`, '', ...means(small)]] : []),
      ],
    ),
    '',
    '## What a fusion adds',
    '',
    'Points above the single-task adapter of the same seed. Large tasks have one seed.',
    '',
    ...markdown(
      ['task', ...COMPARED],
      [...tasks.map((task) => [task, ...COMPARED.map((method) => gained(of(task, method), of(task, 'st-a')))]), ...summaries(runs)],
    ),
    '',
    ...alone(runs),
    ...betterAdapters(runs),
    ...reading(),
    ...attentions(runs),
    ...pilot(),
  ];
  const path = join(ROOT, 'docs', 'experiments', 'adapterfusion.md');
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, lines.join('\n'));
  console.log(lines.join('\n'));
}

/** Differences in pairs of equal seed. @param {Run[]} some @param {Run[]} others */
function differences(some, others) {
  return some.flatMap((run) => {
    const other = others.find(({ task, seed }) => task === run.task && seed === run.seed);
    return other ? [scoreOf(run) - scoreOf(other)] : [];
  });
}

/** @param {Run[]} some @param {Run[]} others */
function gained(some, others) {
  const found = differences(some, others);
  if (found.length === 0) return undefined;
  return found.length > 1 ? `${signed(mean(found))} ± ${deviation(found).toFixed(1)}` : signed(mean(found));
}

/** Over tasks: the mean of each task's mean difference with its standard error, and how many tasks gain. @param {Run[]} runs */
function summaries(runs) {
  const singles = runs.filter(({ method }) => method === 'st-a');
  const perTask = COMPARED.map((method) =>
    tasks.flatMap((task) => {
      const found = differences(
        runs.filter((run) => run.task === task && run.method === method),
        singles,
      );
      return found.length > 0 ? [mean(found)] : [];
    }),
  );
  return [
    [
      'mean over tasks ± standard error',
      ...perTask.map((found) =>
        found.length > 1 ? `${signed(mean(found))} ± ${(deviation(found) / Math.sqrt(found.length)).toFixed(1)}` : undefined,
      ),
    ],
    [
      'tasks that gain',
      ...perTask.map((found) => (found.length > 0 ? `${found.filter((x) => x > 0).length} of ${found.length}` : undefined)),
    ],
  ];
}

/** Which adapter each fusion listens to most, and how much to its own task's. @param {Run[]} runs */
function attentions(runs) {
  return /** @type {Method[]} */ (['fusion-st-a', 'fusion-mt-a']).flatMap((method) => {
    const rows = tasks.flatMap((task) => {
      const some = runs.filter((run) => run.task === task && run.method === method && run.attention);
      if (some.length === 0) return [];
      const names = some[0]?.attention?.adapters ?? [];
      const attention = names.map((name, i) => ({ name, share: 100 * mean(some.map((run) => run.attention?.mean[i] ?? 0)) }));
      const most = attention.toSorted((a, b) => b.share - a.share).slice(0, 3);
      const own = attention.find(({ name }) => name === task)?.share;
      return [[task, own?.toFixed(0), most.map(({ name, share }) => `${name} ${share.toFixed(0)}`).join(', ')]];
    });
    if (rows.length === 0) return [];
    return [
      `## What ${method} listens to`,
      '',
      `Attention in %, mean over layers, validation rows and seeds; ${(100 / tasks.length).toFixed(0)} would be indifference.`,
      '',
      ...markdown(['target', 'its own adapter', 'the three it listens to most'], rows),
      '',
      `![attention of each target to each adapter](adapter${method}.svg)`,
      '',
      'Drawn from the fusions of seed 1 by `multigraft attention`.',
      '',
    ];
  });
}

/** What a fusion's training gives where there is nobody else to listen to. @param {Run[]} runs */
function alone(runs) {
  const again = readRuns(join(values.out, 'alone'));
  if (again.length === 0) return [];
  const of = (/** @type {Method} */ method) => runs.filter((run) => run.method === method);
  const own = (/** @type {Run[]} */ some, /** @type {string} */ name) => some.filter(({ task }) => task === name);
  return [
    '## What the other adapters are worth',
    '',
    'The same training with the own adapter alone in the fusion: its attention is 1, the value matrix and a new head train on.',
    'Points above the single-task adapter of the same seed, and the difference of the two fusions.',
    '',
    ...markdown(
      ['task', 'fusion of its own adapter', 'fusion-st-a', 'by the others'],
      [...new Set(again.map(({ task }) => task))].map((task) => [
        task,
        gained(own(again, task), of('st-a')),
        gained(own(of('fusion-st-a'), task), of('st-a')),
        gained(own(of('fusion-st-a'), task), again),
      ]),
    ),
    '',
  ];
}

/** Whether fusions gain where an adapter of a large task has learnt more. @param {Run[]} runs */
function betterAdapters(runs) {
  const again = readRuns(join(values.out, 'better'));
  if (again.length === 0) return [];
  const sources = again.filter(({ method }) => method === 'st-a');
  const fused = again.filter(({ method }) => method === 'fusion-st-a');
  const of = (/** @type {Method} */ method) => runs.filter((run) => run.method === method);
  return [
    '## What better adapters change',
    '',
    `The fusions once more with ${sources.map(({ task, settings, ...run }) => `the adapter of ${task} trained on ${settings.better?.[task]} rows (test ${scoreOf({ task, settings, ...run }).toFixed(1)})`).join(', ')}; all else as above. Points above the single-task adapter of the same seed, and the attention that these adapters get, in %.`,
    '',
    ...markdown(
      ['task', 'fusion-st-a', 'with better adapters', 'attention before', 'attention'],
      [...new Set(fused.map(({ task }) => task))].map((task) => {
        const own = (/** @type {Run[]} */ some) => some.filter((run) => run.task === task);
        const share = (/** @type {Run[]} */ some) =>
          (
            100 *
            mean(
              own(some).map(({ attention }) =>
                sources.reduce((sum, source) => sum + (attention?.mean[attention.adapters.indexOf(source.task)] ?? 0), 0),
              ),
            )
          ).toFixed(0);
        const singles = of('st-a');
        return [task, gained(own(of('fusion-st-a')), singles), gained(own(fused), singles), share(of('fusion-st-a')), share(fused)];
      }),
    ),
    '',
  ];
}

/** What the tables say, written by hand once they were complete: to be read again whenever they change. */
function reading() {
  return [
    '## What this says',
    '',
    'Against single-task adapters a fusion of them gains a little on the mean, about as much as its standard error, and not where the paper gains most, on the small tasks. Where it gains much (scitail, sick_entailment), the fusion of the own adapter alone gains as much: that is three more passes, with a value matrix and a new head, and not what other tasks know.',
    '',
    'Fusions do find their own adapter: it gets the most attention in every task but winogrande. There is little to borrow from the others, for none of them is large: in the paper the adapter of mnli has seen 393,000 rows, here each has seen 500. With one that has seen 4,000, the same fusions turn to it and score higher on all four targets, within the noise of three seeds each: that points at adapters that know too little to lend.',
    '',
    'Adapters trained together (MT-A) are above single-task ones on 15 of 16 tasks, where the paper sees interference. At this size tasks help each other more than they disturb, perhaps because 500 rows of one task are few for the encoder and 8,000 of sixteen are not. A fusion of these adapters adds nothing to them; its attention stays nearly even, also to its own adapter. Perhaps what the tasks share lies in the encoder that trained with them; that was not tried.',
    '',
  ];
}

function pilot() {
  const runs = readRuns(join(values.out, 'pilot'));
  if (runs.length === 0) return [];
  const rates = [...new Set(runs.map(({ settings }) => settings.learningRate))].sort((a, b) => a - b);
  const names = [...new Set(runs.map(({ task, method }) => `${method} of ${task}`))].sort();
  const found = (/** @type {string} */ name, /** @type {number} */ rate) =>
    runs.find(({ task, method, settings }) => name === `${method} of ${task}` && settings.learningRate === rate);
  return [
    '## Choosing learning rates',
    '',
    'Validation metric in hundredths, one seed. The rate with the most rows right over the three tasks was taken for all (cb has 16 validation rows, the others 500).',
    '',
    ...markdown(
      ['', ...rates.map(String)],
      names.map((name) => [
        name,
        ...rates.map((rate) => {
          const run = found(name, rate);
          return run && (100 * /** @type {number} */ (run.metrics.validation?.[run.metric])).toFixed(1);
        }),
      ]),
    ),
    '',
  ];
}
