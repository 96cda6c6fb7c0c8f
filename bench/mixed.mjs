// @ts-check
/**
 * What rows that each name their adapter cost: a batch of one adapter, of eight, and of as many as there are rows out of a hundred, of one
 * shape; then of several shapes, and without adapters. All of them in turn; times are medians over rounds.
 *
 *     node bench/mixed.mjs [--model DIR] [--method seq_bn] [--batch 32] [--length 64] [--rounds 15] [--cpu] [--out results/bench/mixed.json]
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { clock, environment, load, ROOT, versions, warnWhenBusy } from './environment.mjs';
import { align } from './report.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: join(ROOT, '..', 'shared', 'models', 'minilm') },
    method: { type: 'string', default: 'seq_bn' },
    others: { type: 'string', default: 'lora,prefix_tuning_flat,ia3' },
    batch: { type: 'string', default: '32' },
    length: { type: 'string', default: '64' },
    shelf: { type: 'string', default: '100' },
    rounds: { type: 'string', default: '15' },
    threads: { type: 'string', default: '2' },
    cpu: { type: 'boolean', default: false },
    dist: { type: 'string', default: 'dist' },
    out: { type: 'string', default: join(ROOT, 'results', 'bench', 'mixed.json') },
  },
});
if (!existsSync(values.model)) {
  process.stderr.write(`${values.model} is not there: give --model DIR\n`);
  process.exit(1);
}
warnWhenBusy((text) => process.stderr.write(`${text}\n`));
const number = (/** @type {'batch' | 'length' | 'shelf' | 'rounds'} */ key) => Number(values[key]);
const [batch, length, shelf, rounds] = [number('batch'), number('length'), number('shelf'), number('rounds')];
const now = clock(values.cpu);
const before = environment();
const { AutoAdapterModel } = await import(join(ROOT, values.dist, 'index.js'));
const { nodeEngine } = await import(join(ROOT, values.dist, 'session', 'index.js'));
const engine = await nodeEngine({ threads: Number(values.threads) });
const model = await AutoAdapterModel.fromPretrained(values.model, { engine });
const others = values.others.split(',');
const add = (/** @type {string} */ name, /** @type {string} */ method) => {
  model.addAdapter(name, method);
  model.addClassificationHead(name, { numLabels: 2 });
};
for (let i = 0; i < shelf; i++) add(`a${i}`, values.method);
for (const method of others) for (let i = 0; i < 4; i++) add(`${method}-${i}`, method);
const rows = Array.from({ length: batch }, (_, i) => ({
  inputIds: Array.from({ length }, (__, j) => 1000 + ((7919 * (i * length + j)) % 20000)),
}));
const named = (/** @type {(i: number) => string} */ name) => ({ adapterNames: rows.map((_, i) => name(i)) });
const eachOf = (/** @type {number} */ n) => named((i) => `a${(i * 37 + 11) % n}`);

// The model whose one adapter is active, apart: to make another one active compiles anew.
const single = await AutoAdapterModel.fromPretrained(values.model, { engine });
single.addAdapter('a0', values.method);
single.addClassificationHead('a0', { numLabels: 2 });
single.setActiveAdapters('a0');
let turn = 0;
/** @type {readonly (readonly [string, () => Promise<unknown>])[]} */
const cases = [
  ['one active', () => single.predict(rows)],
  ['1 named', () => model.predict(rows, eachOf(1))],
  ['8 named', () => model.predict(rows, eachOf(8))],
  // Other adapters in every round.
  [
    `of ${shelf}`,
    () =>
      model.predict(
        rows,
        named((i) => `a${(i * 37 + 11 * (turn + 2)) % shelf}`),
      ),
  ],
  [
    '8 and without',
    () => model.predict(rows, { ...named((i) => (i % 8 === 0 ? '__base__' : `a${i % 8}`)), headNames: rows.map(() => 'a0') }),
  ],
  [
    `${1 + others.length} shapes`,
    () =>
      model.predict(
        rows,
        named((i) => (i % 4 === 0 ? `a${i}` : `${others[i % others.length]}-${i % 4}`)),
      ),
  ],
];
/** @type {Map<string, number[]>} */
const times = new Map(cases.map(([name]) => [name, []]));
for (turn = -2; turn < rounds; turn++)
  for (const [name, run] of cases) {
    const start = now();
    await run();
    if (turn >= 0) times.get(name)?.push(now() - start);
  }
const median = (/** @type {readonly number[]} */ all) => /** @type {number} */ ([...all].sort((a, b) => a - b)[Math.floor(all.length / 2)]);
const one = /** @type {number[]} */ (times.get('one active'));
const results = [...times].map(([name, all]) => ({
  name,
  ms: Math.round(median(all) * 10) / 10,
  ratio: Math.round(median(all.map((ms, i) => ms / /** @type {number} */ (one[i]))) * 1000) / 1000,
  rounds: all.map((ms) => Math.round(ms * 10) / 10),
}));
const settings = { batch, length, method: values.method, others, shelf, rounds, threads: Number(values.threads), cpu: values.cpu };
mkdirSync(dirname(values.out), { recursive: true });
writeFileSync(values.out, `${JSON.stringify({ ...before, loadAfter: load(), versions: versions(), settings, results }, null, 1)}\n`);
console.log(align([['adapters', 'ms', 'ratio'], ...results.map(({ name, ms, ratio }) => [name, ms.toFixed(1), ratio.toFixed(3)])]));
await model.release();
await single.release();
