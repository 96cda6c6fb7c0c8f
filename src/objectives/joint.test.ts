import { expect, test } from 'vitest';
import { createRandom } from '../base/random.ts';
import { float32, int32, type Tensor } from '../base/tensor.ts';
import { type Dim, gradients, input, type Value } from '../graph/index.ts';
import { referenceEngine } from '../session/reference.ts';
import { checkHeadConfig, drawJointLoss, drawLoss, type Head, type HeadType } from './index.ts';

const head = (type: HeadType, outputs: number): Head => ({
  name: type,
  config: checkHeadConfig(
    { head_type: type, ...(type === 'multiple_choice' ? { num_choices: outputs } : { num_labels: outputs }) },
    'test',
  ),
});

/** By task: its head, and the rows of the batch that are its own. */
const TASKS = [
  { head: head('classification', 3), rows: [0, 4, 9] },
  { head: head('classification', 1), rows: [1, 5] },
  { head: head('multilabel_classification', 2), rows: [2] },
  { head: head('multilabel_classification', 3), rows: [6, 8] },
  { head: head('tagging', 5), rows: [3, 7] },
  { head: head('question_answering', 2), rows: [10, 12] },
  { head: head('multiple_choice', 2), rows: [11, 13, 14, 15] },
  { head: head('classification', 2), rows: [] },
] as const;
const [BATCH, LENGTH] = [16, 4];
const taskOf = Array.from({ length: BATCH }, (_, row) => TASKS.findIndex(({ rows }) => (rows as readonly number[]).includes(row)));

const random = createRandom(4);
const numbers = (count: number) => Array.from({ length: count }, () => random.normal());
const perToken = ({ config }: Head) => config.head_type === 'tagging' || config.head_type === 'question_answering';
/** One number per sequence for choices, as a multi-task model gives them. */
const widthOf = ({ config }: Head) => (config.head_type === 'multiple_choice' ? 1 : (config.num_labels as number));
const logits = TASKS.map(({ head: one }) => numbers(BATCH * (perToken(one) ? LENGTH : 1) * widthOf(one)));
const labels = Array.from({ length: BATCH }, (_, row) => (taskOf[row] === 1 ? random.normal() : taskOf[row] === 0 ? random.below(3) : 7));
const labelSets = Array.from({ length: BATCH * 3 }, () => random.below(2));
const tags = Array.from({ length: BATCH * LENGTH }, () => random.below(5));
const [starts, ends] = [0, 1].map(() => Array.from({ length: BATCH }, () => random.below(LENGTH))) as [number[], number[]];
const choices = [13, 11, 14, 15];
const right = [1, 0];
const taskWeights = numbers(TASKS.length);
const countOf = (row: number) => TASKS[taskOf[row] as number]?.rows.length as number;

const rowWeights = float32(
  [BATCH],
  Array.from({ length: BATCH }, (_, row) => 1 / countOf(row)),
);
const feeds: Record<string, Tensor> = {
  taskIds: int32([BATCH], taskOf),
  taskWeights: float32([TASKS.length], taskWeights),
  labels: float32([BATCH], labels),
  lossWeights: rowWeights,
  labelSets: float32([BATCH, 3], labelSets),
  tokenLabels: float32([BATCH * LENGTH], tags),
  // The first token of every row is ignored.
  tokenWeights: float32(
    [BATCH * LENGTH],
    Array.from({ length: BATCH * LENGTH }, (_, i) => (i % LENGTH === 0 ? 0 : 1 / (countOf(Math.floor(i / LENGTH)) * 3))),
  ),
  startPositions: int32([BATCH], starts),
  endPositions: int32([BATCH], ends),
  startWeights: rowWeights,
  endWeights: rowWeights,
  'choices.6': int32([2, 2], choices),
  'labels.6': int32([2], right),
  'lossWeights.6': float32([2], [0.5, 0.5]),
  attentionMask: float32([BATCH, LENGTH], new Array<number>(BATCH * LENGTH).fill(1)),
};

