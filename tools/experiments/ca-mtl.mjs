// @ts-check
/**
 * CA-MTL beside its baselines (Pilault et al. 2021): a table of eight GLUE tasks over three seeds, an ablation of the modules and the
 * start, what sampling by uncertainty is worth with more and fewer candidates, and a table of 27 tasks with one seed. One JSON file
 * per run in --out; runs that have one are not repeated, and a run that was stopped goes on, so the script can be stopped at any
 * time. Two runs at a time, each with one thread. Samples of the tasks, without the rows that mtl_exclude.json names, and what runs save lie in --work,
 * outside the repository.
 *
 *     node tools/experiments/ca-mtl.mjs --work DIR [--data ../shared/data] [--model ../shared/models/minilm]
 *     node tools/experiments/ca-mtl.mjs --work DIR --only 'glue-.*-1'   the runs whose names fit, in full
 *     node tools/experiments/ca-mtl.mjs --work DIR --pilot ca-mtl,joint --rates 5e-5,1e-4,2e-4
 *         these methods at each rate (--seeds 1, or more), in --out/pilot: validation metrics to choose METHODS' rates by
 *     node tools/experiments/ca-mtl.mjs --budget                        prints what is to be computed, and stops
 *     node tools/experiments/ca-mtl.mjs --table                         writes docs/experiments/ca-mtl.md from the results
 *
 * To try it: --limit 24 --model assets/seedling --work DIR --out DIR/results --page DIR/page.md
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

const GLUE = ['cola', 'sst2', 'mrpc', 'stsb', 'qqp', 'mnli', 'qnli', 'rte'];
/** All but those whose rows are many long sequences (boolq, cosmos_qa, hellaswag, imdb) or too few to rank anything (cb, wnli). */
const WIDE = [
  ...GLUE,
  ...[
    'ag_news',
    'argument_stance',
    'banking77',
    'clinc150',
    'scitail',
    'sick_entailment',
    'sms_spam',
    'snips_intent',
    'snli',
    'subj',
    'trec6',
  ],
  ...['commonsense_qa', 'openbookqa', 'social_iqa', 'winogrande', 'ewt_pos', 'snips_slots', 'wnut17', 'squad'],
];
/** Most rows of each task. @typedef {{ train: number, validation: number, test: number }} Rows */
const ROWS = { train: 500, validation: 200, test: 1000 };
const ROWS_OF_MANY = { train: 300, validation: 100, test: 500 };
const EPOCHS = 2;
const TOKENS = 128;
/** Seconds of a training row of 128 tokens with an adapter, on two cores; a row that is only scored takes a third of that. */
const ROW_SECONDS = 0.03;
const FORWARD = 1 / 3;

/**
 * How a method is told to the library, and its settings; `cost` is that of a training row against one with an adapter. All rates
 * are for 1,000 steps or fewer, so those of whole encoders are above the published ones. `single` trains each task by itself; `seeds` are fewer than those of the part.
 * @typedef {{ text: string, settings: Record<string, unknown>, cost: number, single?: boolean, trainEncoder?: boolean, seeds?: number[] }} Method
 */
const UNCERTAIN = { sampler: 'uncertainty', candidates: 2, scoring: 'int8', refresh: 8 };
/** As published: as many candidates for each place as there are tasks, scored exactly before every step. */
const FULL_RULE = { sampler: 'uncertainty', candidates: GLUE.length, scoring: 'float32', refresh: 1 };
/**
 * Where encoder weights train, all at one rate: the pilot's best for joint; CA-MTL is as good at three times of it, but not with every
 * sampler. That of adapters is the one of the AdapterFusion experiment.
 */
