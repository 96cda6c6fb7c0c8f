import { type Files, fail } from '../base/index.ts';
import { checkRow, loadRows, type Row, type Split, type Task } from '../tasks/index.ts';
import type { TrainAdapterOptions } from './options.ts';

/** The labelled rows of a training: those given, or those of the task's files. @throws task.*, file.* */
export async function readSplits(
  files: Files,
  task: Task,
  { rows, validationRows, limit }: { [Key in 'rows' | 'validationRows' | 'limit']: TrainAdapterOptions[Key] | undefined },
): Promise<{ readonly train: readonly Row[]; readonly validation: readonly Row[] | undefined }> {
  const read = (which: Split, given: TrainAdapterOptions['rows']) =>
    given ? labelledRows(task, given, which) : loadRows(files, task, which, { limit });
  const train = await read('train', rows);
  return { train, validation: validationRows || (task.files.validation && !rows) ? await read('validation', validationRows) : undefined };
}

function labelledRows(task: Task, rows: readonly Readonly<Record<string, unknown>>[], which: Split): Row[] {
  if (rows.length === 0) fail({ code: 'task.empty', subject: `${which} rows`, found: 'none', expected: 'at least one' });
  return rows.map((row, i) => checkRow(task, row, { file: `${which} rows`, line: i + 1 }));
}
