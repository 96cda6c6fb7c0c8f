import { describe, expect, it } from 'vitest';
import { MultigraftError } from '../base/errors.ts';
import { checkPredictionRow, checkRow } from './row.ts';
import type { Task, TaskKind } from './types.ts';

const place = { file: 'train.jsonl', line: 7 };

function task(kind: TaskKind, labels: string[] = [], columns: Task['columns'] = {}): Task {
  return { name: 'toy', kind, labels, metric: 'accuracy', metrics: ['accuracy'], columns, files: {}, card: {} };
}

function problemOf(action: () => unknown): MultigraftError {
  try {
    action();
  } catch (error) {
    if (error instanceof MultigraftError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('checkRow', () => {
  const topic = task('classification', ['billing', 'shipping', '1', 'true']);

  it('reads a row of each kind', () => {
    expect(checkRow(topic, { text: 'hi', textPair: '', label: 'billing' }, place)).toEqual({
      kind: 'classification',
      text: 'hi',
      textPair: '',
      label: 'billing',
    });
    expect(checkRow(task('multilabel', ['a', 'b']), { text: 'x', label: ['b', 'a'] }, place)).toMatchObject({ label: ['b', 'a'] });
    expect(checkRow(task('regression'), { text: 'x', label: 2.5 }, place)).toMatchObject({ label: 2.5 });
    expect(checkRow(task('tagging', ['O', 'B-x']), { tokens: ['a', 'b'], tags: ['O', 'B-x'] }, place)).toMatchObject({
      tags: ['O', 'B-x'],
    });
    expect(checkRow(task('choice'), { text: 'x', choices: ['a', 'b'], label: 1 }, place)).toMatchObject({ label: 1 });
    const span = { context: 'a red 🚪 door', question: 'what', answers: [{ text: 'door', start: 9 }] };
    expect(checkRow(task('span'), span, place)).toEqual({ kind: 'span', ...span });
  });

  it('reads the cells of a table, where everything is text', () => {
    expect(checkRow(task('regression'), { text: 'x', label: ' -3e1 ' }, place)).toMatchObject({ label: -30 });
    expect(checkRow(task('tagging', ['O', 'B-x']), { tokens: 'a b', tags: '["O","B-x"]' }, place)).toMatchObject({
      tokens: ['a', 'b'],
      tags: ['O', 'B-x'],
    });
    expect(checkRow(task('multilabel', ['a', 'b']), { text: 'x', label: 'b | a' }, place)).toMatchObject({ label: ['b', 'a'] });
    expect(checkRow(task('multilabel', ['a', 'b']), { text: 'x', label: '' }, place)).toMatchObject({ label: [] });
    expect(checkRow(task('choice'), { text: 'x', choices: '["a","b"]', label: '1' }, place)).toMatchObject({
      choices: ['a', 'b'],
      label: 1,
    });
    expect(checkRow(topic, { text: 4, label: 1 }, place)).toMatchObject({ text: '4', label: '1' });
    expect(checkRow(topic, { text: 'x', label: true }, place)).toMatchObject({ label: 'true' });
  });

  it('reads columns of other names', () => {
    const renamed = task('classification', ['a', 'b'], { text: 'sentence', label: 'class' });
    expect(checkRow(renamed, { sentence: 's', class: 'b', id: 9 }, place)).toEqual({ kind: 'classification', text: 's', label: 'b' });
  });

  it('names file, line, column, what is there and what was expected', () => {
    const error = problemOf(() => checkRow(topic, { text: ['x'], label: 'billing' }, place));
    expect(error.message).toBe('train.jsonl:7, column "text": found ["x"]; expected a string. Correct the row.');
    expect(error.code).toBe('task.row');
  });

  it('names the nearest label and the nearest column', () => {
    const label = problemOf(() => checkRow(topic, { text: 'x', label: 'biling' }, place));
    expect(label.code).toBe('task.label');
    expect(label.message).toContain(
      'found "biling"; expected one of the 4 labels of toy: billing, shipping, 1, true. Did you mean "billing"?',
    );
    const column = problemOf(() => checkRow(topic, { txt: 'x', label: 'billing' }, place));
    expect(column.message).toContain('no such column (there are "txt", "label")');
    expect(column.message).toContain('Did you mean "txt"?');
  });

  const refused: [string, TaskKind, Record<string, unknown>, string][] = [
    ['no label', 'classification', { text: 'x', label: null }, 'found nothing'],
    ['an empty label', 'classification', { text: 'x', label: '' }, 'found nothing'],
    ['a label that is a list', 'classification', { text: 'x', label: ['a'] }, 'expected one label'],
    ['a label twice', 'multilabel', { text: 'x', label: ['a', 'a'] }, 'at most once'],
    ['a word as number', 'regression', { text: 'x', label: 'much' }, 'a finite number'],
    ['a blank as number', 'regression', { text: 'x', label: ' ' }, 'a finite number'],
    ['an infinite number', 'regression', { text: 'x', label: '1e999' }, 'a finite number'],
    ['fewer tags than tokens', 'tagging', { tokens: ['a', 'b'], tags: ['a'] }, 'found 1 tags; expected 2, one for each token'],
    ['no tokens', 'tagging', { tokens: [], tags: [] }, 'at least one entry'],
    ['tokens that are numbers', 'tagging', { tokens: [1], tags: ['a'] }, 'a list of strings'],
    ['an unknown tag', 'tagging', { tokens: ['x'], tags: ['c'] }, 'expected one of the 2 labels'],
    ['one choice', 'choice', { text: 'x', choices: ['a'], label: 0 }, 'at least two strings'],
    ['a choice that is not there', 'choice', { text: 'x', choices: ['a', 'b'], label: 2 }, 'a whole number from 0 to 1'],
    ['a choice between two', 'choice', { text: 'x', choices: ['a', 'b'], label: 0.5 }, 'a whole number from 0 to 1'],
    ['no answers', 'span', { context: 'abc', question: 'q', answers: [] }, 'at least one entry'],
    ['an answer elsewhere', 'span', { context: 'abc', question: 'q', answers: [{ text: 'c', start: 1 }] }, 'where the context has "b"'],
    ['an answer before the start', 'span', { context: 'abc', question: 'q', answers: [{ text: 'a', start: -1 }] }, 'the answer "a" at -1'],
    ['an answer without place', 'span', { context: 'abc', question: 'q', answers: ['a'] }, '{"text": a string, "start": a whole number}'],
    ['broken JSON in a cell', 'choice', { text: 'x', choices: '["a",', label: 0 }, 'at least two strings'],
  ];
  it.each(refused)('refuses %s', (_, kind, value, words) => {
    const labels = kind === 'regression' || kind === 'span' || kind === 'choice' ? [] : ['a', 'b'];
    const error = problemOf(() => checkRow(task(kind, labels), value, place));
    expect(error.message).toContain(words);
    expect(error.message).toContain('train.jsonl:7, column "');
  });
});

describe('checkPredictionRow', () => {
  const topic = task('classification', ['a', 'b']);

  it('needs no answer, and keeps the addresses', () => {
    expect(checkPredictionRow(topic, { text: 'x', task: 't', adapter: 'm' }, place)).toEqual({
      kind: 'classification',
      text: 'x',
      task: 't',
      adapter: 'm',
    });
    expect(checkPredictionRow(task('tagging', ['a', 'b']), { tokens: 'x y' }, place)).toEqual({ kind: 'tagging', tokens: ['x', 'y'] });
    expect(checkPredictionRow(task('span'), { context: 'c', question: 'q' }, place)).toEqual({ kind: 'span', context: 'c', question: 'q' });
  });

  it('does not read answers that are there', () => {
    expect(checkPredictionRow(topic, { text: 'x', label: 'unknown' }, place)).toEqual({ kind: 'classification', text: 'x' });
    expect(checkPredictionRow(task('tagging', ['a', 'b']), { tokens: 'x y', tags: 'z' }, place)).toEqual({
      kind: 'tagging',
      tokens: ['x', 'y'],
    });
  });

  it('takes token ids instead of text', () => {
    expect(checkPredictionRow(topic, { inputIds: [101, 7, 102], tokenTypeIds: [0, 0, 0] }, place)).toEqual({
      kind: 'classification',
      text: '',
      inputIds: [101, 7, 102],
      tokenTypeIds: [0, 0, 0],
    });
  });

  it.each([
    [{ inputIds: [1.5] }, 'whole numbers, 0 or more'],
    [{ inputIds: [-1] }, 'whole numbers, 0 or more'],
    [{ inputIds: [] }, 'at least one token id'],
    [{ inputIds: [1, 2], tokenTypeIds: [0] }, 'expected 2, one for each of inputIds'],
    [{ text: 'x', task: 5 }, 'column "task": found 5; expected a string'],
  ])('refuses %j', (value, words) => {
    expect(problemOf(() => checkPredictionRow(topic, value, place)).message).toContain(words);
  });
});
