import { afterAll, beforeAll, expect, it } from 'vitest';
import { startValues } from '../../../test/start-values.ts';
import { savedAfter, tinyMultiTaskModel, tinyTaskData } from '../../../test/tiny-multi-task.ts';
import { nodeFiles } from '../../base/files-node.ts';
import type { Tensor } from '../../base/tensor.ts';
import { type Encoder, loadEncoder } from '../../encoders/index.ts';
import { spearman } from '../../metrics/correlation.ts';
import type { Model } from '../../model/model.ts';
import { type HoldingEngine, holding } from '../../session/holding.ts';
import { nodeEngine } from '../../session/node.ts';
import { multiTaskSettings } from './settings.ts';
import { type TaskData, trainMultiTask } from './trainer.ts';
import { createUncertaintyScorer } from './uncertainty.ts';

/** Two layers of it: the random encoders of other tests are too narrow for products in 8 bits. */
const SEEDLING = 'assets/seedling';
const KINDS = ['classification', 'pair', 'regression'] as const;

let encoder: Encoder;
let engine: HoldingEngine;
let tasks: readonly TaskData[];
let model: Model;

beforeAll(async () => {
  const seedling = await loadEncoder(nodeFiles, SEEDLING);
  encoder = { ...seedling, config: { ...seedling.config, layers: 2, groups: 2 } };
  engine = holding(await nodeEngine({ threads: 1 }));
  tasks = await Promise.all(KINDS.map((kind) => tinyTaskData(kind, { train: 24, validation: 0 })));
  model = tinyMultiTaskModel(encoder, 'ca_mtl_base', tasks);
});

afterAll(() => engine.release());

it('orders candidates as float32 does', async () => {
  const start = await startValues(model, 1);
  // Heads that have learnt something: of fresh ones all answers are about equally unsure.
  for (const [name, { data }] of start)
    if (/heads\..*weight$/.test(name)) (data as Float32Array).set((data as Float32Array).map((value) => 40 * value));
  const units = tasks.flatMap(({ train }, task) => train.prepared.units.map((unit) => ({ ...unit, task })));
  const measured: Float64Array[] = [];
  for (const int8 of [false, true]) {
    const options = { current: () => start, fixed: new Map<string, Tensor>(), seed: 1, deviations: tasks.map(() => 1), int8 };
    const scorer = await createUncertaintyScorer(engine, model, options);
    measured.push(await scorer.of(units, 0));
    await scorer.release();
  }
  for (const [task, kind] of KINDS.entries()) {
    const [exact, ours] = measured.map((all) => Array.from(all.subarray(24 * task, 24 * task + 24))) as [number[], number[]];
    expect(ours, kind).not.toEqual(exact);
    expect(Math.max(...exact) / Math.min(...exact), kind).toBeGreaterThan(1.05);
    expect(spearman(exact, ours).value, kind).toBeGreaterThan(0.9);
  }
});

it('goes on bit by bit after a stop', async () => {
  const settings = multiTaskSettings.parse({
    sampler: 'uncertainty',
    candidates: 2,
    refresh: 2,
    maxSteps: 4,
    batchSize: 4,
    learningRate: 1e-3,
    maxLength: 32,
  });
  expect(settings.scoring).toBe('int8');
  const whole = await trainMultiTask({ engine, model, tasks, settings });
  const resume = await savedAfter(3, { engine, model, tasks, settings });
  const resumed = await trainMultiTask({ engine, model, tasks, settings, resume });
  expect([...resumed.parameters]).toEqual([...whole.parameters]);
});
