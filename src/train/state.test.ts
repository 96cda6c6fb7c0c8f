import { describe, expect, it } from 'vitest';
import { type Files, memoryFiles } from '../base/files.ts';
import { float32, type Tensor } from '../base/tensor.ts';
import { openLog } from './log.ts';
import { type TaskProgress, taskProgressSchema } from './progress.ts';
import { runState } from './state.ts';
import type { Saved } from './trainer.ts';

const stateOf = (files: Files, of: Readonly<Record<string, unknown>>) => runState<TaskProgress>(files, 'out', of, taskProgressSchema);

const settings = { task: 't', learningRate: 0.1, maxLength: undefined };

function saved(step: number, best?: { step: number; metric: number }): Saved {
  const flat = (value: number) => float32([3], [value, value, value]);
  const parameters = new Map<string, Tensor>([
    ['value', flat(step)],
    ['moment1', flat(step + 0.25)],
    ['moment2', flat(step + 0.5)],
  ]);
  const sampler = { epoch: 1, batch: 2, rowCount: 30, batchSize: 4, shuffle: true, seed: 9 };
  return {
    progress: { step, sampler, stale: 1, best },
    parameters,
    best: best && new Map([['head.weight', float32([1, 2], [best.step, 0.5])]]),
  };
}

describe('the state of a run', () => {
  it('comes back as it was saved, best step included', async () => {
    const files = memoryFiles();
    const state = stateOf(files, settings);
    await state.begin();
    await state.save(saved(7, { step: 5, metric: 0.5 }), 123);
    expect(await stateOf(files, { ...settings }).load()).toEqual({ saved: saved(7, { step: 5, metric: 0.5 }), logLength: 123 });
    await state.save(saved(9), 200);
    expect((await state.load()).saved).toEqual(saved(9));
  });

  it('keeps only the files that state.json names', async () => {
    const files = memoryFiles();
    const state = stateOf(files, settings);
    await state.begin();
    expect(await files.list('out/state')).toEqual(['state.json']);
    await state.save(saved(5, { step: 5, metric: 0.5 }), 1);
    await state.save(saved(7, { step: 5, metric: 0.5 }), 2);
    expect(await files.list('out/state')).toEqual(['best-5.safetensors', 'parameters-7.safetensors', 'state.json']);
    await files.write('out/state/parameters-8.safetensors.77.partial', 'half');
    await state.save(saved(9, { step: 9, metric: 0.75 }), 3);
    expect(await files.list('out/state')).toEqual(['best-9.safetensors', 'parameters-9.safetensors', 'state.json']);
    await state.remove();
    expect(await files.kind('out/state')).toBe('none');
  });

  it('can be resumed from the beginning before anything was saved', async () => {
    const files = memoryFiles();
    expect(await stateOf(files, settings).begin()).toBe(false);
    expect(await stateOf(files, settings).load()).toEqual({ saved: undefined, logLength: 0 });
  });

  it('of an earlier run is gone when a new one begins: its best step is not taken for the new one’s', async () => {
    const files = memoryFiles();
    await stateOf(files, settings).save(saved(5, { step: 5, metric: 0.25 }), 1);
    const state = stateOf(files, { ...settings, learningRate: 0.2 });
    expect(await state.begin()).toBe(true);
    const mine = saved(5, { step: 5, metric: 0.5 });
    const better = { ...mine, best: new Map([['head.weight', float32([1, 2], [-1, -2])]]) };
    await state.save(better, 1);
    expect((await state.load()).saved?.best).toEqual(better.best);
  });

  it('survives a crash after every single write or removal of a save', async () => {
    const before = saved(5, { step: 3, metric: 0.25 });
    const after = saved(7, { step: 7, metric: 0.5 });
    let crashes = 0;
    for (let allowed = 0; ; allowed++) {
      const files = memoryFiles();
      await stateOf(files, settings).save(before, 10);
      const crashed = await stateOf(crashingAfter(files, allowed), settings)
        .save(after, 20)
        .then(
          () => false,
          () => true,
        );
      const found = await stateOf(files, settings).load();
      // Two files are written before state.json: until then the old state holds.
      expect(found).toEqual(allowed < 3 ? { saved: before, logLength: 10 } : { saved: after, logLength: 20 });
      if (!crashed) break;
      crashes++;
    }
    expect(crashes).toBe(5);
  });

  it('names what differs', async () => {
    const files = memoryFiles();
    await stateOf(files, settings).save(saved(5), 1);
    const load = (more: Record<string, unknown>) => stateOf(files, { ...settings, ...more }).load();
    await expect(load({ learningRate: 0.2 })).rejects.toThrow(
      'out/state/state.json: learningRate: found 0.2 now; expected 0.1, as in the run that is resumed. Resume with the settings and data of the first command, or start anew without --resume.',
    );
    await expect(load({ maxLength: 64 })).rejects.toThrow('maxLength: found 64 now; expected nothing, as in');
    await expect(load({ task: undefined })).rejects.toThrow('task: found nothing now; expected "t"');
    await expect(load({})).resolves.toMatchObject({ logLength: 1 });
  });

  it.each([
    [
      'no file',
      async (files: Files) => files.remove('out/state'),
      'out: found no unfinished run; expected state/state.json. Start without --resume.',
    ],
    [
      'a finished run',
      async (files: Files) => {
        await files.remove('out/state');
        await files.write('out/metrics.json', '{}');
      },
      'out: found a run that is finished',
    ],
    ['no JSON', (files: Files) => files.write('out/state/state.json', '{"version": 1,'), 'out/state/state.json: found a damaged file ('],
    [
      'another version',
      (files: Files) => files.write('out/state/state.json', '{"version":2,"saved":null,"logLength":0,"settings":{}}'),
      'out/state/state.json: version: found',
    ],
    ['a list', (files: Files) => files.write('out/state/state.json', '[]'), 'out/state/state.json: the whole: found'],
    [
      'a file outside the folder',
      async (files: Files) =>
        files.write(
          'out/state/state.json',
          new TextDecoder().decode(await files.read('out/state/state.json')).replace('"parameters-5', '"../parameters-5'),
        ),
      'saved.parameters: found',
    ],
    [
      'cut parameters',
      async (files: Files) => files.truncate('out/state/parameters-5.safetensors', 100),
      'out/state/parameters-5.safetensors: found a damaged file (',
    ],
    [
      'no parameters',
      (files: Files) => files.remove('out/state/parameters-5.safetensors'),
      'out/state/parameters-5.safetensors: found a damaged file (',
    ],
  ])('%s: a reason not to resume', async (_, harm, message) => {
    const files = memoryFiles();
    const state = stateOf(files, settings);
    await state.save(saved(5), 1);
    await harm(files);
    await expect(state.load()).rejects.toMatchObject({ code: 'train.resume' });
    await expect(state.load()).rejects.toThrow(message);
  });
});

