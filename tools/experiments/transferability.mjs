// @ts-check
/**
 * Does the score that chooses adapters (LogME of what the encoder says with each of them) rank them as training does? On the five
 * demonstration tasks with the embedded encoder: for each target, the adapters of the other four tasks, trained on many of
 * their rows and on few, are fused one at a time for a hundred rows of the target; the mean test metric over the seeds is the truth. One JSON
 * file per target in --out, complete after every run, so the script can be stopped at any time; adapters lie in --work.
 *
 *     node tools/build.mjs && node tools/experiments/transferability.mjs --work DIR [--threads 1]
 *     node tools/experiments/transferability.mjs --table
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const { values } = parseArgs({
  options: {
    work: { type: 'string' },
    out: { type: 'string', default: join(ROOT, 'results', 'transferability') },
    model: { type: 'string', default: join(ROOT, 'assets', 'seedling') },
    tasks: { type: 'string', default: join(ROOT, 'assets', 'tasks') },
    dist: { type: 'string', default: join(ROOT, 'dist') },
    threads: { type: 'string', default: '2' },
    table: { type: 'boolean', default: false },
  },
});

const METHOD = 'seq_bn[reduction_factor=2]';
/** Adapters that know their task well, and hardly. */
const SOURCES = { many: { rows: 400, epochs: 3, learningRate: 2e-3 }, few: { rows: 50, epochs: 3, learningRate: 2e-3 } };
const TARGET = { rows: 100, epochs: 5, learningRate: 3e-3, seeds: [1, 2] };
/** Those that learn most from so few rows come first. */
const ORDER = ['tickets_topic', 'review_score', 'tickets_urgency', 'order_slots', 'faq_match'];
/** Which half of the features: the first token's vector, the mean over tokens, both. Tokens have one vector only. */
const POOLINGS = ['first', 'mean', 'both'];

/** @typedef {{ adapter: string, scores: Record<string, number>, truth: Record<string, number> }} Line */
/** @typedef {{ target: string, metric: string, bare: Record<string, number>, lines: Line[] }} Result */

const load = (/** @type {string} */ module) => import(join(values.dist, module));
const [library, train, { prepare }, methods, evidence, correlation, encoders, tokenizers, adapters, random] = await Promise.all(
  [
    ...[
      'index.js',
      'train/index.js',
      'model/index.js',
      'methods/index.js',
      'metrics/logme.js',
      'metrics/correlation.js',
      'encoders/load.js',
    ],
    ...['text/tokenizer.js', 'checkpoint/adapter.js', 'base/random.js'],
  ].map(load),
);
const { nodeFiles, nodeEngine, loadTask, loadRows } = library;

if (!values.table) await run();
console.log(table());

async function run() {
  if (values.work === undefined) throw new Error('--work DIR: a folder outside the repository for the adapters');
  const engine = await nodeEngine({ threads: Number(values.threads) });
  const names = readdirSync(values.tasks).sort();
  for (const name of names)
    for (const size of /** @type {(keyof typeof SOURCES)[]} */ (Object.keys(SOURCES))) await source(engine, name, size);
  names.sort((a, b) => ORDER.indexOf(a) - ORDER.indexOf(b));
  for (const seed of TARGET.seeds) for (const name of names) await target(engine, name, names, seed);
}

/** @param {number} rows how many of the training rows may be used */
async function taskOf(/** @type {string} */ name, /** @type {number} */ rows) {
  const whole = await loadTask(nodeFiles, join(values.tasks, name));
  const count = (await loadRows(nodeFiles, whole, 'train')).length;
  // Nothing is chosen by validation rows: the last weights count.
  const { validation: _, ...files } = whole.files;
  const task = { ...whole, files };
  return { task, exclude: new Set(Array.from({ length: Math.max(0, count - rows) }, (_, i) => rows + i)) };
}

function place(/** @type {string} */ name, /** @type {string} */ size) {
  return join(/** @type {string} */ (values.work), `${name}-${size}`);
}

