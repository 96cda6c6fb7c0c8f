import { existsSync, readFileSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createWorkspace, type Workspace } from './workspace.ts';

let place: Workspace;
const quick = ['--model', '@bert', '--max-steps', '3', '--batch-size', '4', '--threads', '1'];
const tasks = ['mood', 'pairs', 'score'].flatMap((name) => ['--task', `@tasks/${name}`]);

beforeAll(() => {
  place = createWorkspace();
});
afterAll(() => place.remove());

describe('multigraft train with several tasks', () => {
  it('gives each an adapter in a folder of its own, equal to one trained alone', async () => {
    const { code, out } = await place.run(['train', ...tasks, ...quick, '--output', '@several']);
    expect(code).toBe(0);
    expect(out.split('\n')[0]).toMatch(/^task +metric +validation +test +majority accuracy +steps +time$/);
    for (const [i, name] of ['mood', 'pairs', 'score'].entries()) expect(out.split('\n')[i + 1]).toMatch(new RegExp(`^${name} `));
    expect((await place.run(['train', '--task', '@tasks/pairs', ...quick, '--output', '@alone'])).code).toBe(0);
    for (const file of ['pytorch_adapter.bin', 'pytorch_model_head.bin'])
      expect(readFileSync(place.path('several/pairs', file)).equals(readFileSync(place.path('alone', file))), file).toBe(true);
  });

  it('goes on after an interruption: finished tasks are left alone, the others are trained', async () => {
    const before = readFileSync(place.path('several/mood/log.jsonl'));
    rmSync(place.path('several/score'), { recursive: true });
    const refused = await place.run(['train', ...tasks, ...quick, '--output', '@several']);
    expect([refused.code, refused.err]).toEqual([
      2,
      expect.stringContaining('--output: found @several/mood, the result of an earlier run'),
    ]);
    const { code, out } = await place.run(['train', ...tasks, ...quick, '--output', '@several', '--resume', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(out).map(({ name }: { name: string }) => name)).toEqual(['mood', 'pairs', 'score']);
    expect(readFileSync(place.path('several/mood/log.jsonl')).equals(before)).toBe(true);
    expect(existsSync(place.path('several/score/adapter_config.json'))).toBe(true);
  });

  it.each([
    [['train', ...quick], '--task: found nothing; expected a path. Give --task <path>.'],
    [['train', ...tasks, ...quick], '--output: found nothing; expected a folder. Several tasks go to folders of their names in it.'],
    [
      ['train', ...tasks, ...quick, '--output', '@x', '--name', 'a'],
      '--name: found several tasks; expected one task. Leave out --name, or train the tasks one by one.',
    ],
    [
      ['train', ...tasks, '--task', '@tasks/mood', ...quick, '--output', '@x'],
      "--task: found two tasks named 'mood'; expected tasks of different names.",
    ],
  ])('refuses %j', async (words, message) => {
    const { code, err } = await place.run(words);
    expect(code).toBeGreaterThan(0);
    expect(err).toBe(`multigraft: ${message}`);
    expect(existsSync(place.path('x'))).toBe(false);
  });
});
