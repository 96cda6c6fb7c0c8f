import { describe, expect, it } from 'vitest';
import { open, world } from '../../test/tiny-world.ts';
import { float32 } from '../base/tensor.ts';
import { add, exp, gradients, input, matmul, mul, type Program, reduceSum, reshape, weight } from '../graph/index.ts';
import { fusionConfig } from '../methods/index.ts';
import { referenceEngine } from '../session/reference.ts';
import type { Engine } from '../session/session.ts';
import { loadTask } from '../tasks/index.ts';
import { trainFusion } from './fusion/train.ts';
import { checkMemory, keptBytes, memoryNeed } from './memory.ts';
import { multiTaskMethod } from './multi-task/registry.ts';
import { runMultiTask } from './multi-task/run.ts';
import { multiTaskSettings } from './multi-task/settings.ts';
import { trainSettings } from './settings.ts';

const feeds = { x: float32([5, 4], new Float32Array(20)) };
/** x [B, 4] → e [B, 8] → f [B, 8] → y [B, 2] */
const x = input('x', 'float32', ['B', 4]);
const e = exp(matmul(x, weight('first', 'float32', [4, 8])));
const f = exp(e);
const y = matmul(f, weight('second', 'float32', [8, 2]));

describe('what a program must keep at once', () => {
  it.each<[string, Program, number]>([
    ['one value after another', { outputs: { y } }, 5 * 8],
    ['a value that is needed again at the end', { outputs: { z: add(e, exp(f)) } }, 2 * 5 * 8],
    ['another view of a value: nothing more', { outputs: { z: add(e, exp(reshape(reshape(f, [8, 'B']), ['B', 8]))) } }, 2 * 5 * 8],
    ['inputs and outputs: nothing, they lie elsewhere', { outputs: { z: add(x, x) } }, 0],
  ])('%s', (_, program, numbers) => {
    expect(keptBytes(program, feeds)).toBe(4 * numbers);
  });

  it('grows with the largest run, and with what a gradient reads', () => {
    const loss = reshape(reduceSum(mul(y, y), [0, 1]), []);
    const [slope] = gradients(loss, [x]);
    const kept = (rows: number) =>
      keptBytes({ outputs: { slope: slope as typeof x } }, { x: float32([rows, 4], new Float32Array(4 * rows)) });
    // Of the way forward e and f (a slope of exp is exp itself) and y.
    expect(kept(5)).toBeGreaterThanOrEqual(4 * 5 * (8 + 8));
    expect(kept(50)).toBe(10 * kept(5));
  });
});

it('counts frozen weights once, and what trains with its moments and its gradient', () => {
  const weights = new Map([
    ['first', float32([4, 8], new Float32Array(32))],
    ['second', float32([8, 2], new Float32Array(16))],
    ['unread', float32([1000], new Float32Array(1000))],
  ]);
  const training = { programs: [{ outputs: { y } }, { outputs: { e } }], weights, trained: 100, largest: feeds };
  expect(memoryNeed(training)).toEqual({ weights: 4 * 48, training: 4 * 400, activations: 4 * 40 });
  const needed = 4 * (48 + 400 + 40);
  expect(() => checkMemory({ memory: needed }, training)).not.toThrow();
  expect(() => checkMemory({}, training)).not.toThrow();
  expect(() => checkMemory({ memory: needed - 1 }, training)).toThrow(
    /^memory for this training: found .* expected at least .* for what trains\./,
  );
});

/** An engine that says how much memory there is, and keeps what it compiled. */
function limited(memory: number): Engine & { compiled: Program[] } {
  const engine = referenceEngine();
  const compiled: Program[] = [];
  return {
    name: 'limited',
    compilations: 0,
    memory,
    compiled,
    compile(program, weights) {
      compiled.push(program);
      return engine.compile(program, weights);
    },
  };
}

const SMALL = limited(2 ** 18);
const REFUSED = {
  code: 'train.memory',
  message: expect.stringMatching(
    /^memory for this training: found 0\.000244 GiB; expected at least [\d.]+ GiB: [\d.]+ GiB for 2 sequences of \d+ tokens at once, [\d.]+ GiB for frozen weights, [\d.]+ GiB for what trains\. /,
  ),
};

it('a fusion that cannot fit is refused before anything is compiled, and leaves nothing behind', async () => {
  const files = world();
  const model = await open(files);
  for (const name of ['a', 'b']) {
    model.addAdapter(name, 'seq_bn[reduction_factor=8]');
    await model.saveAdapter(name, name);
  }
  const task = await loadTask(files, 'classification');
  const fuse = (engine: Engine) =>
    trainFusion({
      files,
      engine,
      model: 'tiny',
      task,
      adapters: ['a', 'b'],
      config: fusionConfig(),
      settings: trainSettings.parse({ maxSteps: 1, batchSize: 2 }),
      output: 'out',
    });
  await expect(fuse(SMALL)).rejects.toMatchObject(REFUSED);
  expect(SMALL.compiled).toEqual([]);
  expect(await files.kind('out/state')).toBe('none');
  expect((await fuse(limited(2 ** 30))).steps).toBe(1);
});

it('so is a training on several tasks', async () => {
  const files = world();
  const tasks = [await loadTask(files, 'classification'), await loadTask(files, 'tagging')];
  const settings = multiTaskSettings.parse({ maxSteps: 1, batchSize: 2 });
  const method = multiTaskMethod('adapters[reduction_factor=8]');
  await expect(runMultiTask({ files, engine: SMALL, model: 'tiny', tasks, method, settings, output: 'out' })).rejects.toMatchObject(
    REFUSED,
  );
  expect(SMALL.compiled).toEqual([]);
  expect(await files.kind('out/state')).toBe('none');
});
