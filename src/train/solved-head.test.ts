import { expect, it } from 'vitest';
import { open, quick, world } from '../../test/tiny-world.ts';
import { configureMethod } from '../methods/index.ts';
import { referenceEngine } from '../session/reference.ts';
import { loadTask } from '../tasks/index.ts';
import { multiTaskMethod } from './multi-task/registry.ts';
import { type TrainEvent, trainSettings } from './settings.ts';
import { trainTask } from './train-task.ts';

async function setting(name: string, method = 'solved_head') {
  const files = world();
  const task = await loadTask(files, name);
  const losses: number[] = [];
  const onEvent = (event: TrainEvent) => void (event.type === 'step' && losses.push(event.loss));
  const settings = trainSettings.parse({});
  return {
    files,
    losses,
    options: { files, engine: referenceEngine(), model: 'tiny', task, method: configureMethod(method), settings, onEvent },
  };
}

it.each([
  ['classification', 'logistic regression', 1],
  ['multilabel', 'logistic regression', 3],
  ['regression', 'ridge regression', 1],
] as const)('a head for %s is solved, saved as Python’s where Python has it, and answers its own rows', async (name, by, penalties) => {
  const { files, options } = await setting(name);
  const seen: number[] = [];
  const result = await trainTask({ ...options, output: 'out', onProgress: (done) => void seen.push(done) });
  expect(result).toMatchObject({ steps: 0, method: 'solved_head', pooling: 'first', solved: { by } });
  expect(result.solved?.penalties).toHaveLength(penalties);
  expect(seen.at(-1)).toBe(4);
  expect((await files.list('out')).sort()).toEqual([
    'README.md',
    'head_config.json',
    'log.jsonl',
    'metrics.json',
    'pytorch_model_head.bin',
  ]);
  expect(new TextDecoder().decode(await files.read('out/README.md'))).toContain(`The head is solved by ${by}`);
  const model = await open(files);
  await model.loadHead('out');
  const { metrics } = await model.evaluate(options.task, 'test');
  for (const [metric, value] of Object.entries(metrics)) expect(result.metrics.test?.[metric]).toBeCloseTo(value, 6);
});

it('training begins with it, where that is asked for: a smaller first loss, from vectors as the adapter begins', async () => {
  const first = async (headStart?: 'solved') => {
    const { options, losses } = await setting('classification', 'seq_bn');
    const settings = trainSettings.parse({ ...quick, batchSize: 4, dropout: 0 });
    const result = await trainTask({ ...options, settings, ...(headStart ? { headStart } : { headLayers: 1 }) });
    expect([result.steps, result.solved?.by]).toEqual([2, headStart && 'logistic regression']);
    return losses[0] as number;
  };
  expect(await first('solved')).toBeLessThan((await first()) - 0.01);
});

it('what it cannot be is refused by name', async () => {
  const { options } = await setting('classification');
  const wrong = (more: object) => trainTask({ ...options, ...more });
  await expect(wrong({ headLayers: 2 })).rejects.toThrow('--head-layers: found 2, with a solved head; expected 1');
  await expect(wrong({ settings: trainSettings.parse({ epochs: 3 }) })).rejects.toThrow("setting 'epochs': found 3; expected nothing");
  const tags = await setting('tagging');
  await expect(trainTask(tags.options)).rejects.toThrow("--method solved_head: found the head 'tiny-tagging' of type tagging");
  expect(() => multiTaskMethod('solved_head')).toThrow("method: found 'solved_head'; expected a method that trains");
});
