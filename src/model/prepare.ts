import { fail, MultigraftError } from '../base/index.ts';
import { type Head, type HeadKind, kindForTask, type Unit } from '../objectives/index.ts';
import type { PredictionRow, Task } from '../tasks/index.ts';
import type { Tokenizer } from '../text/index.ts';

export interface PrepareOptions {
  readonly task: Pick<Task, 'kind' | 'labels'>;
  readonly tokenizer: Tokenizer;
  /** Tokens per sequence at most, special tokens included. */
  readonly maxLength: number;
  /** Tokens that windows over a long context share. */
  readonly stride?: number;
  /** The kind of head that answers; the usual one of the task's kind when left out. */
  readonly kind?: HeadKind;
}

export interface Prepared {
  readonly units: readonly Unit[];
  readonly rows: number;
  /** Rows that lost tokens at `maxLength`. */
  readonly truncated: number;
  readonly tokenizer: Tokenizer;
}

/** Tokenises rows into units, in order. @throws text.too-long, usage.value naming the row */
export function prepare(rows: readonly PredictionRow[], { task, kind = kindForTask(task.kind), ...options }: PrepareOptions): Prepared {
  const units = rows.flatMap((row, index) => {
    try {
      return kind.units(row, { ...options, labels: task.labels }).map(
        (made): Unit => ({
          ...made,
          row: index,
          length: Math.max(...made.encodings.map(({ inputIds }) => inputIds.length)),
        }),
      );
    } catch (error) {
      if (!(error instanceof MultigraftError)) throw error;
      return fail({ ...error.problem, subject: `row ${index + 1}, ${error.problem.subject}`, cause: error });
    }
  });
  const cut = units.filter(({ encodings }) => !kind.windows && encodings.some(({ truncated }) => truncated > 0));
  return { units, rows: rows.length, truncated: cut.length, tokenizer: options.tokenizer };
}

/** The sequences of a unit are as many as its head wants: a choice task's rows have the choices of its head. @throws task.row */
export function checkSequences(units: readonly Unit[], { name, kind, config }: Head): void {
  const wanted = kind.sequences?.(config) ?? 1;
  const wrong = units.find((unit) => unit.encodings.length !== wanted);
  if (wrong)
    fail({
      code: 'task.row',
      subject: `row ${wrong.row + 1}`,
      found: `${wrong.encodings.length} choices`,
      expected: `${wanted}, as many as the head '${name}' was made for`,
    });
}
