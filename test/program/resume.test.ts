import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { nodeFiles } from '../../src/base/files-node.ts';
import { readSafetensors, readSafetensorsIndex } from '../../src/formats/safetensors.ts';
import { type Running, runCli, startCli, temporaryFolder } from '../cli.ts';
import { writeTinyEncoder, writeTinyTask } from '../tiny.ts';
import { runHere } from './here.ts';

const folder = temporaryFolder();
const STEPS = 240;
let encoder: string;
let task: string;

function command(output: string, ...more: string[]): string[] {
  const fixed = ['--batch-size', '8', '--epochs', '10', '--dropout', '0.1', '--learning-rate', '0.005', '--threads', '1', '--json'];
  return ['train', '--model', encoder, '--task', task, '--output', output, ...fixed, ...more];
}

const METHODS = {
  adapter: ['--save-every', '5', '--eval-every', '18'],
  everything: ['--method', 'full', '--save-every', '1', '--max-steps', '100'],
} as const;
const uninterrupted = { adapter: join(folder, 'whole-adapter'), everything: join(folder, 'whole-everything') };

beforeAll(async () => {
  encoder = await writeTinyEncoder(folder);
  task = await writeTinyTask(folder, 'classification');
  for (const which of ['adapter', 'everything'] as const) {
    const { code, stderr } = await runHere(command(uninterrupted[which], ...METHODS[which]));
    expect(stderr).toBe('');
    expect(code).toBe(0);
  }
});

describe('kill -9', () => {
  it('at three random moments: after each resume the run goes on as if nothing had happened', async () => {
    const output = join(folder, 'killed');
    const moments: string[] = [];
    for (const [from, to] of [
      [1, 65],
      [75, 145],
      [155, 200],
    ] as const) {
      const run = startCli(command(output, ...METHODS.adapter, ...(moments.length ? ['--resume'] : [])));
      moments.push(await killAt(run, output, from + Math.floor(Math.random() * (to - from)), 40 * Math.random()));
      await expectWholeState(output, moments);
    }
    expect(moments).toHaveLength(3);
    await finish(output, 'adapter', moments);
    expectEqualRuns(output, uninterrupted.adapter, STEPS, moments);
  });

  it('while it saves all the time: the state is never half-written', async () => {
    const output = join(folder, 'killed-saving');
    const moments: string[] = [];
    for (let i = 0; i < 8; i++) {
      const run = startCli(command(output, ...METHODS.everything, ...(i ? ['--resume'] : [])));
      moments.push(await killAt(run, output, 2 + 11 * i, 10 * Math.random()));
      await expectWholeState(output, moments);
    }
    await finish(output, 'everything', moments);
    expectEqualRuns(output, uninterrupted.everything, 100, moments);
    expect(
      readdirSync(output).filter((name) => name.endsWith('.partial')),
      moments.join('; '),
    ).toEqual([]);
  });
});

describe('Ctrl-C', () => {
  it('saves at that very step, says how to resume, and exits with 1', async () => {
    const output = join(folder, 'interrupted');
    const run = startCli(command(output, ...METHODS.adapter));
    await reachStep(run, output, 33);
    run.process.kill('SIGINT');
    const { code, stderr } = await run.ended;
    expect(code).toBe(1);
    const { error } = JSON.parse(stderr) as { error: { code: string; message: string } };
    expect(error.code).toBe('train.stopped');
    expect(error.message).toMatch(/^Stopped after step \d+ of 240\. Run the same command with --resume to go on\.$/);
    const stopped = Number(/step (\d+)/.exec(error.message)?.[1]);
    expect(stateOf(output).saved?.progress.step).toBe(stopped);
    expect(stepsOf(output).at(-1)?.step).toBe(stopped);
    await finish(output, 'adapter', []);
    expectEqualRuns(output, uninterrupted.adapter, STEPS, [`Ctrl-C at step ${stopped}`]);
  });
});

