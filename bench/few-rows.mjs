/**
 * Accuracy with few labelled rows: `node bench/few-rows.mjs [--rows 8] [--tasks trec6,subj] [--method NAME] [--more=FLAGS]`, heads solved
 * exactly on frozen vectors where no other method is given; docs/few-rows.md has the table.
 * Rows are drawn as in shared/reference/few-rows.json: Python's random.seed(SEED), a shuffle of the train rows, the first ROWS of each
 * label; scored on the first 1,000 test rows. Each draw goes into results/few-rows/METHOD.json as it is done: what is there is not made again.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '8' },
    seeds: { type: 'string', default: '1,2,3' },
    tasks: { type: 'string', default: 'trec6,subj,snips_intent,sms_spam,sst2,ag_news,argument_stance' },
    method: { type: 'string', default: 'solved_head' },
    // Flags of train beside those, with spaces between.
    more: { type: 'string', default: '' },
    name: { type: 'string' },
    model: { type: 'string', default: '../shared/models/minilm' },
    data: { type: 'string', default: '../shared/data' },
  },
});
const name = values.name ?? values.method;
const [rows, seeds, tasks] = [Number(values.rows), values.seeds.split(',').map(Number), values.tasks.split(',')];
const TEST_ROWS = 1000;
const reference = join(values.data, '..', 'reference', 'few-rows.json');
const peer = existsSync(reference) ? JSON.parse(readFileSync(reference, 'utf8')).results : {};
const folder = 'results/few-rows';
mkdirSync(folder, { recursive: true });
const path = join(folder, `${name}.json`);
const results = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : { flags: [values.method, values.more], results: {} };
if (String(results.flags) !== String([values.method, values.more]))
  throw new Error(`${path} holds draws of ${results.flags}: give another --name.`);

for (const task of tasks) {
  const lines = (split) =>
    readFileSync(join(values.data, task, `${split}.jsonl`), 'utf8')
      .split('\n')
      .filter(Boolean);
  const train = lines('train');
  for (const seed of seeds) {
    const key = `${task}-${rows}-${seed}`;
    if (results.results[key]) continue;
    const work = mkdtempSync(join(tmpdir(), 'few-rows-'));
    try {
      const card = JSON.parse(readFileSync(join(values.data, task, 'card.json'), 'utf8'));
      writeFileSync(join(work, 'card.json'), JSON.stringify(card));
      writeFileSync(join(work, 'train.jsonl'), `${drawn(train, seed, card.columns?.label ?? 'label').join('\n')}\n`);
      writeFileSync(join(work, 'test.jsonl'), `${lines('test').slice(0, TEST_ROWS).join('\n')}\n`);
      const flags = [
        '--model',
        values.model,
        '--task',
        work,
        '--method',
        values.method,
        '--json',
        ...values.more.split(' ').filter(Boolean),
      ];
      const made = JSON.parse(
        execFileSync(process.execPath, ['dist/cli/main.js', 'train', ...flags], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }),
      );
      results.results[key] = {
        accuracy: made.metrics.test.accuracy,
        seconds: made.seconds,
        ...(made.solved && { penalty: made.solved.penalties[0] }),
      };
      writeFileSync(path, `${JSON.stringify(results, null, 1)}\n`);
      process.stderr.write(`${key} ${made.metrics.test.accuracy.toFixed(3)}\n`);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  }
}

const mean = (numbers) => (numbers.length > 0 ? numbers.reduce((a, b) => a + b, 0) / numbers.length : Number.NaN);
const percent = (x) => (Number.isNaN(x) ? '' : (100 * x).toFixed(1));
const table = tasks.map((task) => {
  const keys = seeds.map((seed) => `${task}-${rows}-${seed}`);
  const known = keys.filter((key) => peer[key]);
  return [
    task,
    mean(keys.map((key) => results.results[key].accuracy)),
    mean(known.map((key) => peer[key].frozenMeanLogistic)),
    mean(known.map((key) => peer[key].setfit)),
    mean(keys.map((key) => results.results[key].seconds)),
  ];
});
table.push(['mean', ...[1, 2, 3, 4].map((column) => mean(table.map((line) => line[column])))]);
console.log(
  `| task, ${rows} rows a class, ${seeds.length} draws | ${name} | mean features + logistic regression | SetFit | seconds |\n| --- | --- | --- | --- | --- |`,
);
for (const [task, ours, frozen, setfit, seconds] of table)
  console.log(`| ${task} | ${percent(ours)} | ${percent(frozen)} | ${percent(setfit)} | ${seconds.toFixed(1)} |`);

/** The first rows of each label, after Python's shuffle. */
function drawn(train, seed, column) {
  const shuffled = [...train];
  const random = mersenneTwister(seed);
  for (let i = shuffled.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [shuffled[i], shuffled[j]] = [shuffled[j], shuffled[i]];
  }
  const taken = new Map();
  return shuffled.filter((line) => {
    const label = String(JSON.parse(line)[column]);
    taken.set(label, (taken.get(label) ?? 0) + 1);
    return taken.get(label) <= rows;
  });
}

/** MT19937 (Matsumoto & Nishimura 1998), begun by an integer as CPython does, init_by_array over its 32-bit digits; numbers below n by getrandbits. */
function mersenneTwister(seed) {
  const state = new Uint32Array(624);
  state[0] = 19650218;
  const next = (i, factor) => Math.imul(state[i - 1] ^ (state[i - 1] >>> 30), factor);
  for (let i = 1; i < 624; i++) state[i] = next(i, 1812433253) + i;
  let i = 1;
  const wrap = () => {
    if (++i < 624) return;
    state[0] = state[623];
    i = 1;
  };
  for (let k = 0; k < 624; k++) {
    state[i] = (state[i] ^ next(i, 1664525)) + seed;
    wrap();
  }
  for (let k = 0; k < 623; k++) {
    state[i] = (state[i] ^ next(i, 1566083941)) - i;
    wrap();
  }
  state[0] = 0x80000000;
  let at = 624;
  const word = () => {
    if (at === 624) {
      for (let k = 0; k < 624; k++) {
        const y = (state[k] & 0x80000000) | (state[(k + 1) % 624] & 0x7fffffff);
        state[k] = state[(k + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      at = 0;
    }
    let y = state[at++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
  return {
    below(n) {
      const bits = 32 - Math.clz32(n);
      for (;;) {
        const value = word() >>> (32 - bits);
        if (value < n) return value;
      }
    },
  };
}