const TUNED = { learningRate: 1e-4 };
const ADAPTED = { learningRate: 1e-3 };
const CA_MTL = { text: 'ca_mtl_base', settings: { ...TUNED, ...UNCERTAIN }, cost: 1.3 + FORWARD };
const UNFROZEN = { text: 'ca_mtl_base[freeze=0]', settings: { ...TUNED, ...UNCERTAIN }, cost: 1.7 + FORWARD };
/** @type {Record<string, Method>} */
const METHODS = {
  'ca-mtl': CA_MTL,
  // As the published code has it by default: what freezing half of the encoder costs.
  'ca-mtl-unfrozen': UNFROZEN,
  joint: { text: 'joint', settings: TUNED, cost: 1.5 },
  'shared-adapter': { text: 'shared_adapter', settings: ADAPTED, cost: 1 },
  'st-a': { text: 'adapters', settings: { ...ADAPTED, keep: 'task' }, cost: 1 },
  lora: { text: 'lora', settings: { ...ADAPTED, keep: 'task' }, cost: 1 },
  'mtl-lora': { text: 'mtl_lora', settings: ADAPTED, cost: 1.1 },
  // As in their paper: on an encoder that trains, with the sampler that was made for them.
  pals: { text: 'pals', trainEncoder: true, settings: { ...TUNED, sampler: 'annealed' }, cost: 1.7 },
  single: { text: 'full', settings: TUNED, cost: 1.5, single: true },
};
/** All seeds for what decides a default: the start and the plans. @type {Record<string, Method>} */
const ABLATION = {
  'no-attention': { ...CA_MTL, text: 'ca_mtl_base[conditional_attention=False]', seeds: [1] },
  'no-alignment': { ...CA_MTL, text: 'ca_mtl_base[conditional_alignment=False]', seeds: [1] },
  'no-layer-norm': { ...CA_MTL, text: 'ca_mtl_base[conditional_layer_norm=False]', seeds: [1] },
  'no-bottleneck': { ...CA_MTL, text: 'ca_mtl_base[conditional_bottleneck=False]', seeds: [1] },
  'published-start': { ...CA_MTL, text: 'ca_mtl_base[start="published"]' },
  compact: { ...CA_MTL, text: 'ca_mtl_compact' },
  large: { ...CA_MTL, text: 'ca_mtl_large' },
  'large-published-start': { ...CA_MTL, text: 'ca_mtl_large[start="published"]' },
  // Beside ca-mtl-unfrozen.
  'nothing-frozen-proportional': { ...UNFROZEN, settings: TUNED, cost: 1.7, seeds: [1] },
};
/** @type {Record<string, Method>} */
const SAMPLERS = {
  proportional: { ...CA_MTL, settings: TUNED, cost: 1.3 },
  'candidates-1.25': { ...CA_MTL, settings: { ...TUNED, ...UNCERTAIN, candidates: 1.25 }, cost: 1.3 + 0.6 * FORWARD, seeds: [1] },
  'candidates-4': { ...CA_MTL, settings: { ...TUNED, ...UNCERTAIN, candidates: 4 }, cost: 1.3 + 2 * FORWARD, seeds: [1] },
  'full-rule': { ...CA_MTL, settings: { ...TUNED, ...FULL_RULE }, cost: 1.3 + GLUE.length * FORWARD },
};
/** @type {Record<string, { tasks: string[], rows: Rows, methods: Record<string, Method>, seeds: number[] }>} */
const PARTS = {
  glue: { tasks: GLUE, rows: ROWS, methods: METHODS, seeds: [1, 2, 3] },
  ablation: { tasks: GLUE, rows: ROWS, methods: ABLATION, seeds: [1, 2, 3] },
  sampler: { tasks: GLUE, rows: ROWS, methods: SAMPLERS, seeds: [1, 2, 3] },
  wide: {
    tasks: WIDE,
    rows: ROWS_OF_MANY,
    methods: { 'ca-mtl': CA_MTL, joint: /** @type {Method} */ (METHODS.joint), 'st-a': /** @type {Method} */ (METHODS['st-a']) },
    seeds: [1],
  },
};
/** `learningRate`: of a pilot, in place of the method's. @typedef {{ part: string, method: string, seed: number, task?: string, learningRate?: number }} Job */
/** @typedef {{ task: string, metric: string, validation: number, test: number, majority?: number }} Score */
/** @typedef {Job & { tasks: Score[], trained: number, times: number, steps: number, seconds: number, stepSeconds?: number, model: string, limit: number | null, used?: { distinct: number, rows: number }, sampling?: { shareOfTime: number, chosen: Record<string, number>, overTime?: { steps: number[], shares: Record<string, number[]> } } }} Run */

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const { values } = parseArgs({
  options: {
    data: { type: 'string', default: join(ROOT, '..', 'shared', 'data') },
    model: { type: 'string', default: join(ROOT, '..', 'shared', 'models', 'minilm') },
    work: { type: 'string' },
    out: { type: 'string', default: join(ROOT, 'results', 'ca-mtl') },
    page: { type: 'string', default: join(ROOT, 'docs', 'experiments', 'ca-mtl.md') },
    dist: { type: 'string', default: join(ROOT, 'dist') },
    only: { type: 'string', default: '.*' },
    jobs: { type: 'string', default: '2' },
    pilot: { type: 'string' },
    rates: { type: 'string', default: '' },
    seeds: { type: 'string', default: '1' },
    limit: { type: 'string' },
    budget: { type: 'boolean', default: false },
    table: { type: 'boolean', default: false },
    one: { type: 'string' },
  },
});
/** Of tasks that were counted. */
const sizes = new Map();
const PICTURE = 'ca-mtl-sampling.svg';
const LIMIT = values.limit === undefined ? null : Number(values.limit);

if (values.table) await writePage();
else if (values.one !== undefined) await runOne(JSON.parse(values.one));
else {
  printBudget();
  if (!values.budget) await runAll();
}

/** @param {string} name */
function partOf(name) {
  const part = PARTS[name];
  if (!part) throw new Error(`no part '${name}'`);
  return part;
}

/** @param {Job} job */
function tasksOf({ part, task }) {
  return task === undefined ? partOf(part).tasks : [task];
}

/** @param {string} part @param {keyof Rows} split */
function capOf(part, split) {
  const most = partOf(part).rows[split];
  return Math.min(most, LIMIT ?? most);
}

/** @param {Job} job */
function nameOf({ part, method, seed, task, learningRate }) {
  return [part, method, ...(task === undefined ? [] : [task]), seed, ...(learningRate === undefined ? [] : [learningRate])].join('-');
}

/** @param {Job} job */
function resultOf(job) {
  return join(values.out, ...(job.learningRate === undefined ? [] : ['pilot']), `${nameOf(job)}.json`);
}

/** @param {Job} job */
function methodOf({ part, method }) {
  return /** @type {Method} */ (PARTS[part]?.methods[method]);
}

