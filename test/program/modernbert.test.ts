import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { runCli, temporaryFolder } from '../cli.ts';
import { writeTinyEncoder, writeTinyTask } from '../tiny.ts';

/** A family whose layers are none of BERT's, by the commands that know of no family. */
const folder = temporaryFolder();
const SIZES = { train: 384, validation: 48, test: 96 };
let model: string;
let task: string;

beforeAll(async () => {
  model = await writeTinyEncoder(folder, 'test/golden/encoders/modernbert');
  task = await writeTinyTask(folder, 'choice', SIZES);
});

async function run<T>(...words: string[]): Promise<T> {
  const { code, stdout, stderr } = await runCli([...words, '--threads', '1', '--json']);
  expect([code, stderr]).toEqual([0, '']);
  return JSON.parse(stdout) as T;
}

it.each([
  ['full', '0.002'],
  ['seq_bn[reduction_factor=2]', '0.01'],
  ['lora[r=8, dropout=0.1]', '0.01'],
])('%s learns with dropout, and what is saved answers as what was learnt', async (method, rate) => {
  const output = join(folder, method.replace(/\W.*/, ''));
  const settings = ['--learning-rate', rate, '--epochs', '8', '--dropout', '0.05'];
  const { metrics } = await run<{ metrics: { test: { accuracy: number } } }>(
    ...['train', '--model', model, '--task', task, '--method', method, '--output', output, ...settings],
  );
  // A constant answer has 0.3.
  expect(metrics.test.accuracy).toBeGreaterThan(0.7);
  const at = method === 'full' ? ['--model', output] : ['--model', model, '--adapter', output];
  expect(await run('evaluate', ...at, '--task', task, '--split', 'test')).toMatchObject({ metrics: metrics.test });
});