it('ends at once at a second signal, with one line, and goes on from the last saved state', async () => {
  const output = join(folder, 'stopped-twice');
  const run = startCli(command(output, ...METHODS.adapter));
  await reachStep(run, output, 33);
  // Two different ones: the system merges equal signals that come at once.
  run.process.kill('SIGINT');
  run.process.kill('SIGTERM');
  const { code, stderr } = await run.ended;
  expect(code).toBe(1);
  expect(stderr.trim().split('\n')).toHaveLength(1);
  expect(JSON.parse(stderr)).toEqual({ error: { code: 'train.stopped', message: expect.stringContaining('Ended at the second signal') } });
  await finish(output, 'adapter', []);
  expectEqualRuns(output, uninterrupted.adapter, STEPS, ['two signals']);
});

describe('--resume refuses', () => {
  const unfinished = join(folder, 'unfinished');
  beforeAll(async () => {
    const run = startCli(command(unfinished, ...METHODS.adapter));
    await killAt(run, unfinished, 25, 0);
  });

  async function refusal(
    change: (output: string) => void | Promise<void>,
    args: (output: string) => string[] = (output) => command(output, ...METHODS.adapter),
  ): Promise<string> {
    const output = join(folder, 'refused', String(Math.random()));
    await cp(unfinished, output, { recursive: true });
    await change(output);
    const { code, stderr } = await runHere([...args(output), '--resume']);
    expect(code).toBe(1);
    const { error } = JSON.parse(stderr) as { error: { code: string; message: string } };
    expect(error.code).toBe('train.resume');
    return error.message.replaceAll(output, 'OUT');
  }
  const unchanged = () => {};

  it('other settings', async () => {
    const message = await refusal(unchanged, (output) =>
      command(output, ...METHODS.adapter).map((arg) => (arg === '0.005' ? '0.004' : arg)),
    );
    expect(message).toMatch(
      'OUT/state/state.json: learningRate: found 0.004 now; expected 0.005, as in the run that is resumed. Resume with',
    );
  });

  it('another task, and other rows under the name of the first', async () => {
    const other = await writeTinyTask(folder, 'pair');
    expect(await refusal(unchanged, (output) => command(output, ...METHODS.adapter).map((arg) => (arg === task ? other : arg)))).toMatch(
      'state.json: task: found "tiny-pair" now; expected "tiny-classification"',
    );
    const edited = join(folder, 'edited', 'tiny-classification');
    await cp(task, edited, { recursive: true });
    writeFileSync(
      join(edited, 'train.jsonl'),
      (await readFile(join(edited, 'train.jsonl'), 'utf8')).replace('"label":"sea"', '"label":"sky"'),
    );
    expect(await refusal(unchanged, (output) => command(output, ...METHODS.adapter).map((arg) => (arg === task ? edited : arg)))).toMatch(
      'state.json: trainingRows: found',
    );
  });

  it('another encoder of the same name and shape', async () => {
    const other = join(folder, 'other', 'encoder');
    await cp(encoder, other, { recursive: true });
    const path = join(other, 'model.safetensors');
    const bytes = readFileSync(path);
    const { offset } = (await readSafetensorsIndex(nodeFiles, path)).tensors.get('encoder.layer.0.output.dense.bias') ?? {};
    expect(offset).toBeGreaterThan(8);
    bytes.writeFloatLE(0.25, offset);
    writeFileSync(path, bytes);
    expect(await refusal(unchanged, (output) => command(output, ...METHODS.adapter).map((arg) => (arg === encoder ? other : arg)))).toMatch(
      'state.json: encoder: found',
    );
  });

  it('a missing state, and a finished run', async () => {
    expect(
      await refusal(
        () => {},
        () => command(join(folder, 'nowhere')),
      ),
    ).toMatch('found no unfinished run; expected state/state.json. Start without --resume.');
    expect(
      await refusal(
        () => {},
        () => command(uninterrupted.adapter),
      ),
    ).toMatch('found a run that is finished');
  });

  it('a damaged state.json', async () => {
    expect(await refusal((output) => truncateSync(join(output, 'state/state.json'), 100))).toMatch(
      /^OUT\/state\/state\.json: found a damaged file .* Start anew without --resume\.$/,
    );
    expect(
      await refusal((output) => writeFileSync(join(output, 'state/state.json'), '{"version":1,"saved":null,"logLength":-1,"settings":{}}')),
    ).toMatch('state.json: logLength: found');
  });

  it('parameters that are cut short or missing', async () => {
    // A kill between a save and its clearing up leaves the parameters before it beside those that count.
    const parameters = stateOf(unfinished).saved?.parameters as string;
    expect(await refusal((output) => truncateSync(join(output, 'state', parameters), 2000))).toMatch(
      `OUT/state/${parameters}: found a damaged file`,
    );
    expect(await refusal((output) => nodeFiles.remove(join(output, 'state', parameters)))).toMatch(
      `OUT/state/${parameters}: found a damaged file`,
    );
  });
});