/** One adapter of a task. */
async function source(/** @type {unknown} */ engine, /** @type {string} */ name, /** @type {keyof typeof SOURCES} */ size) {
  const output = place(name, size);
  if (existsSync(join(output, 'metrics.json'))) return;
  rmSync(output, { recursive: true, force: true });
  const { rows, epochs, learningRate } = SOURCES[size];
  const settings = train.trainSettings.parse({ epochs, learningRate });
  const { task, exclude } = await taskOf(name, rows);
  await train.trainTask({
    ...{ files: nodeFiles, engine, model: values.model, settings, output, name: `${name}-${size}` },
    ...{ task: { ...task, files: { train: task.files.train } }, exclude, method: methods.configureMethod(METHOD) },
  });
  console.log(`adapter ${name}-${size}`);
}

/** Scores and truths of every adapter of another task. */
async function target(
  /** @type {unknown} */ engine,
  /** @type {string} */ name,
  /** @type {string[]} */ names,
  /** @type {number} */ seed,
) {
  const { task, exclude } = await taskOf(name, TARGET.rows);
  const path = join(values.out, `${name}.json`);
  const others = names.filter((one) => one !== name).flatMap((one) => Object.keys(SOURCES).map((size) => ({ one, size })));
  /** @type {Result} */
  const result = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : { target: name, metric: task.metric, bare: {}, lines: [] };
  const keep = () => {
    mkdirSync(values.out, { recursive: true });
    writeFileSync(`${path}.part`, `${JSON.stringify({ ...result, settings: TARGET, sources: SOURCES, method: METHOD }, null, 1)}\n`);
    renameSync(`${path}.part`, path);
  };
  if (result.lines.length < others.length) {
    const scoreOf = await scorer(engine, task, exclude);
    result.bare = await scoreOf(undefined);
    for (const { one, size } of others)
      if (!result.lines.some(({ adapter }) => adapter === `${one}-${size}`))
        result.lines.push({ adapter: `${one}-${size}`, scores: await scoreOf(place(one, size)), truth: {} });
    keep();
  }
  for (const line of result.lines) {
    if (line.truth[seed] !== undefined) continue;
    const [one, size] = /** @type {[string, string]} */ (line.adapter.split('-'));
    const { epochs, learningRate } = TARGET;
    const { metrics: found } = await train.trainFusion({
      ...{ files: nodeFiles, engine, model: values.model, task, exclude, adapters: [place(one, size)], config: methods.fusionConfig() },
      settings: train.trainSettings.parse({ epochs, learningRate, seed }),
    });
    line.truth[seed] = found.test[task.metric];
    keep();
    console.log(`${name} from ${line.adapter}, seed ${seed}: ${line.truth[seed]?.toFixed(4)}`);
  }
}

/** LogME and the share explained of held-out rows, for each part of the features. */
async function scorer(/** @type {unknown} */ engine, /** @type {any} */ task, /** @type {Set<number>} */ exclude) {
  const [encoder, tokenizer] = [
    await encoders.loadEncoder(nodeFiles, values.model),
    await tokenizers.loadTokenizer(nodeFiles, values.model),
  ];
  const rows = await loadRows(nodeFiles, task, 'train', { exclude });
  const { units } = prepare(rows, { task, tokenizer, maxLength: 128 });
  const { observations, targets } = train.questionsOf(units, task, { most: 4000, random: random.createRandom(1) });
  return async (/** @type {string | undefined} */ folder) => {
    const adapter = folder === undefined ? undefined : await adapters.loadAdapter(nodeFiles, folder, { encoder, head: false });
    const features = await train.adapterFeatures(engine, encoder, adapter, observations);
    /** @type {Record<string, number>} */
    const scores = {};
    for (const pooling of POOLINGS) {
      const part = half(features, encoder.config.hidden, pooling);
      if (part === undefined) continue;
      const model = evidence.evidenceModel(evidence.centered(part));
      scores[`logme ${pooling}`] = model.score(targets);
      scores[`held out ${pooling}`] = mean(targets.map((/** @type {Float64Array} */ y) => 1 - squares(model.residual(y)) / squares(y)));
    }
    return scores;
  };
}

