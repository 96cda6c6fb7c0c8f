import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { beforeAll, expect, it } from 'vitest';
import { runCli, startCli, temporaryFolder } from '../cli.ts';
import { tinyTexts } from '../pretraining.ts';
import { writeTinyTask } from '../tiny.ts';

const folder = temporaryFolder();
const STEPS = 400;
const texts = join(folder, 'texts.txt');
let task: string;

beforeAll(async () => {
  writeFileSync(texts, tinyTexts(200).join('\n'));
  task = await writeTinyTask(folder, 'tagging');
});

function command(output: string, ...more: string[]): string[] {
  const sizes = '--vocabulary 100 --layers 1 --hidden 16 --heads 2 --intermediate 32 --positions 40 --max-length 32 --batch-size 8';
  const run = `--steps ${STEPS} --warmup 20 --threads 1`;
  return ['pretrain', '--data', texts, '--data', task, '--unseen', task, '--output', output, ...`${sizes} ${run}`.split(' '), ...more];
}

function logOf(output: string): object[] {
  const lines = readFileSync(join(output, 'log.jsonl'), 'utf8').trimEnd().split('\n');
  return lines.map((line) => ({ ...JSON.parse(line), examplesPerSecond: 0 }));
}

it('an encoder is made, Ctrl-C and --resume end at the same bytes, and an adapter trains on it', async () => {
  const whole = join(folder, 'whole');
  const { code, stdout, stderr } = await runCli(command(whole, '--json'));
  expect(stderr).toBe('');
  expect(code).toBe(0);
  const result = JSON.parse(stdout) as { output: string; steps: number; texts: number; dropped: number };
  expect(result).toMatchObject({ output: whole, steps: STEPS });
  expect(result.texts).toBeGreaterThan(300);
  const files = ['config.json', 'log.jsonl', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'];
  expect(await readdir(whole)).toEqual(files);

  const output = join(folder, 'stopped');
  const run = startCli(command(output, '--save-every', '1000', '--json'));
  let over = false;
  void run.ended.then(() => {
    over = true;
  });
  const log = join(output, 'log.jsonl');
  while (!over && !(existsSync(log) && readFileSync(log, 'utf8').includes('{"step":50,'))) await wait(2);
  run.process.kill('SIGINT');
  const stopped = await run.ended;
  expect(stopped.code).toBe(1);
  expect(stopped.stderr).toMatch(/"train\.stopped".*Stopped after step \d+ of 400\. Run the same command with --resume to go on\./);
  expect(await readdir(output)).toContain('state.safetensors');

  const other = await runCli(command(output, '--resume', '--learning-rate', '0.5'));
  expect(other.code).toBe(1);
  expect(other.stderr).toMatch('learningRate: found 0.5 now; expected 0.001');

  const resumed = await runCli(command(output, '--resume'));
  expect(resumed.stderr).toMatch(
    /^\d+ texts; \d+ left out because they stand in validation or test rows\.\nCutting \d+ texts into tokens …/,
  );
  expect(resumed.code).toBe(0);
  expect(resumed.stdout).toBe(`Saved in ${output}\n`);
  expect(await readdir(output)).toEqual(files);
  expect(logOf(output)).toEqual(logOf(whole));
  expect(logOf(output)).toHaveLength(8);
  expect(readFileSync(join(output, 'model.safetensors')).equals(readFileSync(join(whole, 'model.safetensors')))).toBe(true);

  const adapter = join(folder, 'adapter');
  const trained = await runCli([
    'train',
    '--model',
    output,
    '--task',
    task,
    '--output',
    adapter,
    '--max-steps',
    '5',
    '--threads',
    '1',
    '--json',
  ]);
  expect(trained.stderr).toBe('');
  expect(trained.code).toBe(0);
  expect(await readdir(adapter)).toContain('adapter_config.json');
});
