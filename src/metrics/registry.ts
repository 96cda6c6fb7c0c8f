import { fail } from '../base/index.ts';
import { ANSWER_FORMS, answerOf, entriesOf, type MetricName, type Prediction, type Row, rightTexts, type Task } from '../tasks/index.ts';
import { accuracy, binaryF1, macroF1, matthews, microF1, multilabelMacroF1, multilabelMicroF1, subsetAccuracy } from './classification.ts';
import { pearson, spearman } from './correlation.ts';
import type { Score } from './score.ts';
import { spanScores } from './spans.ts';
import { exactMatch, squadF1 } from './squad.ts';

type Metric = (task: Task, predictions: readonly Prediction[], references: readonly Row[]) => Score;

/** Every metric by name; of each, more is better. The binary F1 is of the second label of the label set. */
const METRICS: Readonly<Record<MetricName, Metric>> = {
  accuracy: (task, predictions, rows) =>
    ANSWER_FORMS[task.kind].sets
      ? subsetAccuracy(sets(predictions), sets(answers(rows)))
      : accuracy(singles(predictions), singles(answers(rows))),
  f1: (task, predictions, rows) => binaryF1(names(predictions), names(answers(rows)), task.labels[1] ?? ''),
  f1_macro: (task, predictions, rows) =>
    ANSWER_FORMS[task.kind].sets
      ? multilabelMacroF1(sets(predictions), sets(answers(rows)), task.labels)
      : macroF1(names(predictions), names(answers(rows))),
  f1_micro: (task, predictions, rows) =>
    ANSWER_FORMS[task.kind].sets
      ? multilabelMicroF1(sets(predictions), sets(answers(rows)), task.labels)
      : microF1(names(predictions), names(answers(rows))),
  matthews: (_, predictions, rows) => matthews(names(predictions), names(answers(rows))),
  pearson: (_, predictions, rows) => pearson(numbers(predictions), numbers(answers(rows))),
  spearman: (_, predictions, rows) => spearman(numbers(predictions), numbers(answers(rows))),
  token_accuracy: (_, predictions, rows) => accuracy(sets(predictions).flat(), sets(answers(rows)).flat()),
  span_f1: (_, predictions, rows) => spanScores(sets(predictions), sets(answers(rows))).f1,
  span_precision: (_, predictions, rows) => spanScores(sets(predictions), sets(answers(rows))).precision,
  span_recall: (_, predictions, rows) => spanScores(sets(predictions), sets(answers(rows))).recall,
  exact_match: (_, predictions, rows) => exactMatch(names(predictions), rows.map(rightTexts)),
  squad_f1: (_, predictions, rows) => squadF1(names(predictions), rows.map(rightTexts)),
};

interface MetricReport {
  readonly values: Readonly<Record<string, number>>;
  /** For each metric that is undefined on these rows (its value is then 0): why. */
  readonly warnings: Readonly<Record<string, string>>;
}

/**
 * Every metric of a task, the primary one first. `predictions[i]` answers `references[i]`.
 * Throws `usage.value` when the lists, or the tags of a row, differ in number or form.
 */
export function computeMetrics(task: Task, predictions: readonly Prediction[], references: readonly Row[]): MetricReport {
  checkPredictions(task, predictions, references);
  const values: Record<string, number> = {};
  const warnings: Record<string, string> = {};
  for (const name of task.metrics) {
    const score = METRICS[name](task, predictions, references);
    values[name] = score.value;
    if (score.undefined !== undefined) warnings[name] = score.undefined;
  }
  return { values, warnings };
}

export interface MajorityScore {
  /** The most frequent answer of the training rows; of several, the first of the label set. */
  readonly answer: string;
  /** Share of the references it gets right (tagging: of the tokens; multilabel: of the rows with that single label). */
  readonly accuracy: number;
  /** What that answer scores by each metric of the task; 0 where it is undefined. */
  readonly metrics: Readonly<Record<string, number>>;
}

/** What always giving the most frequent answer scores: the floor for every metric. `undefined` for regression and span. */
export function majorityScore(task: Task, references: readonly Row[], training: readonly Row[] = references): MajorityScore | undefined {
  const { parts, always, sets: several } = ANSWER_FORMS[task.kind];
  if (!parts) return undefined;
  const flat = (rows: readonly Row[]) => answers(rows).flatMap(parts);
  const counts = new Map<string, number>(several ? [] : task.labels.map((label) => [label, 0]));
  for (const answer of flat(training)) counts.set(answer, (counts.get(answer) ?? 0) + 1);
  const [answer = ''] = [...counts].reduce((best, entry) => (entry[1] > best[1] ? entry : best), ['', -1] as [string, number]);
  const asked = flat(references);
  const seen = answers(training);
  const constant = references.map((row) => always(answer, row, seen));
  const { values } = computeMetrics(task, constant, references);
  return { answer, accuracy: accuracy(new Array(asked.length).fill(answer), asked).value, metrics: values };
}

function checkPredictions(task: Task, predictions: readonly Prediction[], references: readonly Row[]): void {
  const subject = `Predictions for ${task.name}`;
  if (predictions.length !== references.length)
    fail({ code: 'usage.value', subject, found: `${predictions.length}`, expected: `${references.length}, one for each row` });
  for (const [i, prediction] of predictions.entries()) {
    const row = references[i] as Row;
    const form = ANSWER_FORMS[row.kind];
    if (typeof prediction !== form.type)
      fail({ code: 'usage.value', subject: `${subject}, row ${i}`, found: JSON.stringify(prediction), expected: form.words });
    const entries = entriesOf(row);
    if (entries !== undefined && (prediction as readonly string[]).length !== entries)
      fail({
        code: 'usage.value',
        subject: `${subject}, row ${i}`,
        found: `${(prediction as readonly string[]).length} tags`,
        expected: `${entries}`,
      });
  }
}

function answers(rows: readonly Row[]): Prediction[] {
  return rows.map(answerOf);
}

// checkPredictions has seen the forms; these only tell the compiler.
const singles = (values: readonly Prediction[]) => values as readonly (string | number)[];
const names = (values: readonly Prediction[]) => values as readonly string[];
const numbers = (values: readonly Prediction[]) => values as readonly number[];
const sets = (values: readonly Prediction[]) => values as readonly (readonly string[])[];