/** The first seed of every method before the second, so that a table cut short can be read. */
function allJobs() {
  const wanted = new RegExp(`^(?:${values.only})$`);
  const jobs = /** @type {Job[]} */ ([]);
  for (const method of values.pilot?.split(',') ?? [])
    for (const rate of values.rates.split(','))
      for (const seed of values.seeds.split(',').map(Number))
        for (const task of METHODS[method]?.single ? GLUE : [undefined])
          jobs.push({ part: 'glue', method, seed, ...(task !== undefined && { task }), learningRate: Number(rate) });
  if (values.pilot !== undefined) return jobs;
  for (const [part, { tasks, methods, seeds }] of Object.entries(PARTS))
    for (const seed of seeds)
      for (const [method, { single }] of Object.entries(methods).filter(([, one]) => (one.seeds ?? seeds).includes(seed)))
        for (const task of single ? tasks : [undefined]) jobs.push({ part, method, seed, ...(task !== undefined && { task }) });
  return jobs.filter((job) => wanted.test(nameOf(job)));
}

/**
 * Lines of a split that every run of a part reads: without excluded ones, and of the others a sample that is always the same, in the
 * order of the file. The first lines would not do: some files are sorted by label or topic.
 * @param {string} part
 * @param {string} task
 * @param {keyof Rows} split
 */
function linesOf(part, task, split) {
  const path = join(values.data, task, `${split}.jsonl`);
  if (!existsSync(path)) return [];
  const excluded = new Set(split === 'train' ? (excludedRows()[task]?.trainLines ?? []) : []);
  const lines = readFileSync(path, 'utf8').split('\n').filter(Boolean);
  const drawn = lines
    .flatMap((_, i) => (excluded.has(i) ? [] : [{ i, draw: createHash('sha256').update(`${task} ${split} ${i}`).digest('hex') }]))
    .sort((a, b) => (a.draw < b.draw ? -1 : 1))
    .slice(0, capOf(part, split));
  const kept = new Set(drawn.map(({ i }) => i));
  return lines.filter((_, i) => kept.has(i));
}

/** @returns {Record<string, { trainLines: number[] }>} */
function excludedRows() {
  return JSON.parse(readFileSync(join(values.data, 'mtl_exclude.json'), 'utf8')).tasks;
}

/** Rows of a task, and what they come to in rows of 128 tokens, by words: a word is 1.4 tokens. @param {string} part @param {string} task */
function sizeOf(part, task) {
  const known = sizes.get(`${part} ${task}`);
  if (known) return known;
  const size = { rows: 0, train: 0, judged: 0 };
  for (const split of /** @type {const} */ (['train', 'validation', 'test'])) {
    const lines = linesOf(part, task, split);
    const full = lines.reduce((sum, line) => sum + fullRows(JSON.parse(line)), 0);
    if (split === 'train') Object.assign(size, { rows: lines.length, train: full });
    // Validation after every epoch and at the end.
    else size.judged += full * (split === 'validation' ? EPOCHS + 1 : 1);
  }
  sizes.set(`${part} ${task}`, size);
  return size;
}

/** @param {Record<string, unknown>} row */
function fullRows(row) {
  const words = (/** @type {unknown} */ text) =>
    Array.isArray(text)
      ? text.length
      : String(text ?? '')
          .split(/\s+/)
          .filter(Boolean).length;
  const tokens = (/** @type {number} */ count) => Math.min(TOKENS, 1.4 * count + 3) / TOKENS;
  if (Array.isArray(row.choices)) return row.choices.reduce((sum, choice) => sum + tokens(words(row.text) + words(choice)), 0);
  // Long contexts are read in windows.
  if (row.context !== undefined) return Math.ceil((1.4 * words(row.context)) / (TOKENS / 2));
  return tokens(words(row.tokens ?? row.text) + words(row.textPair));
}

/** @param {Job} job */
function budgetOf(job) {
  const tasks = tasksOf(job);
  const { cost } = methodOf(job);
  const passes = tasks.reduce((sum, task) => sum + EPOCHS * sizeOf(job.part, task).rows, 0);
  const work = tasks.reduce((sum, task) => sum + EPOCHS * cost * sizeOf(job.part, task).train + FORWARD * sizeOf(job.part, task).judged, 0);
  return { passes, seconds: work * ROW_SECONDS };
}

function printBudget() {
  for (const part of Object.keys(PARTS)) {
    const jobs = allJobs().filter((job) => job.part === part);
    if (jobs.length === 0) continue;
    const left = jobs.filter((job) => !existsSync(resultOf(job)));
    const sum = (/** @type {Job[]} */ some, /** @type {'passes' | 'seconds'} */ what) =>
      some.reduce((total, job) => total + budgetOf(job)[what], 0);
    const hours = (/** @type {Job[]} */ some) => (sum(some, 'seconds') / 3600).toFixed(2);
    console.log(
      `${part}: ${jobs.length} runs, ${Math.round(sum(jobs, 'passes')).toLocaleString('en')} training-row passes, about ${hours(jobs)} hours; to do: ${left.length} runs, ${Math.round(sum(left, 'passes')).toLocaleString('en')} passes, ${hours(left)} hours.`,
    );
  }
}

