import { fail, nearest } from '../base/index.ts';
import { asName } from '../checkpoint/index.ts';
import { taskForHead } from '../model/head-task.ts';
import { checkSequences, prepare } from '../model/prepare.ts';
import { sequenceLength } from '../model/task-setup.ts';
import type { Head, TaskUnit } from '../objectives/index.ts';
import { loadRows, type Row, type Split, type Task } from '../tasks/index.ts';
import { type AnsweringModel, type AnsweringOptions, tokenizerIn } from './answer-tasks.ts';
import { type Evaluation, evaluationOf } from './evaluation.ts';
import { createPredictor } from './predictor.ts';

export interface TaskEvaluation extends Evaluation {
  readonly task: string;
  readonly kind: Task['kind'];
  /** The metric that decides, of `metrics`. */
  readonly metric: Task['metric'];
}

export interface MultiTaskEvaluation {
  readonly tasks: readonly TaskEvaluation[];
  /** Of each task's deciding metric. */
  readonly mean: number;
}

export interface MultiTaskEvaluationOptions extends Omit<AnsweringOptions, 'columns' | 'place'> {
  /** Read at most this many rows of each task. */
  readonly limit?: number;
}

/**
 * Scores a model of several tasks on one split of some of them, each beside its most frequent answer.
 * @throws usage.value for a task that the model has not learnt, or given twice; task.card, task.label for another kind or
 * labels than it was trained with; task.*, file.*
 */
export async function evaluateTasks(
  saved: AnsweringModel,
  tasks: readonly Task[],
  split: Split,
  { files, engine, limit, maxLength, onNote, onProgress }: MultiTaskEvaluationOptions,
): Promise<MultiTaskEvaluation> {
  const { attachment, encoder, heads, tensors, training } = saved;
  const ids = tasks.map((task) => idOfTask(task, heads));
  const again = tasks.find((_, i) => ids.indexOf(ids[i] as number) !== i);
  if (again) fail({ code: 'usage.value', subject: '--task', found: `${again.name} twice`, expected: 'each task once' });
  const tokenizer = await tokenizerIn(files, encoder.folder);

  const sets: { readonly task: Task; readonly rows: readonly Row[] }[] = [];
  const units: TaskUnit[] = [];
  let counted = 0;
  for (const [i, asked] of tasks.entries()) {
    const id = ids[i] as number;
    const head = heads[id] as Head;
    const task = taskForHead(asked, head);
    const rows = await loadRows(files, task, split, { limit });
    const tokens = sequenceLength(encoder, tokenizer, maxLength, task.kind, training[id]?.maxLength, attachment.mostTokens);
    const prepared = prepare(rows, { task, tokenizer, maxLength: tokens, kind: head.kind });
    checkSequences(prepared.units, head);
    if (prepared.truncated > 0)
      onNote?.(`${task.name}: ${prepared.truncated} of ${rows.length} rows are longer than ${tokens} tokens and were cut.`);
    const first = counted;
    units.push(...prepared.units.map((unit) => ({ ...unit, row: first + unit.row, task: id })));
    sets.push({ task, rows });
    counted += rows.length;
  }

  const predictor = await createPredictor(engine, saved, { fixed: tensors, steady: saved.grows });
  try {
    const answers = await predictor.answers(
      sets.flatMap(({ rows }) => rows),
      { units, tokenizer },
      onProgress,
    );
    const results: TaskEvaluation[] = [];
    let place = 0;
    for (const { task, rows } of sets) {
      const evaluation = await evaluationOf(files, task, rows, answers.slice(place, place + rows.length), limit);
      place += rows.length;
      results.push({ task: task.name, kind: task.kind, metric: task.metric, ...evaluation });
    }
    const mean = results.reduce((sum, { metric, metrics }) => sum + (metrics[metric] as number), 0) / results.length;
    return { tasks: results, mean };
  } finally {
    await predictor.release();
  }
}

/** Which of a model's heads a task is answered by, by its name. @throws usage.value */
export function idOfTask({ name }: Task, heads: readonly Head[]): number {
  const names = heads.map((head) => head.name);
  const id = names.findIndex((learnt) => learnt === name || learnt === asName(name));
  if (id >= 0) return id;
  const near = nearest(name, names);
  return fail({
    code: 'usage.value',
    subject: '--task',
    found: `the task ${name}`,
    expected: `one of the tasks that the model has learnt: ${names.join(', ')}`,
    next: near
      ? `Did you mean ${near}?`
      : 'A folder is called as its card says, a single file by its own name: call it NAME.jsonl or NAME.csv.',
  });
}
