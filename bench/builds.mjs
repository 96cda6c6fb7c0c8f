// @ts-check
/**
 * Two checkouts of this repository in turn, each with its own build: what a change costs.
 *
 *     git worktree add ../before COMMIT && (cd ../before && npm ci && npm run build)
 *     node bench/builds.mjs --before ../before [--model DIR] [--rounds 9] [--out FILE]
 *
 * The first checkout's bench/ours.mjs measures the first build, this one's the second. Ratios are after ÷ before, round by round.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { environment, load, ROOT, warnWhenBusy } from './environment.mjs';
import { runProcess, startWorker } from './processes.mjs';
import { median } from './report.mjs';

/** Thread pools spin for a while after their work; the other side waits until they sleep. */
const PAUSE_MS = 400;
const WARM_UP = 2;

/** What is measured: flags of bench/ours.mjs. */
const WORKLOADS = {
  seq_bn: ['--method', 'seq_bn', '--batch', '16', '--length', '128', '--micro-batch', '4', '--threads', '2'],
  lora: ['--method', 'lora', '--batch', '16', '--length', '128', '--micro-batch', '4', '--threads', '2'],
  full: ['--method', 'full', '--batch', '16', '--length', '64', '--threads', '1'],
  'fusion of 16': ['--fuse', '16', '--batch', '16', '--length', '128', '--micro-batch', '4', '--threads', '2'],
};

const { values: options } = parseArgs({
  options: {
    before: { type: 'string' },
    model: { type: 'string', default: join(ROOT, '..', 'shared', 'models', 'minilm') },
    rounds: { type: 'string', default: '9' },
    only: { type: 'string' },
    out: { type: 'string' },
  },
});
if (options.before === undefined) throw new Error('--before: another checkout of this repository, built');
const sides = [options.before, ROOT];
const wanted = options.only?.split(',') ?? [...Object.keys(WORKLOADS), 'cold'];

warnWhenBusy((text) => process.stderr.write(`${text}\n`));
/** @type {Record<string, Record<string, { before: number, after: number, ratio: number, ratios: number[] }>>} */
const results = {};
for (const [name, flags] of Object.entries(WORKLOADS)) if (wanted.includes(name)) results[name] = await measureSteps(flags);
if (wanted.includes('cold')) results['cold start of predict'] = await measureColdStart();

for (const [name, figures] of Object.entries(results))
  for (const [figure, { before, after, ratio, ratios }] of Object.entries(figures))
    console.log(
      [
        name.padEnd(24),
        figure.padEnd(8),
        before.toFixed(1),
        after.toFixed(1),
        ratio.toFixed(3),
        `(${Math.min(...ratios).toFixed(3)} to ${Math.max(...ratios).toFixed(3)})`,
      ].join('  '),
    );
if (options.out) {
  const commits = sides.map((side) => execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: side, encoding: 'utf8' }).trim());
  const report = {
    ...environment(),
    commits: { before: commits[0], after: commits[1] },
    rounds: Number(options.rounds),
    results,
    loadAfter: load(),
  };
  writeFileSync(options.out, `${JSON.stringify(report, null, 1)}\n`);
}

/** @param {readonly string[]} flags */
async function measureSteps(flags) {
  const workers = await Promise.all(
    sides.map((side) => startWorker(process.execPath, [join(side, 'bench', 'ours.mjs'), '--model', options.model, ...flags])),
  );
  try {
    for (let i = 0; i < WARM_UP; i++) for (const worker of workers) await worker.ask('step');
    const times = await inTurn(async (i) => (await /** @type {import('./processes.mjs').Worker} */ (workers[i]).ask('step')).ms);
    const peaks = await Promise.all(workers.map(async (worker) => [(await worker.ask('stats')).peakMB]));
    return { ms: compared(times), MB: compared(/** @type {number[][]} */ (peaks)) };
  } finally {
    await Promise.all(workers.map((worker) => worker.quit()));
  }
}

/** A whole process that answers one row with an adapter that the first build trained. */
async function measureColdStart() {
  const folder = mkdtempSync(join(tmpdir(), 'builds-'));
  const cli = (/** @type {number} */ i) => join(/** @type {string} */ (sides[i]), 'dist', 'cli', 'main.js');
  try {
    const rows = join(folder, 'rows.csv');
    writeFileSync(rows, 'text,label\nIt was a fine day.,yes\nNothing worked at all.,no\n');
    const adapter = join(folder, 'adapter');
    const model = ['--model', options.model];
    await runProcess(process.execPath, [cli(0), 'train', ...model, '--task', rows, '--max-steps', '1', '--output', adapter]);
    const predict = ['predict', ...model, '--adapter', adapter, 'A train left the station.'];
    const times = await inTurn(async (i) => (await runProcess(process.execPath, [cli(i), ...predict])).ms);
    return { ms: compared(times) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * Three measurements a turn, of which the median counts.
 * @param {(side: number) => Promise<number>} measure
 */
async function inTurn(measure) {
  /** @type {number[][]} */
  const times = [[], []];
  for (let round = 0; round < Number(options.rounds); round++)
    for (const side of [0, 1]) {
      await sleep(PAUSE_MS);
      const some = [];
      for (let i = 0; i < 3; i++) some.push(await measure(side));
      /** @type {number[]} */ (times[side]).push(median(some));
    }
  return times;
}

/** @param {readonly (readonly number[])[]} times */
function compared([before = [], after = []]) {
  const ratios = after.map((value, i) => value / /** @type {number} */ (before[i]));
  return { before: median(before), after: median(after), ratio: median(ratios), ratios };
}
