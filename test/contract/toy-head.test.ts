import { expect, it } from 'vitest';
import { z } from 'zod';
import { AutoAdapterModel } from '../../src/auto-adapter-model/index.ts';
import type { Files } from '../../src/base/files.ts';
import { add, div, logSoftmax, matmul, mul, reduceSum, reshape, scalar } from '../../src/graph/index.ts';
import { headFor } from '../../src/model/index.ts';
import {
  CLASSIFICATION,
  type ClassTarget,
  createHead,
  crossEntropy,
  DENSE_KEYS,
  type HeadKind,
  LABEL_FIELDS,
  type LabelConfig,
} from '../../src/objectives/index.ts';
import { referenceEngine } from '../../src/session/reference.ts';
import { loadTask } from '../../src/tasks/index.ts';
import { quick, world } from '../tiny-world.ts';

/** A kind of head from outside the package: a classifier that is told to doubt every label a little (Szegedy et al. 2016). */
const schema = z.object({
  head_type: z.literal('smoothed_classification'),
  ...LABEL_FIELDS,
  smoothing: z.number().min(0).lt(1).default(0.1),
});
type SmoothedConfig = LabelConfig & { readonly smoothing: number };

const SMOOTHED: HeadKind<SmoothedConfig> = {
  ...(CLASSIFICATION as HeadKind<SmoothedConfig>),
  type: 'smoothed_classification',
  schema,
  keys: [...DENSE_KEYS, 'num_labels', 'use_pooler', 'bias', 'smoothing'],
  loss({ config: { num_labels, smoothing } }, logits, { input }) {
    const weights = input('lossWeights', 'float32', ['B']);
    const right = crossEntropy(logits, input('labels', 'int32', ['B']), weights);
    const all = mul(reshape(reduceSum(logSoftmax(logits), [1]), ['B']), scalar(-1 / num_labels));
    const doubt = reshape(reduceSum(mul(all, weights), [0]), []);
    return add(mul(right, scalar(1 - smoothing)), mul(doubt, scalar(smoothing)));
  },
};

const open = (files: Files) => AutoAdapterModel.fromPretrained('tiny', { files, engine: referenceEngine(), heads: [SMOOTHED] });

/** The first losses of an adapter with a head of its name, `how` being the head's configuration. */
async function lossesWith(
  files: Files,
  how: (name: string, model: AutoAdapterModel) => void,
): Promise<readonly [AutoAdapterModel, number[]]> {
  const model = await open(files);
  const losses: number[] = [];
  model.addAdapter('x');
  how('x', model);
  const onEvent = (event: { readonly type: string; readonly loss?: number }) => event.type === 'step' && losses.push(event.loss as number);
  await model.trainAdapter('x', { task: await loadTask(files, 'classification'), ...quick, maxSteps: 3, onEvent });
  return [model, losses];
}

it('trains, answers, is saved and loaded like any other head', async () => {
  const files = world();
  const task = await loadTask(files, 'classification');
  const label2id = Object.fromEntries(task.labels.map((label, i) => [label, i]));
  const smoothed = { head_type: 'smoothed_classification', num_labels: task.labels.length, layers: 2, label2id };
  const [, plain] = await lossesWith(files, (name, model) => model.addClassificationHead(name, { labels: task.labels }));
  const [, without] = await lossesWith(files, (name, model) => model.addHead(name, { ...smoothed, smoothing: 0 }));
  const [model, doubting] = await lossesWith(files, (name, one) => one.addHead(name, { ...smoothed, smoothing: 0.2 }));
  expect(without).toHaveLength(3);
  without.forEach((loss, i) => void expect(loss).toBeCloseTo(plain[i] as number, 6));
  expect(Math.abs((doubting[0] as number) - (plain[0] as number))).toBeGreaterThan(1e-4);

  const rows = [{ text: 'sea and sky' }, { text: 'land' }];
  const answers = await model.predict(rows);
  expect(task.labels).toContain(answers[0]?.prediction);
  expect(Object.keys((await model.evaluate(task)).metrics)).toEqual([...task.metrics]);
  await model.saveAdapter('saved', 'x');
  const config = JSON.parse(new TextDecoder().decode(await files.read('saved/head_config.json'))).config;
  expect([config.head_type, config.smoothing]).toEqual(['smoothed_classification', 0.2]);

  const other = await open(files);
  await other.loadAdapter('saved');
  expect(await other.predict(rows)).toEqual(answers);
  const plainly = await AutoAdapterModel.fromPretrained('tiny', { files, engine: referenceEngine() });
  expect(await plainly.loadAdapter('saved')).toBe('x');
  expect(plainly.heads).toEqual([]);
  expect(plainly.notes.join()).toContain('smoothed_classification');
});

