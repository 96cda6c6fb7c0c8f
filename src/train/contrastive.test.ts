import { describe, expect, it } from 'vitest';
import { open, quick, world } from '../../test/tiny-world.ts';
import { float32, type Tensor } from '../base/tensor.ts';
import { input } from '../graph/index.ts';
import { configureMethod } from '../methods/index.ts';
import { CONTRASTIVE, headInputs, type Unit } from '../objectives/index.ts';
import { referenceEngine } from '../session/reference.ts';
import { loadTask } from '../tasks/index.ts';
import { contrastiveSettings } from './contrastive.ts';
import { type TrainEvent, trainSettings } from './settings.ts';
import { trainTask } from './train-task.ts';

const VECTORS = [
  [1, 2, 0.5],
  [0.5, 1, -1],
  [-1, 0.2, 2],
  [2, -1, 1],
];
const LABELS = [0, 1, 0, 1];

function cosine(a: readonly number[], b: readonly number[]): number {
  const dot = (x: readonly number[], y: readonly number[]) => x.reduce((sum, v, i) => sum + v * (y[i] as number), 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

async function lossOf(rows: readonly number[], weight: number): Promise<number> {
  const units = rows.map((row) => ({ row, target: { kind: 'class', label: LABELS[row] } }) as unknown as Unit);
  const batch = { sequences: rows.length, width: 1, units: units.map((unit, place) => ({ unit, place })) };
  const loss = CONTRASTIVE.loss(undefined as never, input('vectors', 'float32', ['B', 3]), headInputs(0, 1));
  const session = await referenceEngine().compile({ outputs: { loss } }, new Map());
  const vectors = float32([rows.length, 3], Float32Array.from(rows.flatMap((row) => VECTORS[row] as number[])));
  const feeds = { vectors, ...(CONTRASTIVE.targets(undefined as never, batch, weight) as Record<string, Tensor>) };
  return Number((await session.run(feeds)).loss?.data[0]);
}

describe('pairs of rows', () => {
  it('cost what their cosines miss: 1 where labels are the same, 0 where not', async () => {
    const pairs = VECTORS.flatMap((a, i) =>
      VECTORS.flatMap((b, j) => (i < j ? [{ same: LABELS[i] === LABELS[j], by: cosine(a, b) }] : [])),
    );
    const alike = mean(pairs.filter(({ same }) => same).map(({ by }) => (by - 1) ** 2));
    const unlike = mean(pairs.filter(({ same }) => !same).map(({ by }) => by ** 2));
    expect(await lossOf([0, 1, 2, 3], 1 / 4)).toBeCloseTo(alike + unlike, 6);
  });

  it('count in parts by their rows, and rows of one label alone have no pairs that differ', async () => {
    const [a, b] = VECTORS as [number[], number[]];
    expect(await lossOf([0, 1], 1 / 4)).toBeCloseTo(cosine(a, b) ** 2 / 2, 6);
    expect(await lossOf([0, 2], 1 / 4)).toBeCloseTo((cosine(a, VECTORS[2] as number[]) - 1) ** 2 / 2, 6);
    expect(await lossOf([0], 1 / 4)).toBe(0);
  });
});

async function setting(name: string, method = 'lora') {
  const files = world();
  const task = await loadTask(files, name);
  const losses: number[] = [];
  const onEvent = (event: TrainEvent) => void (event.type === 'step' && losses.push(event.loss));
  const settings = trainSettings.parse({ ...quick, batchSize: 4, dropout: 0, learningRate: 0.02, maxSteps: 8 });
  const base = { files, engine: referenceEngine(), model: 'tiny', task, method: configureMethod(method), settings, onEvent };
  return { files, losses, options: { ...base, contrastive: true as const } };
}

it('an adapter learns from pairs, and the head is solved on what it gives then', async () => {
  const { files, losses, options } = await setting('classification');
  const notes: string[] = [];
  const onEvent = (event: TrainEvent) => {
    options.onEvent(event);
    if (event.type === 'note') notes.push(event.text);
  };
  const result = await trainTask({ ...options, onEvent, output: 'out' });
  expect(losses).toHaveLength(8);
  expect(losses.at(-1)).toBeLessThan(0.8 * (losses[0] as number));
  expect(result).toMatchObject({ steps: 8, solved: { by: 'logistic regression', penalties: [1], folds: 0 } });
  expect(result.contrastive).toBe(true);
  expect(notes).toContain('The adapter learns from pairs of rows: 8 steps of 4 rows, learning rate 0.02.');
  const card = new TextDecoder().decode(await files.read('out/README.md'));
  expect(card).toContain('It learnt from pairs of rows');
  const model = await open(files);
  await model.loadAdapter('out');
  const { metrics } = await model.evaluate(options.task, 'test');
  for (const [metric, value] of Object.entries(metrics)) expect(result.metrics.test?.[metric]).toBeCloseTo(value, 6);
});

it('goes on after a stop as if nothing had happened', async () => {
  const whole = await setting('classification');
  await trainTask({ ...whole.options, output: 'out' });
  const { files, options } = await setting('classification');
  const stop = new AbortController();
  const onEvent = (event: TrainEvent) => void (event.type === 'step' && event.step === 3 && stop.abort());
  await expect(trainTask({ ...options, output: 'out', onEvent, signal: stop.signal })).rejects.toThrow('Stopped after step 3 of 8');
  await trainTask({ ...options, output: 'out', resume: true });
  for (const name of ['pytorch_adapter.bin', 'pytorch_model_head.bin'])
    expect(await files.read(`out/${name}`)).toEqual(await whole.files.read(`out/${name}`));
});

it('settings left as they are are those of a stage on pairs, others are kept', () => {
  expect(contrastiveSettings(trainSettings.parse({}))).toMatchObject({ maxSteps: 30, batchSize: 32, microBatch: 32, learningRate: 2e-3 });
  const own = { epochs: 3, batchSize: 8, microBatch: 4, learningRate: 1e-3 };
  expect(contrastiveSettings(trainSettings.parse(own))).toEqual(trainSettings.parse(own));
});

it('what has no pairs, nothing to train or two ways to begin is refused by name', async () => {
  const regression = await setting('regression');
  await expect(trainTask(regression.options)).rejects.toThrow("--contrastive: found the head 'tiny-regression' of type");
  const head = await setting('classification', 'head');
  await expect(trainTask(head.options)).rejects.toThrow('--contrastive: found --method head; expected a method with parameters');
  const { options } = await setting('classification');
  const wrong = (more: object) => trainTask({ ...options, settings: { ...options.settings, ...more } });
  await expect(wrong({ patience: 2 })).rejects.toThrow('--patience: found 2, with --contrastive');
  await expect(wrong({ microBatch: 1 })).rejects.toThrow('--micro-batch: found 1, with --contrastive; expected 2 or more');
  await expect(trainTask({ ...options, headStart: 'solved' })).rejects.toThrow('--head-start: found solved, with --contrastive');
});