async function runAll() {
  if (values.work === undefined) throw new Error('--work DIR: a folder outside the repository for tasks and models');
  mkdirSync(values.out, { recursive: true });
  for (const job of allJobs()) takePilot(job);
  const left = allJobs().filter((job) => !existsSync(resultOf(job)));
  for (const job of left) for (const task of tasksOf(job)) copyTask(job.part, task);
  const options = ['data', 'model', 'work', 'out', 'dist', 'limit'].flatMap((name) => {
    const value = Reflect.get(values, name);
    return value === undefined ? [] : [`--${name}`, value];
  });
  const lane = async () => {
    for (let job = left.shift(); job; job = left.shift()) {
      const started = performance.now();
      await promisify(execFile)(process.execPath, [fileURLToPath(import.meta.url), '--one', JSON.stringify(job), ...options], {
        maxBuffer: 2 ** 26,
      });
      console.log(`${nameOf(job)}: ${((performance.now() - started) / 1000).toFixed(0)} s, ${left.length} waiting`);
    }
  };
  await Promise.all(Array.from({ length: Number(values.jobs) }, lane));
}

/** A run of the pilot at the rate that was chosen is the same run. @param {Job} job */
function takePilot(job) {
  const { learningRate } = methodOf(job).settings;
  const pilot = resultOf({ ...job, learningRate: Number(learningRate) });
  if (job.learningRate !== undefined || existsSync(resultOf(job)) || !existsSync(pilot)) return;
  const { learningRate: _, ...run } = JSON.parse(readFileSync(pilot, 'utf8'));
  writeFileSync(resultOf(job), `${JSON.stringify(run)}\n`);
}

/** @param {string} part @param {string} task */
function folderOf(part, task) {
  const kind = `tasks-${capOf(part, 'train')}`;
  return join(/** @type {string} */ (values.work), LIMIT === null ? kind : `${kind}-${LIMIT}`, task);
}

/** A task folder with the rows of the experiment. @param {string} part @param {string} task */
function copyTask(part, task) {
  const folder = folderOf(part, task);
  if (existsSync(join(folder, 'card.json'))) return;
  mkdirSync(folder, { recursive: true });
  for (const split of /** @type {const} */ (['train', 'validation', 'test'])) {
    const lines = linesOf(part, task, split);
    if (lines.length > 0) writeFileSync(join(folder, `${split}.jsonl`), `${lines.join('\n')}\n`);
  }
  cpSync(join(values.data, task, 'card.json'), join(folder, 'card.json'));
}

