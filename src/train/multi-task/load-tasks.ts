import { type Files, fail } from '../../base/index.ts';
import { type Encoder, usualPooling } from '../../encoders/index.ts';
import { deviation } from '../../model/label-scales.ts';
import { hasPooler } from '../../model/model.ts';
import { headFor, pooledHead, sequenceLength } from '../../model/task-setup.ts';
import type { Pooling } from '../../nn/index.ts';
import { type Head, kindForTask, poolingOf } from '../../objectives/index.ts';
import { type Exclusions, numbersOf, onlyAnswer, type Row, type Split as SplitName, type Task } from '../../tasks/index.ts';
import type { Tokenizer } from '../../text/index.ts';
import { type LoadedRows, loadSplit } from '../load-rows.ts';
import { PUBLISHED_LENDER } from './batches.ts';
import type { MultiTaskMethod } from './method.ts';
import type { MultiTaskSettings } from './settings.ts';
import type { TaskData } from './trainer.ts';

export interface LoadingTasks {
  readonly files: Files;
  readonly method: MultiTaskMethod;
  readonly headLayers?: number;
  /** Which vector of each sequence heads read that read one; what {@link headOf} says when left out. */
  readonly pooling?: Pooling;
  /** Read at most this many rows of each split of each task, or of the splits that are named. */
  readonly limit?: number | Readonly<Partial<Record<SplitName, number>>>;
  /** Training rows to leave out, as of {@link readExclusions}; tasks that are not of this run may stand in it. */
  readonly exclude?: Exclusions;
  readonly settings: MultiTaskSettings;
}

export interface LoadedTask extends TaskData {
  readonly name: string;
  readonly test: LoadedRows | undefined;
  readonly maxLength: number;
}

interface Setting {
  readonly name: string;
  readonly encoder: Encoder;
  readonly tokenizer: Tokenizer;
  readonly note: (text: string) => void;
}

/** Reads the rows of a task and cuts them into tokens. @throws task.*, file.*; task.empty where all rows have one answer */
export async function loadTask(options: LoadingTasks, task: Task, { name, encoder, tokenizer, note }: Setting): Promise<LoadedTask> {
  const { files, limit, settings } = options;
  const most = options.method.mostTokens;
  const maxLength = sequenceLength(encoder, tokenizer, settings.maxLength, task.kind, most, most);
  const exclude = options.exclude?.get(task.name);
  const split = (which: SplitName): Promise<LoadedRows> =>
    loadSplit(task, which, {
      files,
      tokenizer,
      maxLength,
      limit: typeof limit === 'object' ? limit[which] : limit,
      exclude,
      note: (text) => note(`${name}: ${text}`),
    });
  const train = await split('train');
  const only = onlyAnswer(task, train.rows);
  if (only !== undefined)
    fail({
      code: 'task.empty',
      subject: `the training rows of ${task.name}`,
      found: `${train.rows.length} rows, all with the answer ${only}`,
      expected: 'two different answers or more',
      next: 'Leave the task out, correct its rows, or raise --limit.',
    });
  const distant = farFromZero(numbersOf(train.rows));
  if (distant !== undefined)
    note(
      `${name}: labels differ by less than a millionth of their size (${distant}), which predictions in float32 do not tell apart: subtract their mean.`,
    );
  const validation = task.files.validation ? await split('validation') : undefined;
  if (!validation) note(`${name} has no validation rows: it does not take part in choosing the weights to keep.`);
  return { name, task, maxLength, train, validation, test: task.files.test ? await split('test') : undefined };
}

const TOLD_APART = 1e-6;

function farFromZero(numbers: readonly number[]): string | undefined {
  const mean = numbers.reduce((a, b) => a + b, 0) / numbers.length;
  return deviation(numbers) < TOLD_APART * Math.abs(mean) ? `about ${mean.toPrecision(3)}` : undefined;
}

/**
 * For adapters the heads are those of single tasks; where the encoder trains, a linear on its pooled vector, as published, unless the
 * encoder is one of sentences. A model that grows keeps to what its heads read.
 */
export function headOf(
  { method, headLayers, pooling }: LoadingTasks,
  task: Task,
  name: string,
  rows: readonly Row[],
  encoder: Encoder,
): Head {
  const single = method.heads === 'single-task';
  const head = headFor(task, name, rows, headLayers ?? (single ? undefined : 1));
  if (!head.kind.pools) return head;
  const earlier = method.base?.heads.find(({ kind }) => kind.pools);
  const published = single ? undefined : hasPooler(encoder) ? 'pooler' : 'first';
  return pooledHead(head, encoder, pooling ?? (earlier ? poolingOf(earlier.config) : (usualPooling(encoder.sentence) ?? published)));
}

const WILD = 100;

/** Says where a task would hardly train beside another. */
export function noteSizes(
  tasks: readonly LoadedTask[],
  { sampler, regressionScore }: MultiTaskSettings,
  note: (text: string) => void,
): void {
  if (sampler === 'uncertainty' && regressionScore === 'published' && tasks.every(({ name }) => name !== PUBLISHED_LENDER))
    for (const { name, task } of tasks)
      if (!kindForTask(task.kind).entropy)
        note(
          `${name} scores 0, and hardly trains: as published, numbers take the scores of a task named ${PUBLISHED_LENDER}, and there is none.`,
        );
  const sorted = tasks.toSorted((a, b) => a.train.rows.length - b.train.rows.length);
  const [smallest, largest] = [sorted[0], sorted.at(-1)] as [LoadedTask, LoadedTask];
  const ratio = largest.train.rows.length / smallest.train.rows.length;
  if (sampler === 'proportional' && ratio > WILD)
    note(
      `${largest.name} has ${Math.round(ratio)} times the rows of ${smallest.name}, which trains as much less: --sampler annealed or temperature evens that out.`,
    );
}
