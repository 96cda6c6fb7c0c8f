import { describe, expect, it } from 'vitest';
import { metricsFor } from '../tasks/card.ts';
import { type MetricName, type Prediction, type Row, TASK_KINDS, type Task, type TaskKind } from '../tasks/index.ts';
import { computeMetrics, majorityScore } from './registry.ts';

function task(kind: TaskKind, labels: string[] = []): Task {
  const metrics: MetricName[] = [...metricsFor(kind, labels), ...(kind === 'classification' ? ['f1_micro' as const] : [])];
  return { name: 'toy', kind, labels, metric: metrics[0] ?? 'accuracy', metrics, columns: {}, files: {}, card: {} };
}

const classified = (...labels: string[]): Row[] => labels.map((label) => ({ kind: 'classification', text: 'x', label }));

describe('computeMetrics', () => {
  const cases: [TaskKind, string[], Row[], Prediction[], Record<string, number>][] = [
    [
      'classification',
      ['n', 'y'],
      classified('y', 'n', 'y'),
      ['y', 'n', 'n'],
      { accuracy: 2 / 3, f1: 2 / 3, f1_macro: 2 / 3, f1_micro: 2 / 3, matthews: 0.5 },
    ],
    [
      'multilabel',
      ['a', 'b'],
      [
        { kind: 'multilabel', text: 'x', label: ['a', 'b'] },
        { kind: 'multilabel', text: 'y', label: [] },
      ],
      [['b', 'a'], ['b']],
      { accuracy: 0.5, f1_macro: 5 / 6, f1_micro: 0.8 },
    ],
    ['regression', [], [1, 2, 4].map((label) => ({ kind: 'regression', text: 'x', label })), [2, 4, 8], { pearson: 1, spearman: 1 }],
    [
      'tagging',
      ['O', 'B-x', 'I-x'],
      [
        { kind: 'tagging', tokens: ['a', 'b', 'c'], tags: ['B-x', 'I-x', 'O'] },
        { kind: 'tagging', tokens: ['d'], tags: ['B-x'] },
      ],
      [['B-x', 'O', 'O'], ['B-x']],
      { token_accuracy: 0.75, span_f1: 0.5, span_precision: 0.5, span_recall: 0.5 },
    ],
    [
      'span',
      [],
      [{ kind: 'span', context: 'the red door', question: '?', answers: [{ text: 'red door', start: 4 }] }],
      ['The red!'],
      { exact_match: 0, squad_f1: 2 / 3 },
    ],
    ['choice', [], [0, 1].map((label) => ({ kind: 'choice', text: 'x', choices: ['a', 'b'], label })), [0, 0], { accuracy: 0.5 }],
  ];

  it('has a case for every kind', () => expect(cases.map(([kind]) => kind).sort()).toEqual([...TASK_KINDS].sort()));

  it.each(cases)('%s', (kind, labels, rows, predictions, expected) => {
    const { values, warnings } = computeMetrics(task(kind, labels), predictions, rows);
    expect(Object.keys(values).sort()).toEqual(Object.keys(expected).sort());
    for (const [name, value] of Object.entries(expected)) expect(values[name as 'f1'], name).toBeCloseTo(value, 12);
    expect(warnings).toEqual({});
  });

  it('gives 0 and the reason where a metric has no meaning', () => {
    const report = computeMetrics(task('classification', ['n', 'y']), ['n', 'n'], classified('n', 'n'));
    expect(report.values).toMatchObject({ accuracy: 1, f1: 0, matthews: 0 });
    expect(report.warnings).toEqual({
      f1: '"y" is neither predicted nor referred to',
      matthews: 'the predictions or the references are all of one class',
    });
  });

  it('refuses predictions of another number or form', () => {
    const tagged: Row[] = [{ kind: 'tagging', tokens: ['a', 'b'], tags: ['O', 'O'] }];
    expect(() => computeMetrics(task('classification', ['n', 'y']), ['n'], classified('n', 'y'))).toThrow(
      'found 1; expected 2, one for each row',
    );
    expect(() => computeMetrics(task('classification', ['n', 'y']), [0], classified('n'))).toThrow('row 0: found 0; expected a label');
    expect(() => computeMetrics(task('tagging', ['O']), [['O']], tagged)).toThrow('row 0: found 1 tags; expected 2');
  });
});

describe('majorityScore', () => {
  it('scores the most frequent training answer on the references, the first label winning ties', () => {
    const labels = task('classification', ['n', 'y']);
    expect(majorityScore(labels, classified('y', 'n', 'n'), classified('y', 'y', 'n'))).toMatchObject({ answer: 'y', accuracy: 1 / 3 });
    expect(majorityScore(labels, classified('y', 'n'))).toMatchObject({ answer: 'n', accuracy: 0.5 });
    const sets = (...label: string[]): Row => ({ kind: 'multilabel', text: 'x', label });
    expect(majorityScore(task('multilabel', ['a', 'b']), [sets('b', 'a'), sets('a', 'b'), sets('a')])).toMatchObject({
      answer: 'a|b',
      accuracy: 2 / 3,
      metrics: { f1_micro: 10 / 11 },
    });
    expect(majorityScore(task('regression'), [])).toBeUndefined();
    const words: Row = { kind: 'tagging', tokens: ['a', 'b', 'c', 'd'], tags: ['O', 'B-x', 'O', 'O'] };
    expect(majorityScore(task('tagging', ['B-x', 'O']), [words])).toMatchObject({
      accuracy: 0.75,
      metrics: { span_f1: 0, token_accuracy: 0.75 },
    });
    expect(majorityScore(labels, classified('y', 'y', 'n'))?.metrics).toMatchObject({ matthews: 0, f1: 0.8 });
  });
});