/**
 * Both halves lie side by side; token features are one whole.
 * @param {{ rows: number, width: number, data: Float64Array }} features
 * @param {number} hidden
 * @param {string} pooling
 */
function half({ rows, width, data }, hidden, pooling) {
  if (width === hidden) return { rows, width, data };
  if (pooling === 'both') return { rows, width, data };
  const from = pooling === 'first' ? 0 : hidden;
  const part = new Float64Array(rows * hidden);
  for (let i = 0; i < rows; i++) part.set(data.subarray(i * width + from, i * width + from + hidden), i * hidden);
  return { rows, width: hidden, data: part };
}

/** Rank correlation of each score with the truth, per target and on average. */
function table() {
  if (!existsSync(values.out)) return 'No results yet.';
  const results = readdirSync(values.out)
    .filter((file) => file.endsWith('.json'))
    .map((file) => /** @type {Result} */ (JSON.parse(readFileSync(join(values.out, file), 'utf8'))));
  const whole = results.filter(({ lines }) => lines.every(({ truth }) => Object.keys(truth).length > 0));
  if (whole.length === 0) return 'No target is complete yet.';
  const kinds = Object.keys(whole[0]?.bare ?? {});
  const rows = whole.map(({ target: name, lines }) => {
    const truth = lines.map((line) => mean(Object.values(line.truth)));
    return [
      name,
      ...kinds.map((kind) =>
        spearman(
          lines.map(({ scores }) => scores[kind] ?? 0),
          truth,
        ),
      ),
    ];
  });
  // Whether choosing half of the adapters by the score keeps the one that is truly best.
  const kept = kinds.map((kind) => whole.filter(({ lines }) => bestIsInUpperHalf(lines, kind)).length);
  const means = kinds.map((_, k) => mean(rows.map((row) => Number(row[k + 1]))));
  const twice = whole.filter(({ lines }) => lines.every(({ truth }) => TARGET.seeds.every((seed) => truth[seed] !== undefined)));
  const seeds = twice.map(({ lines }) => spearman(...ofTwoSeeds(lines)));
  const cells = (/** @type {(string | number)[]} */ row) =>
    row.map((cell) => (typeof cell === 'number' ? cell.toFixed(2) : cell)).join(' | ');
  return [
    `Spearman correlation with the truth over ${whole[0]?.lines.length} adapters per target`,
    `target | ${kinds.join(' | ')}`,
    ...rows.map(cells),
    cells(['mean', ...means]),
    ['best adapter in the upper half, targets', ...kept].join(' | '),
    ...(seeds.length > 0 ? [`Truths of two seeds with each other: ${cells([...seeds, mean(seeds)])} (the last is the mean)`] : []),
  ].join('\n');
}

/** @param {Line[]} lines @param {string} kind */
function bestIsInUpperHalf(lines, kind) {
  const truthOf = (/** @type {Line} */ { truth }) => mean(Object.values(truth));
  const [best] = lines.toSorted((a, b) => truthOf(b) - truthOf(a));
  const byScore = lines.toSorted((a, b) => (b.scores[kind] ?? 0) - (a.scores[kind] ?? 0));
  return byScore.slice(0, lines.length / 2).some((line) => line === best);
}

/** @param {Line[]} lines */
function ofTwoSeeds(lines) {
  const [first = 0, second = 0] = TARGET.seeds;
  return /** @type {const} */ ([lines.map(({ truth }) => truth[first] ?? 0), lines.map(({ truth }) => truth[second] ?? 0)]);
}

/** @param {number[]} a @param {number[]} b */
function spearman(a, b) {
  return /** @type {number} */ (correlation.spearman(a, b).value);
}

function mean(/** @type {number[]} */ numbers) {
  return numbers.reduce((a, b) => a + b, 0) / numbers.length;
}

function squares(/** @type {Float64Array} */ numbers) {
  return numbers.reduce((sum, x) => sum + x * x, 0);
}
