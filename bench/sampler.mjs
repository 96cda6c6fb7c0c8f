// @ts-check
/**
 * What MT-Uncertainty sampling costs: the time of as many updates with it as with proportional sampling, CA-MTL on several
 * tasks, by the number of candidates for each row that trains, with scoring in 8 bits and in float32.
 *
 *     node bench/sampler.mjs [--model DIR] [--data DIR] [--tasks cola,…] [--method ca_mtl_base] [--candidates 1.25,2,4,8]
 *       [--updates 48] [--rounds 5] [--before 150] [--batch 16] [--refresh 1] [--threads 2] [--cpu] [--out FILE]
 *
 * First the model is trained for `--before` updates with proportional sampling: what an untrained model is unsure of says
 * nothing about the rows that are chosen later, and their length decides what an update costs. From there each way trains
 * for `--updates` updates, all in turn, `--rounds` times, each round with rows of its own. `ratio` is the median over rounds of
 * its time ÷ that of proportional sampling in the same round. `--cpu` counts processor time: with `--threads 1`, so that no thread
 * spins while it waits, that holds on a busy machine too.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { clock, environment, load, ROOT, versions, warnWhenBusy } from './environment.mjs';
import { align, median } from './report.mjs';

const SHARED = join(ROOT, '..', 'shared');
const { values } = parseArgs({
  options: {
    model: { type: 'string', default: join(SHARED, 'models', 'minilm') },
    data: { type: 'string', default: join(SHARED, 'data') },
    tasks: { type: 'string', default: 'cola,sst2,mrpc,qqp,stsb,mnli,qnli,rte' },
    method: { type: 'string', default: 'ca_mtl_base' },
    candidates: { type: 'string', default: '' },
    scoring: { type: 'string', default: 'int8,float32' },
    updates: { type: 'string', default: '48' },
    rounds: { type: 'string', default: '5' },
    before: { type: 'string', default: '150' },
    batch: { type: 'string', default: '16' },
    refresh: { type: 'string', default: '1' },
    'max-length': { type: 'string', default: '128' },
    limit: { type: 'string' },
    threads: { type: 'string', default: '2' },
    cpu: { type: 'boolean', default: false },
    dist: { type: 'string', default: 'dist' },
    out: { type: 'string', default: join(ROOT, 'results', 'bench', 'sampler.json') },
  },
});
if (Number(values.updates) % Number(values.refresh) !== 0)
  throw new Error(`--updates ${values.updates}: a multiple of --refresh ${values.refresh} is needed, so that as many are scored as train`);
const now = clock(values.cpu);
const place = environment();
warnWhenBusy((text) => process.stderr.write(`${text}\n`));
const library = await importLibrary();
const engine = await library.nodeEngine({ threads: Number(values.threads) });
const common = { batchSize: Number(values.batch), refresh: Number(values.refresh), maxLength: Number(values['max-length']) };

const tasks = await loadTasks();
const model = await createModel();
/** @type {ReadonlyMap<string, unknown> | undefined} */
let start;
process.stderr.write(`${values.before} updates before the first turn\n`);
if (Number(values.before) > 0) start = (await train({ sampler: 'proportional' }, Number(values.before), 1)).parameters;

/** @typedef {{ name: string, settings: Record<string, unknown> }} Way */
/** @type {Way[]} */
const ways = [{ name: 'proportional', settings: { sampler: 'proportional' } }];
const counts = values.candidates === '' ? [1.25, 2, 4, tasks.length] : values.candidates.split(',').map(Number);
for (const candidates of counts)
  for (const scoring of values.scoring.split(','))
    ways.push({ name: `${candidates} candidates, ${scoring}`, settings: { sampler: 'uncertainty', candidates, scoring } });

/** @typedef {{ ms: number, scoring: number, tokens: number }} Turn */
/** @type {Map<string, Turn[]>} */
const turns = new Map(ways.map(({ name }) => [name, []]));
for (let round = 0; round < Number(values.rounds); round++)
  for (const { name, settings } of ways) {
    const turn = await measure(settings, round);
    turns.get(name)?.push(turn);
    process.stderr.write(`round ${round + 1}, ${name}: ${turn.ms.toFixed(0)} ms an update\n`);
  }