it('is the head of a task where it comes first, and says what it is told wrong', async () => {
  const files = world();
  const task = await loadTask(files, 'classification');
  expect(headFor(task, 'x', [], 1, [SMOOTHED, CLASSIFICATION]).kind).toBe(SMOOTHED);
  expect(headFor(task, 'x', [], 1, [CLASSIFICATION, SMOOTHED]).kind).toBe(CLASSIFICATION);
  const made = (config: object) => createHead('x', { head_type: 'smoothed_classification', num_labels: 2, ...config }, 'x', [SMOOTHED]);
  expect(made({}).config.smoothing).toBe(0.1);
  expect(() => made({ smoothing: 2 })).toThrow("x: key 'smoothing': found 2; expected number to be <1");
  expect(() => made({ label2id: { a: 0, b: 2 } })).toThrow("x: key 'label2id': found the number 2; expected numbers from 0 to 1");
  const target: ClassTarget = { kind: 'class', label: 1 };
  expect(made({}).kind.questions({ row: 0, encodings: [], length: 0, target }, 2)).toEqual([{ sequence: 0, answers: [0, 1] }]);
});

it('may read all tokens, and leaves pads out by the mask', async () => {
  const mean: HeadKind<LabelConfig> = {
    ...CLASSIFICATION,
    type: 'mean_classification',
    schema: z.object({ head_type: z.literal('mean_classification'), ...LABEL_FIELDS }),
    reads: 'all',
    parameters: ({ name, config }, { hidden }) => [
      { name: `heads.${name}.labels`, shape: [config.num_labels, hidden], init: { kind: 'normal', deviation: 0.5 }, decay: true },
    ],
    draw({ name, config }, { tokens, mask, encoder, parameters }) {
      const real = reshape(mask, ['B', 'S', 1]);
      const sum = reduceSum(mul(reshape(tokens, ['B', 'S', encoder.hidden]), real), [1]);
      const means = reshape(div(sum, reduceSum(real, [1])), ['B', encoder.hidden]);
      return matmul(means, parameters(`heads.${name}.labels`, [config.num_labels, encoder.hidden]), { transB: true });
    },
  };
  const files = world();
  const model = await AutoAdapterModel.fromPretrained('tiny', { files, engine: referenceEngine(), heads: [mean as unknown as HeadKind] });
  const { labels } = await loadTask(files, 'classification');
  model.addAdapter('x');
  model.setActiveAdapters('x');
  model.addHead('x', {
    head_type: 'mean_classification',
    num_labels: labels.length,
    label2id: Object.fromEntries(labels.map((l, i) => [l, i])),
  });
  const [short, long] = [{ text: 'sea' }, { text: 'sea and sky and land and sea and sky and land' }];
  const logits = async (rows: { text: string }[]) => (await model.predict(rows)).map((answer) => answer.logits as number[]);
  const [alone] = await logits([short]);
  const [beside, other] = await logits([short, long]);
  expect(other).not.toEqual(beside);
  for (const [i, x] of (beside as number[]).entries()) expect(x).toBeCloseTo(alone?.[i] as number, 5);
});