async function finish(output: string, which: keyof typeof METHODS, moments: readonly string[]): Promise<void> {
  const { code, stderr } = await runCli(command(output, ...METHODS[which], '--resume'));
  expect(stderr, moments.join('; ')).toBe('');
  expect(code).toBe(0);
}

/** Kills as soon as the log shows `step` and `milliseconds` have passed. Returns what was done, for messages. */
async function killAt(run: Running, output: string, step: number, milliseconds: number): Promise<string> {
  await reachStep(run, output, step);
  await wait(milliseconds);
  run.process.kill('SIGKILL');
  const { code, stderr } = await run.ended;
  expect(code, `killed, not ended by itself: ${stderr}`).toBe(null);
  return `killed ${milliseconds.toFixed(1)} ms after step ${step}`;
}

async function reachStep(run: Running, output: string, step: number): Promise<void> {
  const log = join(output, 'log.jsonl');
  let over = false;
  void run.ended.then(() => {
    over = true;
  });
  while (!over && !(existsSync(log) && readFileSync(log, 'utf8').includes(`{"step":${step},`))) await wait(2);
}

function stateOf(output: string): {
  saved: { progress: { step: number }; parameters: string; best: string | null } | null;
  logLength: number;
} {
  return JSON.parse(readFileSync(join(output, 'state/state.json'), 'utf8'));
}

/** state.json is whole, and so is every file it names. */
async function expectWholeState(output: string, moments: readonly string[]): Promise<void> {
  const { saved, logLength } = stateOf(output);
  expect(readFileSync(join(output, 'log.jsonl')).length, moments.join('; ')).toBeGreaterThanOrEqual(logLength);
  for (const name of saved ? [saved.parameters, saved.best] : []) {
    if (name === null) continue;
    const { tensors } = await readSafetensors(nodeFiles, join(output, 'state', name));
    expect(tensors.size).toBeGreaterThan(2);
  }
}

interface LogLine {
  readonly step: number;
  readonly loss?: number;
}

function linesOf(output: string): LogLine[] {
  const text = readFileSync(join(output, 'log.jsonl'), 'utf8');
  expect(text.endsWith('}\n')).toBe(true);
  return text
    .trimEnd()
    .split('\n')
    .map((line) => {
      const { examplesPerSecond: _, ...kept } = JSON.parse(line) as LogLine & { examplesPerSecond?: number };
      return kept;
    });
}

function stepsOf(output: string): LogLine[] {
  return linesOf(output).filter((line) => line.loss !== undefined);
}

function expectEqualRuns(output: string, whole: string, steps: number, moments: readonly string[]): void {
  const message = moments.join('; ');
  expect(
    stepsOf(output).map(({ step }) => step),
    message,
  ).toEqual(Array.from({ length: steps }, (_, i) => i + 1));
  expect(linesOf(output), message).toEqual(linesOf(whole));
  expect(readdirSync(output).sort(), message).toEqual(readdirSync(whole).sort());
  const weights = readdirSync(whole).filter((name) => /\.(bin|safetensors)$|_config\.json$|^config\.json$/.test(name));
  expect(weights.length).toBeGreaterThanOrEqual(3);
  for (const name of weights)
    expect(readFileSync(join(output, name)).equals(readFileSync(join(whole, name))), `${name}: ${message}`).toBe(true);
  const metrics = (path: string) => ({ ...JSON.parse(readFileSync(join(path, 'metrics.json'), 'utf8')), seconds: 0 });
  expect(metrics(output), message).toEqual(metrics(whole));
}