/** The same answers held against the same labels by one head alone. */
function alone(task: number): { rows: number; feeds: Record<string, Tensor> } {
  const { head: one, rows } = TASKS[task] as (typeof TASKS)[number];
  const own = rows as readonly number[];
  const pick = (all: readonly number[], width = 1) => own.flatMap((row) => all.slice(row * width, (row + 1) * width));
  const equal = (count: number) => float32([count], new Array<number>(count).fill(1 / count));
  const answers = logits[task] as number[];
  switch (one.config.head_type) {
    case 'tagging':
      return {
        rows: own.length * LENGTH,
        feeds: {
          logits: float32([own.length * LENGTH, 5], pick(answers, LENGTH * 5)),
          labels: int32([own.length * LENGTH], pick(tags, LENGTH)),
          lossWeights: float32([own.length * LENGTH], pick([...(feeds.tokenWeights as Tensor).data].map(Number), LENGTH)),
        },
      };
    case 'question_answering': {
      const weights = equal(own.length);
      return {
        rows: own.length * LENGTH,
        feeds: {
          logits: float32([own.length * LENGTH, 2], pick(answers, LENGTH * 2)),
          startPositions: int32([own.length], pick(starts)),
          endPositions: int32([own.length], pick(ends)),
          startWeights: weights,
          endWeights: weights,
        },
      };
    }
    case 'multiple_choice':
      return {
        rows: 2,
        feeds: {
          logits: float32(
            [2, 2],
            choices.map((row) => answers[row] as number),
          ),
          labels: int32([2], right),
          lossWeights: equal(2),
        },
      };
    default: {
      const width = widthOf(one);
      const sets = own.flatMap((row) => labelSets.slice(row * 3, row * 3 + width));
      const given = own.map((row) => labels[row] as number);
      return {
        rows: own.length,
        feeds: {
          logits: float32([own.length, width], pick(answers, width)),
          labels:
            one.config.head_type === 'multilabel_classification'
              ? float32([own.length, width], sets)
              : width === 1
                ? float32([own.length], given)
                : int32([own.length], given),
          lossWeights: equal(own.length),
        },
      };
    }
  }
}

test('in a batch of every kind each task has the loss that its own rows have alone; absent tasks have none', async () => {
  const answers = TASKS.map(({ head: one }, task) => input(`logits.${task}`, 'float32', [perToken(one) ? 'B*S' : 'B', widthOf(one)]));
  const mask = input('attentionMask', 'float32', ['B', 'S']);
  const { loss, taskLosses } = drawJointLoss(
    TASKS.map((task) => task.head),
    answers,
    input('taskIds', 'int32', ['B']),
  );
  const slopes = gradients(loss, answers);
  const outputs: Record<string, Value> = { loss, mask };
  for (const [task, value] of taskLosses.entries()) outputs[`task ${task}`] = value;
  for (const [task, value] of slopes.entries()) outputs[`slope ${task}`] = value;
  const given = answers.map(({ shape }, task) => {
    const rows = (shape as readonly Dim[])[0] === 'B' ? BATCH : BATCH * LENGTH;
    return [`logits.${task}`, float32([rows, shape[1] as number], logits[task] as number[])] as const;
  });
  const session = await referenceEngine().compile({ outputs }, new Map());
  const results = await session.run({ ...feeds, ...Object.fromEntries(given) });
  const number = (name: string) => Number(results[name]?.data[0]);

  let total = 0;
  for (const [task, { head: one, rows }] of TASKS.entries()) {
    if (rows.length === 0) {
      expect(number(`task ${task}`)).toBe(0);
      continue;
    }
    const { rows: count, feeds: own } = alone(task);
    const single = drawLoss(one, input('logits', 'float32', [perToken(one) ? 'B*S' : count, own.logits?.shape[1] as number]));
    const lengths = perToken(one) ? { attentionMask: float32([rows.length, LENGTH], new Array<number>(rows.length * LENGTH).fill(1)) } : {};
    const program = { outputs: { loss: single, ...(perToken(one) && { mask }) } };
    const expected = await (await referenceEngine().compile(program, new Map())).run({ ...own, ...lengths });
    expect(number(`task ${task}`), one.name).toBeCloseTo(Number(expected.loss?.data[0]), 6);
    expect(number(`task ${task}`)).not.toBe(0);
    total += (taskWeights[task] as number) * number(`task ${task}`);
    // Nothing is learnt from other tasks' rows.
    const slope = Array.from(results[`slope ${task}`]?.data as Float64Array);
    const each = slope.length / BATCH;
    const touched = Array.from({ length: BATCH }, (_, row) => slope.slice(row * each, (row + 1) * each).some((x) => x !== 0));
    expect(touched, one.name).toEqual(taskOf.map((other) => other === task));
  }
  expect(number('loss')).toBeCloseTo(total, 6);
});
