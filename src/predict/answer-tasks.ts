import { type Files, fail, MultigraftError, nearest, type Tensor } from '../base/index.ts';
import { asName, type HeadTraining } from '../checkpoint/index.ts';
import { answerableRows, isUnpaired, taskOfHead } from '../model/head-task.ts';
import type { Model } from '../model/model.ts';
import { prepare } from '../model/prepare.ts';
import { sequenceLength } from '../model/task-setup.ts';
import type { TaskUnit } from '../objectives/index.ts';
import type { Engine } from '../session/session.ts';
import type { Field, Place, PredictionRow } from '../tasks/index.ts';
import { loadTokenizer, type Tokenizer } from '../text/index.ts';
import type { Answer } from './answer.ts';
import { createPredictor } from './predictor.ts';
import { rowInWords } from './words.ts';

type Columns = Readonly<Partial<Record<Field, string>>>;

/** A trained model of several tasks, as it lies in a folder. */
export interface AnsweringModel extends Model {
  /** By full name: everything that is not the encoder's. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** How each task was trained, as far as that is known. */
  readonly training: readonly HeadTraining[];
  /** Whether tasks can be added to it: what it answers to a task may then not depend on which others there are. */
  readonly grows: boolean;
}

export interface AnsweringOptions {
  readonly files: Files;
  readonly engine: Engine;
  /** Which columns hold what, of all rows or of each. */
  readonly columns?: Columns | ((index: number) => Columns);
  /** Tokens per sequence, in place of those of the training. */
  readonly maxLength?: number;
  readonly place?: (index: number) => Place;
  readonly onNote?: (text: string) => void;
  readonly onProgress?: (done: number, of: number) => void;
}

/** Rows of any of the model's tasks, which each names under "task", answered in order. @throws task.row, text.* naming the row */
export async function answerTasks(
  saved: AnsweringModel,
  rows: readonly Readonly<Record<string, unknown>>[],
  { files, engine, columns = {}, maxLength, place = (i) => ({ file: 'rows', line: i + 1 }), onNote, onProgress }: AnsweringOptions,
): Promise<Answer[]> {
  const { attachment, encoder, heads, tensors, training } = saved;
  const tokenizer = await tokenizerIn(files, encoder.folder);
  const limits = heads.map((head, task) => {
    const usual = training[task]?.maxLength ?? head.kind.usualLength;
    return sequenceLength(encoder, tokenizer, maxLength, head.kind.task, usual, attachment.mostTokens);
  });
  const checked: PredictionRow[] = [];
  const units: TaskUnit[] = [];
  let cut = 0;
  let split = false;
  const unpaired: string[] = [];
  rows.forEach((row, i) => {
    const columnsOfRow = typeof columns === 'function' ? columns(i) : columns;
    const task = taskOfRow(row, saved, place(i));
    const head = heads[task] as (typeof heads)[number];
    const asked = { ...taskOfHead(head), columns: columnsOfRow };
    const words = rowInWords(row, head.kind, columnsOfRow);
    split ||= words !== undefined;
    const tokens = limits[task] as number;
    const answering = { task: asked, head, adapter: undefined, vocabulary: encoder.config.vocabulary, tokens };
    const [typed] = answerableRows([words ?? row], answering, () => place(i)) as [PredictionRow];
    const prepared = inPlace(place(i), () => prepare([typed], { task: asked, tokenizer, maxLength: tokens, kind: head.kind }));
    cut += prepared.truncated;
    if (training[task]?.textPairs && isUnpaired(typed)) unpaired.push(columnsOfRow.textPair ?? 'textPair');
    checked.push(typed);
    units.push(...prepared.units.map((unit) => ({ ...unit, row: i, task })));
  });
  if (split) onNote?.('Texts were split at white space for tasks that answer one word at a time. Give "tokens" to split them yourself.');
  if (unpaired.length > 0)
    onNote?.(`Rows without "${unpaired[0]}", of tasks that learnt from pairs, are answered from one text: ${unpaired.length}.`);
  if (cut > 0) onNote?.(`${cut} of ${rows.length} rows are longer than their task allows and were cut.`);
  const predictor = await createPredictor(engine, saved, { fixed: tensors, steady: saved.grows });
  try {
    return await predictor.answers(checked, { units, tokenizer }, onProgress);
  } finally {
    await predictor.release();
  }
}

/** What goes wrong with a row by itself is told with the row's own place. */
function inPlace<T>({ file, line }: Place, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof MultigraftError)) throw error;
    return fail({ ...error.problem, subject: error.problem.subject.replace(/^row 1\b/, `${file}:${line}`) });
  }
}

/** Whether a row says of which task it is: an empty cell of a table does not. */
export function namesTask({ task }: Readonly<Record<string, unknown>>): boolean {
  return task !== undefined && task !== null && task !== '';
}

/** @throws task.row */
function taskOfRow(row: Readonly<Record<string, unknown>>, { heads }: AnsweringModel, { file, line }: Place): number {
  const names = heads.map(({ name }) => name);
  const named = namesTask(row) ? row.task : undefined;
  if (named === undefined && names.length === 1) return 0;
  const task = names.findIndex((name) => name === named || (typeof named === 'string' && name === asName(named)));
  if (task >= 0) return task;
  const near = typeof named === 'string' ? nearest(named, names) : undefined;
  return fail({
    code: 'task.row',
    subject: `${file}:${line}, column "task"`,
    found: named === undefined ? 'none' : JSON.stringify(named),
    expected: `one of the tasks that the model has learnt: ${names.join(', ')}`,
    next: near ? `Did you mean "${near}"?` : 'Give rows with --input: {"task": …, "text": …}.',
  });
}

/** The tokenizer of a folder; models of token ids alone, without one, are answered too. @throws text.tokenizer for a damaged one */
export async function tokenizerIn(files: Files, folder: string): Promise<Tokenizer> {
  try {
    return await loadTokenizer(files, folder);
  } catch (error) {
    if (error instanceof MultigraftError && error.code === 'text.tokenizer' && error.problem.subject === folder)
      return withoutTokenizer(folder);
    throw error;
  }
}

function withoutTokenizer(folder: string): Tokenizer {
  const refuse = (): never =>
    fail({
      code: 'text.tokenizer',
      subject: folder,
      found: 'no tokenizer.json and no vocab.txt',
      expected: 'a tokenizer, or rows with "inputIds"',
    });
  return {
    encode: refuse,
    encodeWords: refuse,
    encodeWindows: refuse,
    tokenOf: () => undefined,
    idOf: () => undefined,
    vocabularySize: 0,
    modelMaxLength: Number.POSITIVE_INFINITY,
    padId: -1,
    clsId: -1,
    sepId: -1,
    maskId: -1,
    unkId: -1,
    padToken: undefined,
    specialTokens: { single: 0, pair: 0 },
  };
}
