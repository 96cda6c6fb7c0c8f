import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { renderTable, summarize } from '../../bench/report.mjs';

const run = promisify(execFile);
const script = (name: string) => fileURLToPath(new URL(`../../bench/${name}`, import.meta.url));

describe('the benchmark table', () => {
  it('compares round by round, so that a slow phase of the machine does not count', () => {
    const result = summarize('step', 'ms', { ours: [10, 40, 12], theirs: [20, 80, 20] }, 0.45);
    expect(result).toMatchObject({ ratio: 0.5, ours: { median: 12, min: 10 }, theirs: { median: 20, min: 20 } });
  });

  it('shows our side alone when there is no peer', () => {
    const table = renderTable([summarize('cold start', 'ms', { ours: [900, 1100], theirs: [] }, undefined, 2000)]);
    expect(table.split('\n').at(-1)?.split(/ {2,}/)).toEqual(['cold start', '1000 ms', '900', '–', '–', '–', '< 2000 ms']);
  });
});

describe('the comparison over seeds', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'multigraft-bench-test-'));
    await keep('a', [0.7, 0.72], [0.69, 0.71]);
    await keep('b', [0.5, 0.5], [0.6, 0.6]);
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('holds the difference of means against three standard errors, and the mean difference against one point', async () => {
    const lines = (await run(process.execPath, [script('seeds.mjs'), '--table', '--out', folder])).stdout.split('\n');
    expect(lines[1]?.split(/ {2,}/)).toEqual(['a', 'accuracy', '71.00 ± 1.41 (2)', '70.00 ± 1.41 (2)', '+1.00', '4.24', 'yes']);
    expect(lines[2]?.split(/ {2,}/)).toEqual(['b', 'accuracy', '50.00 ± 0.00 (2)', '60.00 ± 0.00 (2)', '-10.00', '0.00', 'NO']);
    expect(lines[4]).toContain('5.50 points; limit 1: NO');
  });

  it('refuses to mix runs of different settings', async () => {
    const mixed = await mkdtemp(join(folder, 'mixed-'));
    await writeFile(join(mixed, 'a-ours-1.json'), JSON.stringify({ ...record('a', 'ours', 1, 0.7), settings: { epochs: 1 } }));
    await writeFile(join(mixed, 'a-ours-2.json'), JSON.stringify({ ...record('a', 'ours', 2, 0.7), settings: { epochs: 2 } }));
    await expect(run(process.execPath, [script('seeds.mjs'), '--table', '--out', mixed])).rejects.toThrow('different settings');
  });

  async function keep(task: string, ours: number[], theirs: number[]) {
    for (const [side, scores] of Object.entries({ ours, adapters: theirs }))
      for (const [i, score] of scores.entries())
        await writeFile(join(folder, `${task}-${side}-${i + 1}.json`), JSON.stringify(record(task, side, i + 1, score)));
  }
});

function record(task: string, side: string, seed: number, score: number) {
  return { task, side, seed, metric: 'accuracy', test: { accuracy: score }, settings: { epochs: 1 } };
}

describe('without a model folder', () => {
  it.each(['run.mjs', 'seeds.mjs'])('%s says what is missing and succeeds', async (name) => {
    const { stdout } = await run(process.execPath, [script(name), '--model', join(tmpdir(), 'no-such-model')]);
    expect(stdout).toMatch(/^Nothing (measured|trained): .*(--model DIR|npm run build)/);
  });
});
