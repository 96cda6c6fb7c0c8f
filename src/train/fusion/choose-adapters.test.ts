import { describe, expect, it } from 'vitest';
import { tinyTask, tinyTokenizer } from '../../../test/tiny.ts';
import { open, world } from '../../../test/tiny-world.ts';
import { memoryFiles } from '../../base/files.ts';
import { createRandom } from '../../base/random.ts';
import { loadAdapter } from '../../checkpoint/index.ts';
import { loadEncoder } from '../../encoders/index.ts';
import { evidenceModel } from '../../metrics/index.ts';
import { prepare } from '../../model/prepare.ts';
import type { ClassTarget } from '../../objectives/index.ts';
import { referenceEngine } from '../../session/reference.ts';
import { loadRows, loadTask, type TaskKind } from '../../tasks/index.ts';
import { loadTokenizer } from '../../text/index.ts';
import { chooseAdapters, chooseGreedily } from './choose-adapters.ts';
import { adapterFeatures, questionsOf } from './features.ts';

const all = { most: 1000, random: createRandom(1) };

async function unitsOf(kind: TaskKind, count = 6) {
  const { card, rows } = tinyTask(kind, { train: count, validation: 1, test: 1 });
  const files = memoryFiles({
    'task/card.json': JSON.stringify(card),
    'task/train.jsonl': rows.train.map((row) => JSON.stringify(row)).join('\n'),
  });
  const task = await loadTask(files, 'task');
  return {
    task,
    rows: rows.train,
    units: prepare(await loadRows(files, task, 'train'), { task, tokenizer: tinyTokenizer(), maxLength: 40 }).units,
  };
}

describe('a task as questions', () => {
  it.each<[TaskKind, (units: number) => number, (questions: number) => boolean]>([
    ['classification', (n) => n, (k) => k >= 2 && k <= 3],
    ['regression', (n) => n, (k) => k === 1],
    ['multilabel', (n) => n, (k) => k >= 1 && k <= 3],
    ['choice', (n) => 3 * n, (k) => k === 1],
  ])('%s: one or more of each sequence', async (kind, observations, questions) => {
    const { task, units } = await unitsOf(kind);
    const asked = questionsOf(units, task, all);
    expect(asked.observations).toHaveLength(observations(units.length));
    expect(questions(asked.targets.length)).toBe(true);
    for (const target of asked.targets) {
      expect(target).toHaveLength(asked.observations.length);
      expect(target.reduce((a, b) => a + b, 0)).toBeCloseTo(0, 12);
      expect(new Set(target).size).toBeGreaterThan(1);
    }
  });

  it('tagging: of the first token of each word, its label', async () => {
    const { task, rows, units } = await unitsOf('tagging');
    const tags = rows.flatMap(({ tags: own }) => own as string[]);
    const { observations, targets } = questionsOf(units, task, all);
    expect(observations).toHaveLength(tags.length);
    const used = task.labels.filter((label) => tags.includes(label));
    expect(targets).toHaveLength(used.length);
    const share = (label: string) => tags.filter((tag) => tag === label).length / tags.length;
    for (const [k, label] of used.entries()) {
      const expected = tags.map((tag) => expect.closeTo(Number(tag === label) - share(label), 12));
      expect([...(targets[k] as Float64Array)], label).toEqual(expected);
    }
  });

  it('span: of each token, whether the answer begins or ends there', async () => {
    const { task, units } = await unitsOf('span');
    const { observations, targets } = questionsOf(units, task, all);
    expect(observations).toHaveLength(units.reduce((sum, { length }) => sum + length, 0));
    for (const target of targets) expect([...target].filter((y) => y > 0)).toHaveLength(units.length);
  });

  it('leaves out what all answer alike, and draws some where there are many', async () => {
    const { task, units } = await unitsOf('classification', 40);
    const sea = units.filter(({ target }) => (target as ClassTarget).label === 0);
    expect(questionsOf(sea, task, all).targets).toEqual([]);
    const some = questionsOf(units, task, { most: 25, random: createRandom(2) });
    expect(some.observations).toHaveLength(25);
    expect(new Set(some.observations.map(({ unit }) => unit)).size).toBe(25);
    for (const target of some.targets) expect(target.reduce((a, b) => a + b, 0)).toBeCloseTo(0, 12);
  });
});