/** @param {Job} job */
async function runOne(job) {
  const load = (/** @type {string} */ module) => import(resolve(values.dist, module));
  const [{ configureMethod, loadTask, nodeEngine, nodeFiles: files }, train] = await Promise.all(['index.js', 'train/index.js'].map(load));
  const { text, settings, single, trainEncoder = false } = methodOf(job);
  const names = tasksOf(job);
  const tasks = await Promise.all(names.map((name) => loadTask(files, folderOf(job.part, name))));
  const output = join(/** @type {string} */ (values.work), LIMIT === null ? 'runs' : `runs-${LIMIT}`, nameOf(job));
  if (existsSync(join(output, 'metrics.json'))) rmSync(output, { recursive: true });
  const given = {
    epochs: EPOCHS,
    batchSize: 16,
    maxLength: TOKENS,
    seed: job.seed,
    ...settings,
    ...(job.learningRate && { learningRate: job.learningRate }),
  };
  const common = {
    files,
    engine: await nodeEngine({ threads: 1 }),
    model: values.model,
    output,
    resume: existsSync(join(output, 'state', 'state.json')),
  };
  const result = single
    ? await train.trainTask({ ...common, task: tasks[0], method: configureMethod(text), settings: train.trainSettings.parse(given) })
    : await train.runMultiTask({
        ...common,
        tasks,
        method: train.multiTaskMethod(text, { trainEncoder }),
        settings: train.multiTaskSettings.parse(given),
      });
  const scored = single ? [{ ...result, task: names[0], metric: tasks[0].metric }] : result.tasks;
  /** @type {Run} */
  const kept = {
    ...job,
    tasks: scored.map((/** @type {any} */ { task, metric, metrics, majority }) => ({
      ...{ task, metric, majority },
      ...{ validation: metrics.validation[metric], test: metrics.test[metric] },
    })),
    trained: result.parameters,
    times: single ? names.length : result.size / result.encoderParameters,
    steps: result.steps,
    seconds: result.seconds,
    stepSeconds: stepSecondsOf(output, given.batchSize),
    model: String(values.model.split('/').at(-1)),
    limit: LIMIT,
    ...(!single && { used: usedRows(output, scored) }),
    ...(result.sampling && { sampling: keptSampling(result.sampling) }),
  };
  const path = resultOf(job);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.part`, `${JSON.stringify({ ...kept, text, settings: given })}\n`);
  renameSync(`${path}.part`, path);
  // Whole encoders take much room.
  if (readdirSync(output).includes('model.safetensors')) rmSync(output, { recursive: true });
}

/** Without single rows. @param {any} sampling @returns {NonNullable<Run['sampling']>} */
function keptSampling({ shareOfTime, chosen, overTime: { steps, shares } }) {
  return { shareOfTime, chosen, overTime: { steps, shares } };
}

/** The median over a run, which pauses and other programs do not move. @param {string} output @param {number} batchSize */
function stepSecondsOf(output, batchSize) {
  const speeds = logOf(output).flatMap(({ examplesPerSecond }) => examplesPerSecond ?? []);
  return batchSize / /** @type {number} */ (speeds.sort((a, b) => a - b)[Math.floor(speeds.length / 2)]);
}

/** @param {string} output @returns {{ examplesPerSecond?: number, rows?: Record<string, number[]> }[]} */
function logOf(output) {
  return readFileSync(join(output, 'log.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

/** How many different rows trained, of how many: the log lists those of each step. @param {string} output @param {{ rows: number }[]} tasks */
function usedRows(output, tasks) {
  const seen = new Set();
  for (const line of logOf(output))
    for (const [task, rows] of Object.entries(line.rows ?? {})) for (const row of rows) seen.add(`${task} ${row}`);
  return { distinct: seen.size, rows: tasks.reduce((sum, { rows }) => sum + rows, 0) };
}

/** @param {number[]} numbers */
function statistics(numbers) {
  const mean = numbers.reduce((a, b) => a + b, 0) / numbers.length;
  const deviation = Math.sqrt(numbers.reduce((sum, x) => sum + (x - mean) ** 2, 0) / Math.max(1, numbers.length - 1));
  return { mean, deviation, count: numbers.length };
}

/** @param {number[]} numbers */
function shown(numbers, digits = 1) {
  if (numbers.length === 0) return '–';
  const { mean, deviation, count } = statistics(numbers);
  return count > 1 ? `${mean.toFixed(digits)} ± ${deviation.toFixed(digits)}` : mean.toFixed(digits);
}

/** @param {Run[]} runs @param {string} part @param {string} method @param {number} seed */
function runsOf(runs, part, method, seed) {
  return runs.filter((run) => run.part === part && run.method === method && run.seed === seed);
}

/** The mean over all tasks, in hundredths; undefined while one is missing. @param {Run[]} some @param {string[]} tasks */
function meanOf(some, tasks) {
  const scores = some.flatMap((run) => run.tasks);
  return scores.length < tasks.length ? undefined : (100 * scores.reduce((sum, { test }) => sum + test, 0)) / scores.length;
}

/**
 * Mean of one method less that of another, of each seed that both have; methods are told as part and name.
 * @param {Run[]} runs @param {[string, string]} one @param {[string, string]} other
 */
function differencesOf(runs, [part, name], [otherPart, otherName]) {
  const { tasks, seeds } = partOf(part);
  return seeds.flatMap((seed) => {
    const own = meanOf(runsOf(runs, part, name, seed), tasks);
    const its = meanOf(runsOf(runs, otherPart, otherName, seed), tasks);
    return own === undefined || its === undefined ? [] : [own - its];
  });
}

/**
 * A column a method, a row a task; then the mean, what it differs from CA-MTL's of the same seed, sizes, time and rows used.
 * @param {Run[]} runs @param {string} part
 */
function comparison(runs, part) {
  const { tasks, methods, seeds } = partOf(part);
  const names = Object.keys(methods);
  const bySeed = (/** @type {string} */ method, /** @type {(some: Run[]) => number | undefined} */ value) =>
    seeds.flatMap((seed) => {
      const some = runsOf(runs, part, method, seed);
      const found = some.length > 0 ? value(some) : undefined;
      return found === undefined ? [] : [found];
    });
  const row = (/** @type {string} */ title, /** @type {(method: string) => string} */ cell) =>
    `| ${title} | ${names.map(cell).join(' | ')} |`;
  const sum = (/** @type {(run: Run) => number} */ value) => (/** @type {Run[]} */ some) =>
    some.reduce((total, run) => total + value(run), 0);
  const scoreOf = (/** @type {string} */ task) => (/** @type {Run[]} */ some) => {
    const score = some.flatMap((run) => run.tasks).find((one) => one.task === task)?.test;
    return score === undefined ? undefined : 100 * score;
  };
  const metricOf = (/** @type {string} */ task) => runs.flatMap((run) => run.tasks).find((one) => one.task === task)?.metric ?? '';
  const share = (/** @type {Run[]} */ [run]) => (run?.used ? (100 * run.used.distinct) / run.used.rows : undefined);
  return [
    `| task | ${names.join(' | ')} |`,
    `| --- |${' --- |'.repeat(names.length)}`,
    ...tasks.map((task) => row(`${task} (${metricOf(task)})`, (method) => shown(bySeed(method, scoreOf(task))))),
    row('**mean**', (method) => shown(bySeed(method, (some) => meanOf(some, tasks)))),
    row('mean less that of ca-mtl, same seed', (method) =>
      method === 'ca-mtl' ? '' : shown(differencesOf(runs, [part, method], [part, 'ca-mtl'])),
    ),
    row('numbers of all, × the encoder', (method) =>
      shown(
        bySeed(
          method,
          sum(({ times }) => times),
        ).slice(0, 1),
        2,
      ),
    ),
    row('trained parameters, millions', (method) =>
      shown(
        bySeed(
          method,
          sum(({ trained }) => trained / 1e6),
        ).slice(0, 1),
        2,
      ),
    ),
    row('minutes of training', (method) => shown(bySeed(method, minutesOf), 1)),
    row('different rows that trained, %', (method) => shown(bySeed(method, share), 0)),
  ];
}

/** Steps times the median step; undefined where that was not kept. @param {Run[]} some */
function minutesOf(some) {
  const minutes = some.map(({ steps, stepSeconds }) => (stepSeconds === undefined ? undefined : (steps * stepSeconds) / 60));
  return minutes.some((one) => one === undefined)
    ? undefined
    : minutes.reduce((a, b) => /** @type {number} */ (a) + /** @type {number} */ (b), 0);
}

/** Means over seeds; differences are of the same seed. @param {Run[]} runs */
function ablation(runs) {
  const { tasks, methods, seeds } = partOf('ablation');
  const row = (/** @type {string} */ part, /** @type {string} */ name) => {
    const some = seeds.flatMap((seed) => runsOf(runs, part, name, seed));
    const means = some.flatMap((run) => meanOf([run], tasks) ?? []);
    const cells = [
      shown(means),
      part === 'glue' ? '' : shown(differencesOf(runs, [part, name], ['glue', 'ca-mtl'])),
      String(means.length),
      some[0]?.times.toFixed(2) ?? '–',
    ];
    return `| ${name} | ${cells.join(' | ')} |`;
  };
  return [
    '| | mean | less that of ca-mtl, same seed | seeds | numbers, × the encoder |',
    '| --- | --- | --- | --- | --- |',
    row('glue', 'ca-mtl'),
    ...Object.keys(methods).map((method) => row('ablation', method)),
  ];
}

/**
 * Scores, time, and how selective each way of sampling is; CA-MTL's column of the first table is that with two candidates.
 * @param {Run[]} runs
 */
function samplers(runs) {
  const { tasks, methods, seeds } = partOf('sampler');
  const row = (/** @type {string} */ part, /** @type {string} */ name) => {
    const some = seeds.flatMap((seed) => runsOf(runs, part, name, seed));
    const of = (/** @type {(run: Run) => number | undefined} */ value) => some.map(value).filter((found) => found !== undefined);
    const cells = [
      shown(of((run) => meanOf([run], tasks))),
      name === 'full-rule' ? '' : shown(differencesOf(runs, [part, name], ['sampler', 'full-rule'])),
      String(some.length),
      updateRatio(partOf(part).methods[name]?.settings)?.toFixed(2) ?? '–',
      shown(
        of(({ sampling }) => sampling && 100 * sampling.shareOfTime),
        0,
      ),
      shown(
        of(({ used }) => used && (100 * used.distinct) / used.rows),
        0,
      ),
    ];
    return `| ${name} | ${cells.join(' | ')} |`;
  };
  return [
    '| | mean | less that of full-rule, same seed | seeds | time of an update, × proportional | scoring, % of the time | different rows that trained, % |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    row('glue', 'ca-mtl'),
    ...Object.keys(methods).map((name) => row('sampler', name)),
  ];
}

/** As `bench/sampler.mjs` measured it, in turn. @param {Record<string, unknown> | undefined} settings */
function updateRatio({ sampler = 'proportional', candidates, scoring, refresh = 8, taskFactor = true } = {}) {
  const path = join(ROOT, 'results', 'bench', refresh === 8 ? 'sampler-refresh-8.json' : 'sampler.json');
  if (!taskFactor || !existsSync(path)) return undefined;
  const name = sampler === 'uncertainty' ? `${candidates} candidates, ${scoring}` : sampler;
  const { results } = /** @type {{ results: { name: string, ratio: number }[] }} */ (JSON.parse(readFileSync(path, 'utf8')));
  return results.find((way) => way.name === name)?.ratio;
}

/** Validation means of the pilot: a row a method, a column a rate. */
function pilot() {
  const folder = join(values.out, 'pilot');
  const runs = /** @type {Required<Run>[]} */ (
    existsSync(folder) ? readdirSync(folder).map((file) => JSON.parse(readFileSync(join(folder, file), 'utf8'))) : []
  );
  const rates = [...new Set(runs.map(({ learningRate }) => learningRate))].sort((a, b) => a - b);
  const methods = [...new Set(runs.map(({ method }) => method))];
  const cell = (/** @type {string} */ method, /** @type {number} */ rate) => {
    const found = runs.filter((run) => run.method === method && run.learningRate === rate);
    return shown(found.map(({ tasks }) => (100 * tasks.reduce((sum, { validation }) => sum + validation, 0)) / tasks.length));
  };
  return [
    `| | ${rates.join(' | ')} |`,
    `| --- |${' --- |'.repeat(rates.length)}`,
    ...methods.map((method) => `| ${method} | ${rates.map((rate) => cell(method, rate)).join(' | ')} |`),
  ];
}

/** @param {{ steps: number[], shares: Record<string, number[]> }} overTime */
async function drawSampling(overTime) {
  const { heatMap, periodRows } = await import(resolve(values.dist, 'cli', 'heat-map.js'));
  mkdirSync(dirname(values.page), { recursive: true });
  writeFileSync(join(dirname(values.page), PICTURE), heatMap(periodRows(overTime), 'Rows that trained, percent of each task, by steps'));
}

/** One way less another, told by part and name: the mean over seeds that both have. @param {Run[]} runs */
function differencesIn(runs) {
  return (/** @type {[string, string]} */ one, /** @type {[string, string]} */ other) => {
    const all = differencesOf(runs, one, other);
    if (all.length === 0) return '–';
    const { mean, count } = statistics(all);
    return `${mean < 0 ? '−' : '+'}${shown(all).replace('-', '')}${count === 1 ? ' (one seed)' : ''}`;
  };
}

/** What the first table says, with its numbers. @param {Run[]} runs */
function reading(runs) {
  const difference = differencesIn(runs);
  const glue = (/** @type {string} */ method) => /** @type {[string, string]} */ (['glue', method]);
  const of = (/** @type {string} */ one, /** @type {string} */ other) => difference(glue(one), glue(other));
  return [
    '## What this says',
    '',
    `Against fine-tuning an encoder for each task CA-MTL has ${of('ca-mtl', 'single')} points, against an adapter for each task ${of('ca-mtl', 'st-a')}, against one adapter for all ${of('ca-mtl', 'shared-adapter')} and against MTL-LoRA ${of('ca-mtl', 'mtl-lora')}: that much is as in the paper, with more than its distance, since tasks of ${ROWS.train} rows gain much from each other.`,
    `Against training the whole encoder on all tasks it has ${of('ca-mtl', 'joint')}, unlike in the paper. Half of it stays as it was, and that is what is missing: with nothing frozen, which is the published code's default, it has ${of('ca-mtl-unfrozen', 'joint')} against joint.`,
    `Whether the choice of rows has a part in that is not settled: with nothing frozen and rows in proportion it has ${difference(['ablation', 'nothing-frozen-proportional'], glue('joint'))} against joint; with half of it frozen chosen rows have ${difference(glue('ca-mtl'), ['sampler', 'proportional'])} against those.`,
    `Projected attention layers on an encoder that trains have ${of('pals', 'joint')} against joint; their batches have rows of one task, the others' of all.`,
    '',
  ];
}

