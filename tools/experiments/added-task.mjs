// @ts-check
/**
 * Which learning rate suits `multitask --add`, which trains a row of the task embeddings and a head: one CA-MTL model of three tasks on
 * the embedded encoder, to which other tasks are added one by one at several rates.
 *
 *     node tools/experiments/added-task.mjs --work DIR [--data ../shared/data] [--out results/added-task.json]
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const BASE = ['ag_news', 'snips_intent', 'sst2'];
const ADDED = ['trec6', 'sms_spam'];
const RATES = ['1e-3', '1e-2', '3e-2'];
const SEEDS = ['1'];
/** Most rows of each split, the first; none of these files is sorted by its labels. */
const ROWS = 400;

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const { values } = parseArgs({
  options: {
    work: { type: 'string' },
    data: { type: 'string', default: join(ROOT, '..', 'shared', 'data') },
    out: { type: 'string', default: join(ROOT, 'results', 'added-task.json') },
  },
});
if (values.work === undefined) throw new Error('--work DIR: a folder outside the repository for tasks and models');
const model = join(values.work, 'model');
const folder = (/** @type {string} */ task) => join(values.data, task);
run([...BASE.flatMap((task) => ['--task', folder(task)]), '--learning-rate', '1e-3', '--epochs', '3', '--output', model, '--overwrite']);

const results = ADDED.flatMap((task) =>
  RATES.flatMap((rate) =>
    SEEDS.map((seed) => {
      const { tasks } = run(['--add', '--model', model, '--task', folder(task), '--learning-rate', rate, '--seed', seed]);
      const { metric, metrics } = /** @type {typeof tasks[number]} */ (tasks[0]);
      const score = {
        task,
        rate: Number(rate),
        seed: Number(seed),
        metric,
        validation: /** @type {number} */ (metrics.validation[metric]),
        test: /** @type {number} */ (metrics.test[metric]),
      };
      console.error(JSON.stringify(score));
      return score;
    }),
  ),
);
writeFileSync(values.out, `${JSON.stringify({ base: BASE, rows: ROWS, results }, null, 1)}\n`);
for (const task of ADDED) {
  const cells = RATES.map((rate) => {
    const some = results.filter((one) => one.task === task && one.rate === Number(rate));
    return `${rate}: ${(some.reduce((sum, { validation }) => sum + validation, 0) / some.length).toFixed(3)}`;
  });
  console.log(`${task}  ${cells.join('  ')}`);
}

/** What a run of `multigraft multitask` tells. @param {string[]} args @returns {{ tasks: { metric: string, metrics: { validation: Record<string, number>, test: Record<string, number> } }[] }} */
function run(args) {
  const main = join(ROOT, 'dist', 'cli', 'main.js');
  return JSON.parse(execFileSync(process.execPath, [main, 'multitask', '--json', '--limit', String(ROWS), ...args], { encoding: 'utf8' }));
}