describe('the log', () => {
  const step = (n: number) =>
    ({
      type: 'step',
      step: n,
      epoch: 0,
      loss: 0.5,
      learningRate: 0.1,
      gradientNorm: 1,
      examplesPerSecond: 9,
      steps: 10,
      secondsLeft: 3,
    }) as const;
  const line = (n: number) => `{"step":${n},"epoch":0,"loss":0.5,"learningRate":0.1,"gradientNorm":1,"examplesPerSecond":9}\n`;
  const text = async (files: Files) => new TextDecoder().decode(await files.read('log'));

  it('has one object a line, and no notes', async () => {
    const files = memoryFiles({ log: 'of an earlier run\n' });
    const log = await openLog(files, 'log', 0);
    await log.write(step(1));
    await log.write({ type: 'note', text: 'hello' });
    await log.write({ type: 'evaluation', step: 1, epoch: 0, metrics: { accuracy: 1 }, metric: 'accuracy', best: true });
    expect(await text(files)).toBe(`${line(1)}{"step":1,"epoch":0,"metrics":{"accuracy":1},"metric":"accuracy","best":true}\n`);
    expect(await log.length()).toBe((await text(files)).length);
  });

  it('is cut back to the resumed state, half-written lines included', async () => {
    const files = memoryFiles({ log: `${line(1)}${line(2)}${line(3)}{"step":4,"epo` });
    const log = await openLog(files, 'log', 2 * line(1).length);
    await log.write(step(3));
    expect(await text(files)).toBe(line(1) + line(2) + line(3));
  });

  it('that lost lines goes on after the last whole one; a lost log begins anew', async () => {
    const files = memoryFiles({ log: `${line(1)}{"step":2,` });
    await (await openLog(files, 'log', 500)).write(step(3));
    expect(await text(files)).toBe(line(1) + line(3));
    const empty = memoryFiles();
    await (await openLog(empty, 'log', 500)).write(step(3));
    expect(await text(empty)).toBe(line(3));
  });
});

/** Files on which every change after the first `allowed` ones fails, as if the machine had stopped. */
function crashingAfter(files: Files, allowed: number): Files {
  let done = 0;
  const change =
    <A extends unknown[]>(action: (...args: A) => Promise<void>) =>
    async (...args: A) => {
      if (done++ >= allowed) throw new Error('stopped');
      await action(...args);
    };
  return { ...files, write: change(files.write), remove: change(files.remove) };
}
