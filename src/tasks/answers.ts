import { classBalance } from './report.ts';
import type { Prediction, Row, Task, TaskKind } from './types.ts';

/** What answers of a kind of task look like. */
export interface AnswerForm {
  /** Of a prediction, in JavaScript and in words. */
  readonly type: 'string' | 'number' | 'object';
  readonly words: string;
  /** Whether an answer is a set of labels. */
  readonly sets: boolean;
  /** What of an answer is counted as classes: the whole, or each of its tags; absent where there are none. */
  parts?(answer: Prediction): readonly string[];
  /** The answer to a row that always giving one part is; `given` are answers in which it occurs. */
  always(part: string, row: Row, given: readonly Prediction[]): Prediction;
}

const whole = (answer: Prediction) => [keyOf(answer)];

export const ANSWER_FORMS: Readonly<Record<TaskKind, AnswerForm>> = {
  classification: { type: 'string', words: 'a label', sets: false, parts: whole, always: (part) => part },
  multilabel: {
    type: 'object',
    words: 'a list of labels',
    sets: true,
    parts: whole,
    always: (part, _, given) => given.find((answer) => keyOf(answer) === part) ?? [],
  },
  regression: { type: 'number', words: 'a number', sets: false, always: (part) => part },
  tagging: {
    type: 'object',
    words: 'a list of tags',
    sets: false,
    parts: (answer) => answer as readonly string[],
    always: (part, row) => (answerOf(row) as readonly string[]).map(() => part),
  },
  span: { type: 'string', words: 'the text of the answer', sets: false, always: (part) => part },
  choice: { type: 'number', words: 'the index of a choice', sets: false, parts: whole, always: Number },
};

/** The answer of a labelled row, in the form of a prediction. */
export function answerOf(row: Row): Prediction {
  switch (row.kind) {
    case 'tagging':
      return row.tags;
    case 'span':
      return row.answers[0]?.text ?? '';
    default:
      return row.label;
  }
}

/** Every text that counts as a right answer; none but for spans. */
export function rightTexts(row: Row): readonly string[] {
  return row.kind === 'span' ? row.answers.map(({ text }) => text) : [];
}

/** How many entries a prediction for a row must have; undefined where that is not settled. */
export function entriesOf(row: Row): number | undefined {
  return row.kind === 'tagging' ? row.tags.length : undefined;
}

/** Labels that are numbers. */
export function numbersOf(rows: readonly Row[]): readonly number[] {
  return rows.flatMap((row) => (row.kind === 'regression' ? [row.label] : []));
}

/** The answer that all rows have; undefined where there are several, and for spans. */
export function onlyAnswer(task: Task, rows: readonly Row[]): string | undefined {
  const numbers = new Set(numbersOf(rows));
  if (task.kind === 'regression') return numbers.size === 1 ? String([...numbers][0]) : undefined;
  const sets = new Set(rows.flatMap((row) => (row.kind === 'multilabel' ? [row.label.toSorted().join(', ')] : [])));
  if (task.kind === 'multilabel') return sets.size === 1 ? `[${[...sets][0]}]` : undefined;
  const balance = classBalance(task, rows);
  return balance?.majority === 1 ? Object.keys(balance.counts).find((label) => balance.counts[label]) : undefined;
}

/** Equal for equal answers; of labels the order does not count. */
function keyOf(answer: Prediction): string {
  return typeof answer === 'object' ? [...answer].sort().join('|') : String(answer);
}
