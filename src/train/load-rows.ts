import { defined, type Files } from '../base/index.ts';
import { type Prepared, prepare } from '../model/prepare.ts';
import { loadRows, type Row, type Split, type Task } from '../tasks/index.ts';
import type { Tokenizer } from '../text/index.ts';

/** Rows with the units that are made of them. */
export interface LoadedRows {
  readonly rows: readonly Row[];
  readonly prepared: Prepared;
}

interface LoadingRows {
  readonly files: Files;
  readonly tokenizer: Tokenizer;
  /** Tokens per sequence. */
  readonly maxLength: number;
  /** Read at most this many rows. */
  readonly limit: number | undefined;
  /** Training rows to leave out, from 0. */
  readonly exclude: ReadonlySet<number> | undefined;
  readonly note: (text: string) => void;
}

/** Reads the rows of a split and cuts them into tokens. @throws task.*, file.*, text.* */
export async function loadSplit(task: Task, split: Split, options: LoadingRows): Promise<LoadedRows> {
  const { files, tokenizer, maxLength, limit, exclude, note } = options;
  const rows = await loadRows(files, task, split, defined({ limit, exclude: split === 'train' ? exclude : undefined }));
  const prepared = prepare(rows, { task, tokenizer, maxLength });
  if (prepared.truncated) note(`${prepared.truncated} of ${rows.length} ${split} rows are longer than ${maxLength} tokens and were cut.`);
  return { rows, prepared };
}