/** What the ablation says. @param {Run[]} runs */
function ablationReading(runs) {
  const { tasks } = partOf('ablation');
  const difference = differencesIn(runs);
  const less = (/** @type {string} */ name) => difference(['ablation', name], ['glue', 'ca-mtl']);
  const means = (/** @type {string} */ part, /** @type {string} */ name) =>
    runs.filter((run) => run.part === part && run.method === name).flatMap((run) => meanOf([run], tasks) ?? []);
  const seedsOf = (/** @type {string} */ name) => means('ablation', name).length;
  const spread = (/** @type {string} */ part, /** @type {string} */ name) => statistics(means(part, name)).deviation.toFixed(1);
  return [
    `Seeds of CA-MTL differ by ${spread('glue', 'ca-mtl')} (standard deviation), so the ${less('no-layer-norm')} to ${less('no-attention')} without one module tell that none of them alone is missed on tasks this small, no more.`,
    `\`ca_mtl_compact\` has ${less('compact')} and \`ca_mtl_large\` ${less('large')}: both as good as base within that spread, compact with 1.03 times the numbers of the encoder.`,
    `The published start draws generators and, of base, the top layer anew. Base has ${less('published-start')} with it, a difference that ${seedsOf('published-start')} seeds cannot show, and a spread of ${spread('ablation', 'published-start')} between seeds; large has ${difference(['ablation', 'large-published-start'], ['ablation', 'large'])} against its pretrained start. So the pretrained start is the default of both.`,
  ];
}

