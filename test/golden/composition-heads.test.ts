import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AutoAdapterModel } from '../../src/auto-adapter-model/index.ts';
import { nodeFiles } from '../../src/base/files-node.ts';
import { float32 } from '../../src/base/index.ts';
import type { CommandDefinition } from '../../src/cli/command.ts';
import { command as evaluate } from '../../src/cli/evaluate.ts';
import { command as predict } from '../../src/cli/predict.ts';
import { type Composition, multiTask, parallel, stack } from '../../src/methods/index.ts';
import type { Answer } from '../../src/predict/answer.ts';
import { referenceEngine } from '../../src/session/reference.ts';
import { loadTask } from '../../src/tasks/index.ts';
import { runCommand } from '../command.ts';
import { writeTinyEncoder } from '../tiny.ts';
import { type Batch, readCases, relativeError } from './forward.ts';

interface WithHeads {
  readonly batches: Readonly<Record<string, Batch>>;
  readonly heads: { readonly folder: string; readonly logits: Readonly<Record<string, number[][]>> };
}

let bert: string;
const folder = mkdtempSync(join(tmpdir(), 'multigraft-heads-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeAll(async () => {
  bert = await writeTinyEncoder(folder);
});

/** A setup as Python saved it, with a head for each child. */
async function opened(block: string) {
  const { batches, heads } = readCases<WithHeads>(`composition-rows/${block}.json`);
  const model = await AutoAdapterModel.fromPretrained(bert, { engine: referenceEngine() });
  const setup = await model.loadAdapterSetup(`test/golden/${heads.folder}`);
  const { inputIds, attentionMask, tokenTypeIds = [] } = batches.bert as Batch;
  const rows = inputIds.map((ids, i) => {
    const length = (attentionMask[i] as number[]).filter((real) => real === 1).length;
    return { inputIds: ids.slice(0, length), tokenTypeIds: tokenTypeIds[i]?.slice(0, length) };
  });
  return { model, setup, rows, logits: heads.logits };
}

function expectLogits(answers: readonly Answer[], expected: readonly (readonly number[])[]) {
  expect(answers).toHaveLength(expected.length);
  for (const [i, answer] of answers.entries())
    expect(relativeError(float32([expected[i]?.length ?? 0], answer.logits as number[]), expected[i] as number[])).toBeLessThan(1e-5);
}

const names = (answers: readonly Answer[]) => answers.map(({ adapter, head }) => [adapter, head]);
const plain = (answers: readonly Answer[]) => answers.map(({ prediction, logits }) => ({ prediction, logits }));

