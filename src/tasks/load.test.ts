import { describe, expect, it } from 'vitest';
import { MultigraftError } from '../base/errors.ts';
import { memoryFiles } from '../base/files.ts';
import { checkTask, classBalance, loadRows, loadTask } from './index.ts';

const card = { name: 'colours', kind: 'classification', labels: ['cold', 'warm'], licence: 'CC0-1.0', floor: { majority: 0.5 } };
const rows = ['{"text":"ice","label":"cold"}', '{"text":"fire","label":"warm"}', '{"text":"snow","label":"cold"}'].join('\n');

function folder(cardChange: object = {}, files: Record<string, string> = {}) {
  return memoryFiles({ 't/card.json': JSON.stringify({ ...card, ...cardChange }), 't/train.jsonl': rows, ...files });
}

async function messageOf(action: Promise<unknown>): Promise<string> {
  const error = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof MultigraftError) return `${error.code} ${error.message}`;
  throw new Error(`not refused properly: ${error}`);
}

describe('loadTask', () => {
  it('reads a folder and keeps what it does not know of the card', async () => {
    const task = await loadTask(folder({}, { 't/test.csv': 'text,label\nsun,warm\n' }), 't');
    expect(task).toMatchObject({
      name: 'colours',
      kind: 'classification',
      labels: ['cold', 'warm'],
      metric: 'accuracy',
      metrics: ['accuracy', 'f1', 'f1_macro', 'matthews'],
      files: { train: 't/train.jsonl', test: 't/test.csv' },
    });
    expect(task.card.floor).toEqual({ majority: 0.5 });
    expect(await loadRows(folder({}, { 't/test.csv': 'text,label\nsun,warm\n' }), task, 'test')).toEqual([
      { kind: 'classification', text: 'sun', label: 'warm' },
    ]);
  });

  it('takes the metric from the card, in any usual spelling, and from the caller before it', async () => {
    expect((await loadTask(folder({ suggestedMetric: 'matthews correlation' }), 't')).metrics[0]).toBe('matthews');
    expect((await loadTask(folder({ metric: 'Macro F1' }), 't')).metric).toBe('f1_macro');
    expect((await loadTask(folder({ metrics: ['f1', 'accuracy'] }), 't')).metrics).toEqual(['f1', 'accuracy']);
    expect((await loadTask(folder({ metric: 'f1' }), 't', { metric: 'f1_micro' })).metric).toBe('f1_micro');
  });

  it.each([
    [
      'kind',
      { kind: 'clasification' },
      'task.card t/card.json, field "kind": found "clasification"; expected one of',
      'Did you mean "classification"?',
    ],
    ['name', { name: undefined, nam: 'x' }, 'field "name": found nothing', 'Did you mean "nam"?'],
    ['labels', { labels: 'cold' }, 'field "labels": found "cold"', 'array'],
    ['one label', { labels: ['cold'] }, "found only 'cold'; expected at least 2 for classification", ''],
    ['a label twice', { labels: ['cold', 'warm', 'cold'] }, 'found the label "cold" twice', ''],
    ['labels of a regression', { kind: 'regression' }, 'found 2 labels; expected none', ''],
    ['a metric of another kind', { metric: 'pearson' }, 'found "pearson", which does not fit this kind of task', ''],
    ['an unknown metric', { metric: 'acuracy' }, 'found "acuracy"', 'Did you mean "accuracy"?'],
    ['a column', { columns: { txt: 'x' } }, 'field "columns', ''],
  ])('names the wrong field of a card: %s', async (_, change, words, more) => {
    const message = await messageOf(loadTask(folder(change), 't'));
    expect(message).toContain(words);
    expect(message).toContain(more);
  });

  it('refuses a card that is not JSON, a folder without splits, two files for one split and a missing path', async () => {
    expect(await messageOf(loadTask(memoryFiles({ 't/card.json': '{', 't/train.csv': 'a\n' }), 't'))).toContain('not JSON');
    expect(await messageOf(loadTask(memoryFiles({ 't/card.json': '[]', 't/train.csv': 'a\n' }), 't'))).toContain('expected a JSON object');
    expect(await messageOf(loadTask(memoryFiles({ 't/notes.txt': '' }), 't'))).toContain('found notes.txt; expected card.json and train');
    expect(await messageOf(loadTask(folder({}, { 't/train.csv': 'text\n' }), 't'))).toContain('found train.jsonl and train.csv');
    expect(await messageOf(loadTask(folder(), 'u'))).toContain('file.missing u');
  });

  it('infers kind and labels of a bare file', async () => {
    const kinds: [string, string, string, string[]][] = [
      ['classification', 'a.csv', 'text,label\nx,2\ny,10\n', ['10', '2']],
      ['regression', 'b.tsv', 'text\tlabel\nx\t2\ny\t1.5\n', []],
      ['multilabel', 'c.jsonl', '{"text":"x","label":["q","p"]}\n{"text":"y","label":[]}', ['p', 'q']],
      ['tagging', 'd.jsonl', '{"tokens":["x"],"tags":["O"]}\n{"tokens":["y"],"tags":["B-a"]}', ['B-a', 'O']],
      ['choice', 'e.jsonl', '{"text":"x","choices":["a","b"],"label":0}', []],
      ['span', 'f.jsonl', '{"context":"x","question":"?","answers":[{"text":"x","start":0}]}', []],
    ];
    for (const [kind, path, text, labels] of kinds) {
      const files = memoryFiles({ [path]: text });
      const task = await loadTask(files, path);
      expect(task).toMatchObject({ kind, labels, name: path[0], files: { train: path } });
      expect((await loadRows(files, task, 'train'))[0]?.kind).toBe(kind);
    }
    expect(kinds.length).toBe(6);
  });

  it('reads other columns, and says which are there when they are not', async () => {
    const files = memoryFiles({ 'a.csv': 'sentence,other,class\nx,y,p\nz,w,q\n' });
    const task = await loadTask(files, 'a.csv', { columns: { text: 'sentence', textPair: 'other', label: 'class' }, split: 'test' });
    expect(task.labels).toEqual(['p', 'q']);
    expect((await loadRows(files, task, 'test'))[1]).toEqual({ kind: 'classification', text: 'z', textPair: 'w', label: 'q' });
    expect(await messageOf(loadTask(files, 'a.csv', { columns: { text: 'sentense' } }))).toContain('Did you mean "sentence"?');
    expect(await messageOf(loadTask(files, 'a.csv', { columns: { text: 'sentence' } }))).toContain(
      'column "label": found only sentence, other, class',
    );
  });
});