/** What the table of many tasks says. @param {Run[]} runs */
function wideReading(runs) {
  const difference = differencesIn(runs);
  const of = (/** @type {string} */ other) => difference(['wide', 'ca-mtl'], ['wide', other]);
  const [run] = runsOf(runs, 'wide', 'ca-mtl', 1);
  return [
    `CA-MTL has ${of('joint')} against training the whole encoder, and ${of('st-a')} against an adapter for each task.`,
    ...earlierWide(runs),
    ...(run?.sampling ? [samplingLine(run)] : []),
  ];
}

/** What other ways of scoring tags, spans and numbers made of the same run. @param {Run[]} runs */
function earlierWide(runs) {
  const { tasks } = partOf('wide');
  const meanIn = (/** @type {string} */ name) => {
    const path = join(values.out, 'earlier', `wide-ca-mtl-${name}-1.json`);
    return existsSync(path) ? meanOf([JSON.parse(readFileSync(path, 'utf8'))], tasks)?.toFixed(1) : undefined;
  };
  const [means, inStep] = [meanIn('means'), meanIn('ranks-in-step')];
  if (means === undefined || inStep === undefined || runsOf(runs, 'wide', 'ca-mtl', 1).length === 0) return [];
  return [
    `In earlier runs (\`results/ca-mtl/earlier\`) means of entropies for tags and spans came to ${means} with hardly any of these learnt, and ranks among the candidates of one step to ${inStep}: there such a task has one or two, and equal scores went to the task that stood first. Here they are ranked among all that are scored at once.`,
  ];
}

/** What the table of samplers says. @param {Run[]} runs */
function samplerReading(runs) {
  const difference = differencesIn(runs);
  const full = (/** @type {string} */ name) => difference(['sampler', name], ['sampler', 'full-rule']);
  return [
    ...ranksLine(runs),
    `Two candidates are ${difference(['glue', 'ca-mtl'], ['sampler', 'full-rule'])} above the full rule, and ${difference(['glue', 'ca-mtl'], ['sampler', 'proportional'])} against rows in proportion. Four have ${full('candidates-4')} and 1.25 ${full('candidates-1.25')}: the stricter the choice, the worse.`,
    'What the model is unsure of here are rows of tasks that cannot be learnt from so few (rte, mnli), and those of tasks that can be are left out.',
    `With 2 candidates an update takes ${updateRatio(METHODS['ca-mtl']?.settings)?.toFixed(2) ?? '–'} times that of rows in proportion.`,
  ];
}