describe('a head for each child', () => {
  it('of BatchSplit, as Python saved it', async () => {
    const { model, rows, logits } = await opened('batch-split');
    expect(model.activeHead).toEqual(['a', 'b']);
    const answers = await model.predict(rows);
    expectLogits(answers, Object.values(logits).flat());
    expect(names(answers)).toEqual(['a', 'a', 'b', 'b', 'b'].map((name) => [name, name]));
    expect(() => model.task).toThrow('found several: a, b; expected one answer for each row');
  });

  it('of Parallel, each row answered by each', async () => {
    const { model, rows, logits } = await opened('parallel');
    const answers = await model.predict(rows);
    expect(names(answers)).toEqual(rows.flatMap(() => ['a', 'b'].map((name) => [name, name])));
    expectLogits(
      answers,
      rows.flatMap((_, i) => ['a', 'b'].map((name) => logits[name]?.[i] as number[])),
    );
    model.activeHead = 'a';
    const one = await model.predict(rows);
    expectLogits(
      one.filter(({ adapter }) => adapter === 'a'),
      logits.a as number[][],
    );
    expect(one.every(({ logits: all }) => all?.length === 2)).toBe(true);
    model.activeHead = ['a', 'b', 'a'];
    await expect(model.predict(rows)).rejects.toThrow('found 3: a, b, a; expected one for all, or one for each of a, b');
  });

  it.each(['batch-split', 'parallel'])('is written as Python wrote it: %s', async (block) => {
    const { model, setup, rows } = await opened(block);
    const before = await model.predict(rows);
    await model.saveAdapterSetup(join(folder, block));
    const saved = (path: string) => JSON.parse(readFileSync(join(path, 'adapter_setup.json'), 'utf8')) as Record<string, unknown>;
    expect({ ...saved(join(folder, block)), version: 0 }).toEqual({ ...saved(`test/golden/composition-rows/${block}`), version: 0 });
    const again = await AutoAdapterModel.fromPretrained(bert, { engine: referenceEngine() });
    expect(await again.loadAdapterSetup(join(folder, block))).toEqual(setup);
    expect(await again.predict(rows)).toEqual(before);
  });

  it('of MultiTask: rows name their task, and are answered as by their adapter alone', async () => {
    const { model, rows } = await opened('parallel');
    const alone = new Map<string, Answer[]>();
    for (const name of ['a', 'b']) {
      model.setActiveAdapters(stack('c', name));
      alone.set(name, await model.predict(rows));
    }
    model.setActiveAdapters(stack('c', multiTask('a', 'b')));
    expect(model.activeHead).toEqual(['a', 'b']);
    const tasks = ['b', 'a', 'b', 'b', 'a'];
    const answers = await model.predict(rows.map((row, i) => ({ ...row, task: tasks[i] })));
    expect(names(answers)).toEqual(tasks.map((name) => [name, name]));
    expectLogits(
      answers,
      tasks.map((name, i) => alone.get(name)?.[i]?.logits as number[]),
    );
    expect(await model.predict(rows, { taskIds: [1, 'a', 1, 'b', 0] })).toEqual(answers);
    await expect(model.predict(rows)).rejects.toThrow('rows:1, column "task": found none; expected one of a, b, or its number from 0');
    await expect(model.predict(rows, { taskIds: [1, 'a', 1, 'x', 0] })).rejects.toThrow('taskIds, rows:4: found "x"');
    await expect(model.predict(rows, { taskIds: [1] })).rejects.toThrow('found 1, for stack(c, multiTask(a, b)); expected 5');
  });

  it('several heads on one adapter answer all rows, those of other kinds too', async () => {
    const { model, rows, logits } = await opened('parallel');
    model.setActiveAdapters(stack('c', 'a'));
    model.addTaggingHead('words', { labels: ['x', 'y'] });
    model.activeHead = ['a', 'words'];
    const texts = [{ text: 'a b' }, { text: 'c' }];
    const answers = await model.predict(texts);
    expect(names(answers)).toEqual([
      [undefined, 'a'],
      [undefined, 'words'],
      [undefined, 'a'],
      [undefined, 'words'],
    ]);
    expect(answers[1]?.prediction).toHaveLength(2);
    model.activeHead = 'words';
    expect(plain(await model.predict(texts.map(({ text }) => ({ tokens: text.split(' ') }))))).toEqual(
      plain([answers[1], answers[3]] as Answer[]),
    );
    model.activeHead = 'a';
    expectLogits(await model.predict(rows), logits.a as number[][]);
  });

  it.each<[unknown, Composition | undefined, string]>([
    [['a', 'b'], undefined, 'a block of heads: of a list each head answers all rows in Python'],
    [{ type: 'Parallel', children: [{ type: 'single', children: ['a'] }] }, undefined, 'a head for each child of batchSplit(a, b)'],
    [['a', 'b', 'a'], parallel('a', 'b'), '3 heads: a, b, a; expected one, or one for each child of parallel(a, b)'],
    [true, parallel('a', 'b'), 'the name of a head, a list of names, or a block of them'],
  ])('heads that a setup has no place for are refused: %j', async (heads, setup, message) => {
    const from = 'test/golden/composition-rows/batch-split';
    const saved = JSON.parse(readFileSync(`${from}/adapter_setup.json`, 'utf8'));
    if (setup) saved.adapter_setup.type = 'Parallel';
    if (setup) delete saved.adapter_setup.kwargs;
    await nodeFiles.write(join(folder, 'wrong/adapter_setup.json'), JSON.stringify({ ...saved, head_setup: heads }));
    const model = await AutoAdapterModel.fromPretrained(bert, { engine: referenceEngine() });
    await expect(model.loadAdapterSetup(join(folder, 'wrong'))).rejects.toThrow(message);
  });
});

describe('on labelled rows and from the command line', () => {
  const file = join(folder, 'rows.jsonl');
  beforeAll(async () => {
    const labels = ['LABEL_0', 'LABEL_1', 'LABEL_1', 'LABEL_0', 'LABEL_0'];
    await nodeFiles.write(file, labels.map((label, i) => `${JSON.stringify({ id: i, text: 'abcde'.slice(i), label })}\n`).join(''));
  });
  const run = async (command: CommandDefinition, raw: Readonly<Record<string, unknown>>) =>
    (await runCommand(nodeFiles, command, { model: bert, setup: 'test/golden/composition-rows/parallel', threads: '1', ...raw })).out;

  it('evaluates each adapter of a Parallel', async () => {
    const { model } = await opened('parallel');
    model.activeHead = 'a';
    const task = await loadTask(nodeFiles, file, { split: 'test' });
    const each = await model.evaluateEach(task, 'test');
    expect(each.map(({ adapter, rows }) => [adapter, rows])).toEqual([
      ['a', 5],
      ['b', 5],
    ]);
    model.setActiveAdapters(stack('c', 'a'));
    expect((await model.evaluate(task, 'test')).metrics).toEqual(each[0]?.metrics);
    model.setActiveAdapters(stack('c', parallel('a', 'b')));
    await expect(model.evaluate(task)).rejects.toThrow('found several: a, b; expected one answer for each row');
  });

  it('predict gives a line for each row and adapter', async () => {
    const out = await run(predict, { input: file });
    const lines = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.slice(0, 3).map(({ id, adapter, head }) => [id, adapter, head])).toEqual([
      [0, 'a', 'a'],
      [0, 'b', 'b'],
      [1, 'a', 'a'],
    ]);
    expect(lines).toHaveLength(10);
    const swapped = await run(predict, { input: file, head: 'b,a' });
    expect(JSON.parse(swapped.split('\n')[0] as string)).toMatchObject({ id: 0, adapter: 'a', head: 'b' });
  });

  it('evaluate takes the head of all, or of each', async () => {
    const out = await run(evaluate, { task: file, head: 'a' });
    expect(JSON.parse(out).map(({ adapter, rows }: Record<string, unknown>) => [adapter, rows])).toEqual([
      ['a in stack(c, parallel(a, b))', 5],
      ['b in stack(c, parallel(a, b))', 5],
    ]);
  });
});
