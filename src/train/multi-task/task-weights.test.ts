import { expect, it } from 'vitest';
import { scalar } from '../../graph/index.ts';
import { batchTerms } from '../../model/feeds.ts';
import { createHead, type TaskUnit } from '../../objectives/index.ts';
import { referenceEngine } from '../../session/reference.ts';
import { averagedWeights, historyAt, newHistory, uncertaintyWeighted, withLosses } from './task-weights.ts';

it('dynamic weight average: T·softmax of the ratio of two epochs over 2, once every task has two', () => {
  let history = newHistory(2);
  history = withLosses(historyAt(history, 0), [4, undefined]);
  history = withLosses(historyAt(history, 0), [2, 1]);
  expect(averagedWeights(historyAt(history, 0))).toEqual([1, 1]);
  history = withLosses(historyAt(history, 1), [1.5, undefined]);
  history = historyAt(history, 2);
  expect(history.means).toEqual([[1.5, 3], [1]]);
  expect(averagedWeights(history)).toEqual([1, 1]);
  history = historyAt(withLosses(history, [undefined, 2]), 3);
  // Ratios 1.5/3 and 2/1.
  const [a, b] = [Math.exp(0.25), Math.exp(1)];
  const [first, second] = averagedWeights(history) as [number, number];
  expect(first).toBeCloseTo((2 * a) / (a + b), 12);
  expect(second).toBeCloseTo((2 * b) / (a + b), 12);
});

it('a loss that was next to nothing does not overflow the average', () => {
  const history = {
    ...newHistory(2),
    means: [
      [0.3, 1e-9],
      [1, 1],
    ],
  };
  expect(averagedWeights(history)).toEqual([2, 0]);
});

it('a task alone in its batch has the weight that it has among all', () => {
  const unit = { task: 1, target: { kind: 'class', label: 0 }, encodings: [{}], length: 3 } as unknown as TaskUnit;
  const weights = [1.5, 0.5];
  const heads = ['a', 'b'].map((name) => createHead(name, { head_type: 'classification', num_labels: 2 }));
  const share = (task: number) => weights[task] as number;
  expect(batchTerms({ heads }, [unit], share).weights).toEqual([0, 0.5]);
  expect(batchTerms({ heads }, [unit, { ...unit, task: 0 }], share).weights).toEqual([0.75, 0.25]);
});

it('a loss weighted by its variance: e^(−s) L + s, s once in a batch of two parts', async () => {
  const s = 0.7;
  const outputs = { loss: uncertaintyWeighted(scalar(3), scalar(s), scalar(0.5)) };
  const session = await referenceEngine().compile({ outputs }, new Map());
  const { loss } = await session.run({});
  expect(Number(loss?.data[0])).toBeCloseTo(3 * Math.exp(-s) + s / 2, 6);
});
