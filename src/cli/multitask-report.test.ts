import { expect, it } from 'vitest';
import { type MultiTaskSummary, multiTaskMethod } from '../train/index.ts';
import { renderMultiTask } from './multitask-report.ts';

const summary = (tasks: readonly [name: string, test: number, majority: number, chosen: number][]): MultiTaskSummary => ({
  method: 'joint',
  parameters: 10,
  encoderParameters: 10,
  size: 10,
  steps: 4,
  best: undefined,
  stoppedEarly: false,
  tasks: tasks.map(([name, test, majority]) => ({
    name,
    task: name,
    kind: 'classification',
    rows: 40,
    leftOut: 0,
    metric: 'accuracy',
    metrics: { validation: { accuracy: 0.9 }, test: { accuracy: test } },
    majority,
    best: undefined,
  })),
  sampling: { seconds: 1, shareOfTime: 0.2, candidates: {}, chosen: Object.fromEntries(tasks.map(([name, , , chosen]) => [name, chosen])) },
  seconds: 5,
});

const hintsIn = (text: string) => text.split('\n').filter((line) => /^(No better|Hardly)/.test(line));

it('names tasks no better than their most frequent answer, and those with less than a fifth of an equal share of the rows', () => {
  const text = renderMultiTask(
    summary([
      ['learnt', 0.61, 0.6, 39],
      ['failed', 0.6, 0.6, 15],
      ['worse', 0.2, 0.5, 4],
      ['starved', 0.7, 0.5, 2],
    ]),
    multiTaskMethod('joint'),
    {},
  );
  expect(hintsIn(text)).toEqual([
    'No better than the most frequent answer: failed, worse. A higher --learning-rate, or more --epochs, may help.',
    'Hardly any rows were of starved: --no-task-factor or another --sampler gives more.',
  ]);
});

it('says nothing where every task learns and has rows, or where rows are not chosen by the model', () => {
  const fine = summary([
    ['one', 0.7, 0.6, 50],
    ['other', 0.8, 0.6, 10],
  ]);
  expect(hintsIn(renderMultiTask(fine, multiTaskMethod('joint'), {}))).toEqual([]);
  const { sampling: _, ...proportional } = fine;
  expect(hintsIn(renderMultiTask(proportional as MultiTaskSummary, multiTaskMethod('joint'), {}))).toEqual([]);
});
