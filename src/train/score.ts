import { computeMetrics } from '../metrics/index.ts';
import type { Answer } from '../predict/answer.ts';
import type { Row, Task } from '../tasks/index.ts';

/** What answers score by each metric of the task, by its name. */
export function metricsOf(task: Task, rows: readonly Row[], answers: readonly Answer[]): Record<string, number> {
  const predictions = answers.map(({ prediction }) => prediction);
  return computeMetrics(task, predictions, rows).values as Record<string, number>;
}