describe('loadRows', () => {
  it('skips what is excluded before counting offset and limit', async () => {
    const files = folder();
    const task = await loadTask(files, 't');
    const texts = async (options: object) => (await loadRows(files, task, 'train', options)).map((row) => 'text' in row && row.text);
    expect(await texts({ exclude: new Set([0]) })).toEqual(['fire', 'snow']);
    expect(await texts({ exclude: new Set([0]), offset: 1, limit: 5 })).toEqual(['snow']);
    expect(await texts({ limit: 1 })).toEqual(['ice']);
    expect(await messageOf(loadRows(files, task, 'train', { offset: 3 }))).toContain('task.empty t/train.jsonl: found no rows');
    expect(await messageOf(loadRows(files, task, 'test'))).toContain('The test split of colours: found only train');
    expect(await messageOf(loadRows(files, task, 'train', { exclude: new Set([2, 3]) }))).toContain(
      'usage.value t/train.jsonl: found 3 rows; expected a row 3 (from 0), which is to be left out.',
    );
  });

  it('gives the line of the file, not the number of the row', async () => {
    const files = memoryFiles({ 't/card.json': JSON.stringify(card), 't/train.csv': 'text,label\n"snow\nand ice",cold\nsun,wram\n' });
    const task = await loadTask(files, 't');
    expect(await messageOf(loadRows(files, task, 'train'))).toContain('task.label t/train.csv:4, column "label": found "wram"');
  });
});

describe('checkTask', () => {
  it('reports balance, lengths, repeated and shared rows', async () => {
    const files = folder(
      { labels: ['cold', 'warm', 'mild'] },
      { 't/test.jsonl': '{"text":"fire","label":"warm"}\n{"text":"hot hot wind","label":"warm"}\n{"text":"","label":"warm"}' },
    );
    const report = await checkTask(files, 't');
    expect(report.splits.train).toEqual({
      rows: 3,
      balance: { counts: { cold: 2, warm: 1, mild: 0 }, empty: ['mild'], majority: 2 / 3 },
      words: { median: 1, p95: 1, max: 1 },
      emptyInputs: 0,
      repeated: 0,
    });
    expect(report.splits.test).toMatchObject({ rows: 3, emptyInputs: 1, words: { median: 1, max: 3 } });
    expect(report.shared).toEqual([{ of: 'test', in: 'train', rows: 1 }]);
    expect(report.warnings).toEqual([
      'train has no row of "mild".',
      'test has no row of "cold", "mild".',
      'test is 100.0 % one class: judge by F1, not by accuracy.',
      'test has 1 row without a word.',
      '1 row of test also stands in train: scores may flatter.',
      'There is no validation split.',
    ]);
  });

  it('reports the range of a regression, which has no classes', async () => {
    const files = memoryFiles({ 'r.csv': 'text,label\nx,0.5\ny,2\n' });
    const report = await checkTask(files, 'r.csv');
    expect(report.splits.train?.range).toEqual({ min: 0.5, max: 2, mean: 1.25 });
    expect(classBalance(report.task, await loadRows(files, report.task, 'train'))).toBeUndefined();
  });
});
