import { beforeAll, expect, it } from 'vitest';
import { TINY_ENCODER } from '../../test/tiny.ts';
import { tinyMultiTaskModel, tinyTaskData } from '../../test/tiny-multi-task.ts';
import { nodeFiles } from '../base/files-node.ts';
import { float32 } from '../base/tensor.ts';
import { type Encoder, loadEncoder } from '../encoders/index.ts';
import { createHead, type NumberTarget, type TaskUnit } from '../objectives/index.ts';
import { createPredictor } from '../predict/predictor.ts';
import { nodeEngine } from '../session/node.ts';
import type { Row } from '../tasks/index.ts';
import { multiTaskSettings } from '../train/multi-task/settings.ts';
import { type TaskData, trainMultiTask } from '../train/multi-task/trainer.ts';
import { deviation, inverse, labelScales, rescaleHeads } from './label-scales.ts';

let encoder: Encoder;

beforeAll(async () => {
  encoder = await loadEncoder(nodeFiles, TINY_ENCODER);
});

it('labels have a mean and a deviation where they are numbers', () => {
  const number = (value: number) => ({ target: { kind: 'number', value } });
  const labelled = { target: { kind: 'class', label: 1 } };
  const heads = [1, 2, 1].map((num_labels) => createHead('h', { head_type: 'classification', num_labels }));
  expect(labelScales(heads, [[number(1), number(3)], [labelled], [number(4), number(4)]])).toEqual([
    { mean: 2, deviation: 1 },
    undefined,
    { mean: 4, deviation: 1 },
  ]);
  expect(deviation([])).toBe(0);
});

it('the last linear of a head alone is put in other units, and back', () => {
  const head = (name: string, num_labels: number, layers: number, bias = true) =>
    createHead(name, { head_type: 'classification', num_labels, layers, bias });
  const heads = [head('a', 1, 2), head('b', 2, 1), head('c', 1, 1, false)];
  const values = new Map(
    ['heads.a.1.weight', 'heads.a.1.bias', 'heads.a.4.weight', 'heads.a.4.bias', 'heads.b.1.bias', 'heads.c.1.weight', 'other'].map(
      (name, i) => [name, float32([2], [i + 1, -1])] as const,
    ),
  );
  const scales = [{ mean: 10, deviation: 2 }, undefined, { mean: 3, deviation: 4 }];
  const changed = rescaleHeads(values, heads, encoder.config, scales);
  expect(Object.fromEntries([...changed].map(([name, { data }]) => [name, [...data]]))).toEqual({
    'heads.a.1.weight': [1, -1],
    'heads.a.1.bias': [2, -1],
    'heads.a.4.weight': [6, -2],
    'heads.a.4.bias': [18, 8],
    'heads.b.1.bias': [5, -1],
    'heads.c.1.weight': [24, -4],
    other: [7, -1],
  });
  const back = scales.map((scale) => scale && inverse(scale));
  expect(rescaleHeads(changed, heads, encoder.config, back)).toEqual(values);
});

/** The tiny tasks with labels a·y + b, and what a model that learnt from them answers. */
async function answersTo([a, b]: readonly [number, number], more: object): Promise<{ numbers: number[]; others: number[] }> {
  const tasks = await Promise.all((['regression', 'pair'] as const).map((name) => tinyTaskData(name, { train: 48, validation: 16 })));
  const [regression, pair] = tasks as [TaskData, TaskData];
  const scaled = [{ ...regression, train: rescaled(regression.train, a, b), validation: undefined }, pair];
  const model = tinyMultiTaskModel(encoder, 'joint', tasks);
  const engine = await nodeEngine({ threads: 1 });
  const settings = multiTaskSettings.parse({ maxSteps: 80, batchSize: 8, learningRate: 5e-3, dropout: 0, maxLength: 32, ...more });
  const { parameters } = await trainMultiTask({ engine, model, tasks: scaled, settings });
  const predictor = await createPredictor(engine, model, { fixed: parameters });
  const [numbers, others] = [[], []] as [number[], number[]];
  for (const [task, { validation }] of tasks.entries()) {
    const { units } = (validation as TaskData['train']).prepared;
    const logits = await predictor.logits(units.map((unit): TaskUnit => ({ ...unit, task })));
    (task === 0 ? numbers : others).push(...logits.flatMap((row) => [...row]));
  }
  await predictor.release();
  return { numbers, others };
}

function rescaled({ rows, prepared }: TaskData['train'], a: number, b: number): TaskData['train'] {
  const units = prepared.units.map((unit) => ({
    ...unit,
    target: { kind: 'number', value: a * (unit.target as NumberTarget).value + b },
  }));
  return { rows: rows as readonly Row[], prepared: { ...prepared, units } };
}

const farthest = (found: readonly number[], expected: readonly number[]) =>
  Math.max(...expected.map((value, i) => Math.abs(value - (found[i] as number))));

it('the unit of one task’s labels changes its answers by that unit alone, and nothing else', async () => {
  const plain = await answersTo([1, 0], {});
  const other = await answersTo([1000, 500], {});
  expect(plain.numbers).toHaveLength(16);
  expect(deviation(plain.numbers)).toBeGreaterThan(0.02);
  expect(
    farthest(
      other.numbers.map((y) => (y - 500) / 1000),
      plain.numbers,
    ),
  ).toBeLessThan(1e-3);
  expect(farthest(other.others, plain.others)).toBeLessThan(1e-3);
});

it('labels as they are: a large unit drowns the other task, as in the published code', async () => {
  const raw = { regressionLabels: 'raw' };
  const plain = await answersTo([1, 0], raw);
  const other = await answersTo([1000, 500], raw);
  expect(farthest(other.others, plain.others)).toBeGreaterThan(0.1);
  expect(Math.max(...other.numbers)).toBeLessThan(250);
});
