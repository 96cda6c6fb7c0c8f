// @ts-check
/**
 * The cost of AdapterFusion by the number of adapters, ours and (up to --theirs-to) that of PyTorch `adapters`, in turn.
 *
 *     node bench/fusion.mjs [--python PATH] [--adapters 1,2,4,8,16,32,64] [--theirs-to 16] [--out results/bench/fusion.json]
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { environment, ROOT, warnWhenBusy } from './environment.mjs';
import { runProcess } from './processes.mjs';
import { align } from './report.mjs';

const { values } = parseArgs({
  options: {
    python: { type: 'string' },
    model: { type: 'string', default: join(ROOT, '..', 'shared', 'models', 'minilm') },
    adapters: { type: 'string', default: '1,2,4,8,16,32,64' },
    'theirs-to': { type: 'string', default: '16' },
    rounds: { type: 'string', default: '5' },
    repeats: { type: 'string', default: '2' },
    out: { type: 'string', default: join(ROOT, 'results', 'bench', 'fusion.json') },
  },
});
warnWhenBusy((text) => process.stderr.write(`${text}\n`));
/** @type {Record<string, unknown>[]} */
const points = [];
for (const adapters of values.adapters.split(',').map(Number)) {
  const out = join(tmpdir(), `multigraft-fusion-${process.pid}-${adapters}.json`);
  const compared = values.python !== undefined && adapters <= Number(values['theirs-to']);
  const flags = ['--only', 'step,memory,forward', '--fuse', `${adapters}`, '--model', values.model, '--out', out];
  const turns = ['--rounds', values.rounds, '--repeats', values.repeats];
  await runProcess(process.execPath, [
    join(ROOT, 'bench', 'run.mjs'),
    ...flags,
    ...turns,
    ...(compared ? ['--python', /** @type {string} */ (values.python)] : []),
  ]);
  const { results, versions } = JSON.parse(readFileSync(out, 'utf8'));
  points.push({ adapters, results, versions });
  mkdirSync(dirname(values.out), { recursive: true });
  writeFileSync(values.out, `${JSON.stringify({ ...environment(), points }, null, 1)}\n`);
  process.stderr.write(`${adapters} adapters measured\n`);
}
console.log(
  align([
    ['adapters', 'step ms', 'theirs', 'ratio', 'peak MB', 'theirs', 'forward ms', 'theirs'],
    ...points.map(({ adapters, results }) => {
      const [step, memory, forward] = /** @type {import('./report.mjs').Result[]} */ (results);
      return [`${adapters}`, ...both(step), ratio(step), ...both(memory), ...both(forward)];
    }),
  ]),
);

/** @param {import('./report.mjs').Result | undefined} result */
function both(result) {
  return [result?.ours?.median, result?.theirs?.median].map((value) => (value == null ? '–' : value.toFixed(0)));
}

/** @param {import('./report.mjs').Result | undefined} result */
function ratio(result) {
  return typeof result?.ratio === 'number' ? result.ratio.toFixed(3) : '–';
}