const base = /** @type {Turn[]} */ (turns.get('proportional'));
const results = ways.map(({ name }) => {
  const own = /** @type {Turn[]} */ (turns.get(name));
  return {
    name,
    ms: median(own.map(({ ms }) => ms)),
    ratio: median(own.map(({ ms }, i) => ms / /** @type {Turn} */ (base[i]).ms)),
    shareOfScoring: median(own.map(({ scoring }) => scoring)),
    updateAlone: median(own.map(({ ms, scoring }, i) => (ms * (1 - scoring)) / /** @type {Turn} */ (base[i]).ms)),
    tokens: median(own.map(({ tokens }) => tokens)),
    turns: own,
  };
});
console.log(
  align([
    ['sampling', 'ms an update', 'ratio', 'scoring', 'update alone', 'tokens a row'],
    ...results.map(({ name, ms, ratio, shareOfScoring, updateAlone, tokens }) => [
      name,
      ms.toFixed(0),
      ratio.toFixed(2),
      `${(100 * shareOfScoring).toFixed(0)} %`,
      updateAlone.toFixed(2),
      tokens.toFixed(0),
    ]),
  ]),
);
const { dist: _, data: _data, out, ...given } = values;
/** Names, not the places of things. */
const settings = { ...given, model: basename(given.model) };
mkdirSync(dirname(out), { recursive: true });
const result = { ...place, versions: versions(), settings, time: values.cpu ? 'processor' : 'passing', loadAfter: load(), results };
writeFileSync(out, `${JSON.stringify(result, null, 1)}\n`);

/**
 * One turn: milliseconds an update, the share of scoring in the time, the mean length of the rows that trained.
 * @param {Record<string, unknown>} settings
 * @param {number} round
 * @returns {Promise<Turn>}
 */
async function measure(settings, round) {
  /** @type {number[]} */
  const lengths = [];
  const { ms, scoring } = await train(settings, Number(values.updates), round + 1, (rows) => {
    for (const {
      task,
      train: { prepared },
    } of tasks)
      for (const row of rows[task.name] ?? []) lengths.push(prepared.units[row]?.length ?? 0);
  });
  return { ms, scoring, tokens: lengths.reduce((a, b) => a + b, 0) / lengths.length };
}

/**
 * Milliseconds an update takes, the first not counted: it allocates memory.
 * @param {Record<string, unknown>} settings
 * @param {number} updates
 * @param {number} seed
 * @param {(rows: Record<string, number[]>) => void} [onRows]
 */
async function train(settings, updates, seed, onRows) {
  let [begun, ended] = [0, 0];
  const { parameters, scoring, seconds } = await library.trainMultiTask({
    engine,
    model,
    tasks,
    settings: library.multiTaskSettings.parse({ ...common, ...settings, seed, maxSteps: updates + 1, warmup: 0, learningRate: 1e-4 }),
    ...(start && { initial: start }),
    onEvent(/** @type {any} */ event) {
      if (event.type !== 'step') return;
      ended = now();
      if (event.step === 1) begun = ended;
      onRows?.(event.rows);
    },
  });
  return { parameters, ms: (ended - begun) / updates, scoring: (scoring?.seconds ?? 0) / seconds };
}

async function loadTasks() {
  const tokenizer = await library.loadTokenizer(library.nodeFiles, values.model);
  const loaded = [];
  for (const name of values.tasks.split(',')) {
    const task = await library.loadTask(library.nodeFiles, join(values.data, name));
    const rows = await library.loadRows(library.nodeFiles, task, 'train', values.limit ? { limit: Number(values.limit) } : {});
    const prepared = library.prepare(rows, { task, tokenizer, maxLength: common.maxLength });
    loaded.push({ task, train: { rows, prepared }, validation: undefined });
  }
  return loaded;
}

async function createModel() {
  const encoder = await library.loadEncoder(library.nodeFiles, values.model);
  const names = tasks.map(({ task }) => task.name);
  const attachment = library.multiTaskMethod(values.method).attach(encoder, names, common.maxLength);
  const heads = tasks.map(({ task, train: { rows } }) => {
    const head = library.headFor(task, task.name, rows, 1);
    return { ...head, config: { ...head.config, use_pooler: true } };
  });
  return { encoder, attachment, heads };
}

/** The built modules, by file: the measured parts are not all of the public interface. */
async function importLibrary() {
  const names = [
    'base/files-node',
    'encoders/load',
    'model/prepare',
    'model/task-setup',
    'session/node',
    'tasks/load',
    'text/tokenizer',
    'train/multi-task/registry',
    'train/multi-task/settings',
    'train/multi-task/trainer',
  ];
  const modules = await Promise.all(names.map((name) => import(new URL(`../${values.dist}/${name}.js`, import.meta.url).href)));
  return Object.assign({}, ...modules);
}
