import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { arch } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { runCli, temporaryFolder } from '../cli.ts';
import { runHere } from '../program/here.ts';
import { TINY_TASKS, type TinyTask, writeTinyEncoder, writeTinyTask } from '../tiny.ts';

/**
 * One run of the program for each kind of task, on easy invented tasks; the first is a process of its own. The first losses
 * are pinned in expected.json, which `WRITE_EXPECTED=1 npx vitest run --project program test/recipes` writes anew: after a change of the random
 * streams, of initial values or of the defaults, and never to make another difference go away.
 */
const EXPECTED = 'test/recipes/expected.json';
const folder = temporaryFolder();
const SIZES = { train: 384, validation: 48, test: 96 };
const ARGS = ['--epochs', '12', '--threads', '1', '--json'];

interface Recipe {
  readonly method: string;
  /** What the test metric must exceed; far above any constant answer. */
  readonly floor: Readonly<Record<string, number>>;
}

/** The encoder is random: all of it is trained but in the last two, where frozen features are enough for an easy task. */
const RECIPES: Readonly<Record<string, Recipe & { readonly task: TinyTask }>> = {
  classification: { task: 'classification', method: 'full', floor: { accuracy: 0.6 } },
  pair: { task: 'pair', method: 'full', floor: { accuracy: 0.75 } },
  regression: { task: 'regression', method: 'full', floor: { pearson: 0.7 } },
  multilabel: { task: 'multilabel', method: 'full', floor: { f1_micro: 0.6, accuracy: 0.25 } },
  tagging: { task: 'tagging', method: 'full', floor: { span_f1: 0.7, token_accuracy: 0.85 } },
  choice: { task: 'choice', method: 'full', floor: { accuracy: 0.75 } },
  span: { task: 'span', method: 'full', floor: { exact_match: 0.75 } },
  'choice-seq_bn': { task: 'choice', method: 'seq_bn[reduction_factor=2]', floor: { accuracy: 0.5 } },
  'choice-lora': { task: 'choice', method: 'lora[r=8]', floor: { accuracy: 0.7 } },
};

interface Expected {
  readonly provenance: Readonly<Record<string, unknown>>;
  readonly losses: Record<string, number[]>;
}

const writing = process.env.WRITE_EXPECTED === '1';
const expected: Expected =
  existsSync(EXPECTED) && !writing ? JSON.parse(readFileSync(EXPECTED, 'utf8')) : { provenance: provenance(), losses: {} };
let encoder: string;

beforeAll(async () => {
  encoder = await writeTinyEncoder(folder);
});

it('there is a recipe for every kind of task', () => {
  expect(new Set(Object.values(RECIPES).map(({ task }) => task))).toEqual(new Set(TINY_TASKS));
  expect(Object.keys(RECIPES)).toHaveLength(9);
});

describe.each(Object.entries(RECIPES))('%s', (name, { task, method, floor }) => {
  it('trains: first losses as pinned, the loss falls, the test metric is far above chance', async () => {
    const output = join(folder, 'out', name);
    const run = name === 'classification' ? runCli : runHere;
    const { code, stdout, stderr } = await run([
      'train',
      '--model',
      encoder,
      '--task',
      await writeTinyTask(folder, task, SIZES),
      '--method',
      method,
      '--learning-rate',
      method === 'full' ? '0.002' : '0.01',
      '--output',
      output,
      ...ARGS,
    ]);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    const losses = readFileSync(join(output, 'log.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .flatMap((line) => (JSON.parse(line) as { loss?: number }).loss ?? []);
    expect(losses).toHaveLength(288);
    if (writing) save(name, losses.slice(0, 5));
    const pinned = expected.losses[name];
    expect(pinned).toHaveLength(5);
    pinned?.forEach(
      (loss, i) =>
        void expect(Math.abs((losses[i] as number) / loss - 1), `loss of step ${i + 1}: ${losses[i]}, pinned ${loss}`).toBeLessThan(1e-4),
    );
    expect(mean(losses.slice(-24))).toBeLessThan((method === 'full' ? 0.75 : 0.95) * mean(losses.slice(0, 24)));
    const { metrics, majority } = JSON.parse(stdout) as { metrics: { test: Record<string, number> }; majority?: number };
    for (const [metric, least] of Object.entries(floor)) expect(metrics.test[metric], metric).toBeGreaterThan(least);
    const accuracy = metrics.test.accuracy ?? metrics.test.token_accuracy;
    if (majority !== undefined) expect(accuracy).toBeGreaterThan(majority + 0.1);
  });
});

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function save(name: string, losses: number[]): void {
  expected.losses[name] = losses;
  writeFileSync(EXPECTED, `${JSON.stringify(expected, null, 1)}\n`);
}

function provenance(): Expected['provenance'] {
  const { version } = JSON.parse(readFileSync('node_modules/onnxruntime-node/package.json', 'utf8')) as { version: string };
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  return {
    writtenBy: 'test/recipes/tiny.test.ts',
    commit,
    'onnxruntime-node': version,
    node: process.version,
    arch: arch(),
    encoder: 'test/golden/encoders/bert',
    seed: 1,
    arguments: ARGS.join(' '),
    rows: SIZES,
  };
}
