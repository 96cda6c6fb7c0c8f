/**
 * Judges an embedded encoder: frozen encoder + seq_bn against the frozen-features baseline (head only) and a tuned TF-IDF
 * logistic regression, several seeds on each task. One JSON file per run; runs that exist are not repeated.
 *
 *   node tools/seedling/evaluate.mjs --model assets/seedling --data ../shared/data [--seeds 5] [--epochs 5] [--out results/seedling]
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'assets/seedling' },
    data: { type: 'string', default: '../shared/data' },
    tasks: { type: 'string', default: 'trec6,subj,sms_spam,snips_intent,sst2' },
    seeds: { type: 'string', default: '5' },
    epochs: { type: 'string', default: '5' },
    jobs: { type: 'string', default: '2' },
    out: { type: 'string', default: 'results/seedling' },
  },
});
const run = promisify(execFile);
/** A reduction factor of 2: 192 hidden units divided by the usual 16 would leave 12. */
const METHODS = {
  seq_bn: ['--method', 'seq_bn[reduction_factor=2]', '--learning-rate', '0.002'],
  head: ['--method', 'head', '--learning-rate', '0.002'],
};
const seeds = Array.from({ length: Number(values.seeds) }, (_, i) => i + 1);
const tasks = values.tasks.split(',');

mkdirSync(values.out, { recursive: true });
const queue = tasks.flatMap((task) => seeds.flatMap((seed) => Object.keys(METHODS).map((method) => ({ task, seed, method }))));
await Promise.all(Array.from({ length: Number(values.jobs) }, work));
report();

async function work() {
  for (let next = queue.shift(); next; next = queue.shift()) {
    const { task, seed, method } = next;
    const path = join(values.out, `${task}-${method}-${seed}.json`);
    if (existsSync(path)) continue;
    const flags = ['--model', values.model, '--task', join(values.data, task), '--seed', String(seed)];
    const settings = [...METHODS[method], '--epochs', values.epochs, '--batch-size', '32', '--max-length', '64', '--threads', '1'];
    const { stdout } = await run(process.execPath, ['dist/cli/main.js', 'train', '--json', ...flags, ...settings], { maxBuffer: 2 ** 26 });
    const { metrics, majority, seconds, steps, parameters } = JSON.parse(stdout);
    writeFileSync(
      path,
      `${JSON.stringify({ task, method, seed, metrics, majority, seconds, steps, parameters, settings: settings.join(' ') })}\n`,
    );
    process.stderr.write(`${task} ${method} seed ${seed}: ${metrics.test.accuracy.toFixed(4)} in ${seconds.toFixed(0)} s\n`);
  }
}

function report() {
  const tfidf = JSON.parse(readFileSync('results/baselines/tfidf.json', 'utf8'));
  const rows = tasks.map((task) => {
    const scores = (method) =>
      seeds.map((seed) => JSON.parse(readFileSync(join(values.out, `${task}-${method}-${seed}.json`), 'utf8')).metrics.test.accuracy);
    const [ours, head] = [statistics(scores('seq_bn')), statistics(scores('head'))];
    const floor = tfidfAccuracy(tfidf, task);
    const overFloor = (ours.mean - floor) / ours.error;
    const overHead = (ours.mean - head.mean) / Math.hypot(ours.error, head.error);
    return { task, seqBn: ours, head, tfidf: floor, overTfidf: overFloor, overHead, wins: overFloor > 2 && overHead > 2 };
  });
  writeFileSync(
    join(values.out, 'table.json'),
    `${JSON.stringify({ model: values.model, seeds, epochs: Number(values.epochs), rows }, null, 1)}\n`,
  );
  const cell = ({ mean, error }) => `${(100 * mean).toFixed(2)} ± ${(100 * error).toFixed(2)}`;
  process.stdout.write(
    '| task | seedling + seq_bn | head only | TF-IDF | standard errors above TF-IDF / head |\n| --- | --- | --- | --- | --- |\n',
  );
  for (const row of rows)
    process.stdout.write(
      `| ${row.task} | ${cell(row.seqBn)} | ${cell(row.head)} | ${(100 * row.tfidf).toFixed(2)} | ${row.overTfidf.toFixed(1)} / ${row.overHead.toFixed(1)} |\n`,
    );
}

/** Mean and standard error of the mean. */
function statistics(scores) {
  const mean = scores.reduce((a, b) => a + b, 0) / scores.length;
  const variance = scores.reduce((sum, x) => sum + (x - mean) ** 2, 0) / Math.max(1, scores.length - 1);
  return { mean, error: Math.sqrt(variance / scores.length), scores };
}

function tfidfAccuracy(results, task) {
  const found = Array.isArray(results.tasks) ? results.tasks.find((one) => one.task === task) : results.tasks?.[task];
  const value = found?.test?.accuracy ?? found?.test ?? found?.accuracy;
  if (typeof value !== 'number') throw new Error(`results/baselines/tfidf.json has no accuracy of ${task}`);
  return value;
}
