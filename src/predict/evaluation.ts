import { defined, type Files } from '../base/index.ts';
import { computeMetrics, type MajorityScore, majorityScore } from '../metrics/index.ts';
import { loadRows, type Row, type Task } from '../tasks/index.ts';
import type { Answer } from './answer.ts';

/** What a model scores on labelled rows of one task. */
export interface Evaluation {
  readonly rows: number;
  readonly metrics: Readonly<Record<string, number>>;
  /** Why a metric is undefined on these rows. */
  readonly warnings: Readonly<Record<string, string>>;
  /** What always giving the most frequent answer scores; absent for regression and spans. */
  readonly majority?: MajorityScore;
}

/**
 * What answers to the rows of a split score, beside the most frequent answer of the task's training rows, of which at most `limit`
 * are read; of the rows themselves where it has none. @throws task.*, file.*
 */
export async function evaluationOf(
  files: Files,
  task: Task,
  rows: readonly Row[],
  answers: readonly Answer[],
  limit: number | undefined,
): Promise<Evaluation> {
  const { values, warnings } = computeMetrics(task, predictionsOf(answers), rows);
  const training = task.files.train ? await loadRows(files, task, 'train', { limit }) : rows;
  return { rows: rows.length, metrics: values, warnings, ...defined({ majority: majorityScore(task, rows, training) }) };
}

/** What answers score by each metric of the task, by its name. */
export function metricsOf(task: Task, rows: readonly Row[], answers: readonly Answer[]): Readonly<Record<string, number>> {
  return computeMetrics(task, predictionsOf(answers), rows).values;
}

function predictionsOf(answers: readonly Answer[]): Answer['prediction'][] {
  return answers.map(({ prediction }) => prediction);
}