/** The runs of eight tasks are older than ranking over all rows that are scored at once. @param {Run[]} runs */
function ranksLine(runs) {
  const folder = join(values.out, 'ranks');
  const names = existsSync(folder) ? readdirSync(folder).filter((file) => file.startsWith('glue-ca-mtl-')) : [];
  const again = names.map((file) => /** @type {Run} */ ({ ...JSON.parse(readFileSync(join(folder, file), 'utf8')), method: 'again' }));
  if (again.length === 0) return [];
  const difference = differencesIn([...runs, ...again])(['glue', 'again'], ['glue', 'ca-mtl']);
  return [
    `In all of these runs stsb, whose numbers have no entropy, was ranked among its candidates of one step; since then it is ranked among all that are scored at once. So run again (\`results/ca-mtl/ranks\`), ca-mtl has ${difference} on ${again.length} seed${again.length === 1 ? '' : 's'}.`,
  ];
}

/** @param {Run} run */
function samplingLine({ seed, sampling }) {
  const { shareOfTime, chosen } = /** @type {NonNullable<Run['sampling']>} */ (sampling);
  const all = Object.values(chosen).reduce((a, b) => a + b, 0);
  const shares = Object.entries(chosen).map(([task, count]) => `${task} ${((100 * count) / all).toFixed(0)} %`);
  return `In the run of ca-mtl with seed ${seed} scoring took ${(100 * shareOfTime).toFixed(0)} % of the time, and of the rows that trained were ${shares.join(', ')}.`;
}

async function writePage() {
  const runs = /** @type {Run[]} */ (
    readdirSync(values.out)
      .filter((file) => file.endsWith('.json'))
      .map((file) => JSON.parse(readFileSync(join(values.out, file), 'utf8')))
  );
  const kinds = new Set(runs.map(({ model, limit }) => `${model}, ${limit ?? 'no'} limit`));
  if (kinds.size !== 1) throw new Error(`${values.out}: found runs of ${[...kinds].join('; ') || 'nothing'}; expected runs of one kind`);
  const cap = (/** @type {keyof Rows} */ split, rows = ROWS) => Math.min(rows[split], runs[0]?.limit ?? rows[split]).toLocaleString('en');
  const rates = Object.entries(METHODS).map(
    ([name, { text, settings, trainEncoder }]) =>
      `${name} is \`${text}${trainEncoder ? ' --train-encoder' : ''}\` with ${JSON.stringify(settings)}`,
  );
  const [sampled] = runs.filter((run) => run.part === 'glue' && run.sampling?.overTime);
  if (sampled?.sampling?.overTime) await drawSampling(sampled.sampling.overTime);
  const lines = [
    '# CA-MTL beside other ways of learning many tasks',
    '',
    'Made by `node tools/experiments/ca-mtl.mjs --table` from `results/ca-mtl/`; the script says what was run.',
    '',
    `The encoder of \`--model\`, ${runs[0]?.model} (all-MiniLM-L6-v2), and the tasks of \`--data\` do not come with the package. At most ${cap('train')} training rows of each task, ${cap('validation')} to choose the weights to keep and ${cap('test')} to score, ${EPOCHS} passes, batches of 16, ${TOKENS} tokens.`,
    'Rows that share a sentence with the test rows of another task are left out. Test metrics in hundredths; ± is the standard deviation over seeds; – was not run or not measured; minutes are over the seeds whose steps were timed.',
    `Here ${rates.join('; ')}. All but single train on the tasks of the table together, with the same number of row passes.`,
    '',
    '## Eight GLUE tasks',
    '',
    ...comparison(runs, 'glue'),
    '',
    ...(sampled?.sampling
      ? [samplingLine(sampled), '', `![share of each task in the rows that trained, over the run](${PICTURE})`, '']
      : []),
    ...reading(runs),
    '## What each part is worth',
    '',
    'The tasks above; `ca-mtl` is the column above, and all have its settings.',
    '',
    ...ablation(runs),
    '',
    ...ablationReading(runs),
    '',
    '## How rows are chosen',
    '',
    `The tasks above; \`ca-mtl\` is the column above: two candidates for each place, scored with 8-bit products, eight steps at once. Times of an update were taken in turn by \`bench/sampler.mjs\`.`,
    'full-rule is the published one: as many candidates as tasks, scored exactly before every step.',
    '',
    ...samplers(runs),
    '',
    ...samplerReading(runs),
    '',
    `## ${WIDE.length} tasks`,
    '',
    `At most ${cap('train', ROWS_OF_MANY)} training rows of each task, ${cap('validation', ROWS_OF_MANY)} to choose the weights to keep and ${cap('test', ROWS_OF_MANY)} to score; all else as above.`,
    '',
    ...comparison(runs, 'wide'),
    '',
    ...wideReading(runs),
    '',
    '## Choosing learning rates',
    '',
    'Mean over the eight tasks of the validation metric, over seeds where there are several. Where encoder weights train, all ways have the rate that is best for joint. CA-MTL does about as well at two and three times of it, and worse below; but at three times of it rows in proportion (ca-mtl-proportional) leave three tasks at chance, so ways of sampling could not be compared. Adapters have the rate of the [AdapterFusion experiment](adapterfusion.md).',
    '',
    ...pilot(),
    '',
  ];
  mkdirSync(dirname(values.page), { recursive: true });
  writeFileSync(values.page, lines.join('\n'));
  console.log(lines.join('\n'));
}