it.each<TaskKind>(['classification', 'choice', 'tagging'])(
  'features of %s are those of each row alone, whatever else is in its batch',
  async (kind) => {
    const files = world();
    const model = await open(files);
    model.addAdapter('a', 'seq_bn[reduction_factor=8]');
    await model.saveAdapter('a', 'a');
    const encoder = await loadEncoder(files, 'tiny');
    const adapter = await loadAdapter(files, 'a', { encoder, head: false });
    const task = await loadTask(files, kind);
    const { units } = prepare(await loadRows(files, task, 'train', { limit: 2 }), {
      task,
      tokenizer: await loadTokenizer(files, 'tiny'),
      maxLength: 40,
    });
    const { observations } = questionsOf(units, task, all);
    const engine = referenceEngine();
    const together = await adapterFeatures(engine, encoder, adapter, observations);
    expect([together.rows, together.width]).toEqual([observations.length, kind === 'tagging' ? 32 : 64]);
    for (const i of [0, observations.length - 1]) {
      const alone = await adapterFeatures(engine, encoder, adapter, observations.slice(i, i + 1));
      alone.data.forEach((value, j) => void expect(together.data[i * together.width + j], `${i} ${j}`).toBeCloseTo(value, 5));
    }
    const bare = await adapterFeatures(engine, encoder, undefined, observations.slice(0, 1));
    expect(bare.data.some((value, j) => Math.abs(value - (together.data[j] as number)) > 1e-3)).toBe(true);
  },
);

it('the second choice is what explains the rest, not a copy of the first', () => {
  const random = createRandom(5);
  const rows = 80;
  const draw = () => Float64Array.from({ length: rows }, () => random.normal());
  const [large, small] = [draw(), draw()];
  const target = large.map((value, i) => 2 * value + (small[i] as number) + 0.1 * random.normal());
  const candidate = (name: string, signal: Float64Array) => {
    const [noise, width] = [draw(), 2];
    const data = Float64Array.from({ length: rows * width }, (_, at) => (at % 2 === 0 ? signal : noise)[Math.floor(at / 2)] as number);
    const model = evidenceModel({ rows, width, data });
    return { name, folder: name, model, score: model.score([target]) };
  };
  const shelf = [
    candidate('other', small),
    candidate(
      'copy',
      large.map((value) => value + 0.05 * random.normal()),
    ),
    candidate('best', large),
  ];
  expect(shelf.toSorted((a, b) => b.score - a.score).map(({ name }) => name)).toEqual(['best', 'copy', 'other']);
  const chosen = chooseGreedily(shelf, [target], 3);
  expect(chosen.map(({ name }) => name)).toEqual(['best', 'other', 'copy']);
  expect(chosen[1]?.score).toBeGreaterThan((shelf[0]?.score as number) + 0.3);
});

describe('choosing from a shelf', () => {
  it('scores every adapter and the bare encoder, best first', async () => {
    const files = world();
    const model = await open(files);
    for (const name of ['a', 'b', 'c']) {
      model.addAdapter(name, 'seq_bn[reduction_factor=8]');
      await model.saveAdapter(`shelf/${name}`, name);
    }
    const seen: string[] = [];
    const choice = await chooseAdapters({
      files,
      engine: referenceEngine(),
      model: 'tiny',
      task: await loadTask(files, 'classification'),
      adapters: ['a', 'b', 'c'].map((name) => `shelf/${name}`),
      count: 2,
      onProgress: (done, of) => void seen.push(`${done}/${of}`),
    });
    expect(seen).toEqual(['1/4', '2/4', '3/4', '4/4']);
    expect(choice.observations).toBe(4);
    expect(choice.scores.map(({ name }) => name).sort()).toEqual(['a', 'b', 'c']);
    expect(choice.scores.map(({ score }) => score)).toEqual(choice.scores.map(({ score }) => score).toSorted((x, y) => y - x));
    expect(choice.chosen).toHaveLength(2);
    expect(choice.chosen[0]).toEqual(choice.scores[0]);
    expect(new Set([choice.bare, ...choice.scores.map(({ score }) => score)]).size).toBe(4);
  });

  it.each([
    [{ count: 3 }, '--choose: found 3; expected a number from 1 to 2, the adapters there are'],
    [{ count: 1, adapters: ['shelf/a', 'shelf/a'] }, "shelf/a: found an adapter named 'a', as in shelf/a"],
    [{ count: 1, limit: 1 }, 'the training rows of tiny-classification: found one and the same answer to all of them'],
  ])('refuses %j', async (more, message) => {
    const files = world();
    const model = await open(files);
    for (const name of ['a', 'b']) {
      model.addAdapter(name);
      await model.saveAdapter(`shelf/${name}`, name);
    }
    const task = await loadTask(files, 'classification');
    const common = { files, engine: referenceEngine(), model: 'tiny', task, adapters: ['shelf/a', 'shelf/b'] };
    await expect(chooseAdapters({ ...common, ...more })).rejects.toThrow(message);
  });
});
