import { fail, MultigraftError } from '../base/errors.ts';
import { type Files, joinPath } from '../base/files.ts';
import type { Tensor } from '../base/tensor.ts';
import { asName, checkName, type HeadPackage } from '../checkpoint/index.ts';
import { type Encoder, loadEncoder } from '../encoders/index.ts';
import { computeMetrics, majorityScore } from '../metrics/index.ts';
import { prepare } from '../model/data.ts';
import { type Model, trainableParameters } from '../model/model.ts';
import { headFor, sequenceLength, trainingOf, withDropout } from '../model/task-setup.ts';
import type { Head } from '../objectives/index.ts';
import type { Answer } from '../predict/answer.ts';
import { createPredictor } from '../predict/predictor.ts';
import type { Engine } from '../session/session.ts';
import { classBalance, loadRows, type Row, type Task } from '../tasks/index.ts';
import { loadTokenizer } from '../text/index.ts';
import { modelCard, type SavedAs, type TrainTaskResult } from './card.ts';
import { digestOfEncoder, digestOfRows } from './fingerprint.ts';
import { type Log, openLog } from './log.ts';
import { checkOutputFolder, METRICS, recordWrites, removeEarlier } from './output-folder.ts';
import type { TrainEvent, TrainSettings } from './settings.ts';
import { runState } from './state.ts';
import { type Saved, type Split, trainModel } from './trainer.ts';

export interface RunTaskOptions {
  readonly files: Files;
  readonly engine: Engine;
  /** Folder of the encoder. */
  readonly model: string;
  readonly task: Task;
  /** Name of what is trained and of its head; the task's when left out, with _ for dots and slashes. */
  readonly name?: string;
  /** Where everything goes; nothing is written without it. */
  readonly output?: string;
  readonly resume?: boolean;
  /** An earlier result in `output`, finished or not, is replaced; without it such a folder is refused. */
  readonly overwrite?: boolean;
  readonly headLayers?: number;
  /** Read at most this many rows of each split. */
  readonly limit?: number;
  /** Training rows to leave out, from 0. */
  readonly exclude?: ReadonlySet<number>;
  readonly settings: TrainSettings;
  /** Where steps and evaluations are logged, one JSON object a line. */
  readonly log?: string;
  readonly onEvent?: (event: TrainEvent) => void;
  readonly signal?: AbortSignal;
}

/** What a run trains and what becomes of it; everything else is the same for all of them. */
export interface Plan {
  /** What the user wrote, for cards and logs. */
  readonly text: string;
  /** What decides the result beside the options that all runs have; a run resumes with the same only. */
  readonly decisive?: Readonly<Record<string, unknown>>;
  /** The task as this run reads it: in the words of a teacher. Runs before any row is read. */
  task?(task: Task, encoder: Encoder): Promise<Task>;
  /** The model to train, and what it begins with. */
  model(encoder: Encoder, head: Head, note: (text: string) => void): Promise<Start>;
  /** Other targets for the training rows than their labels: a teacher's answers. */
  teach?(train: Split): Promise<Split>;
  /** Is shown the answers at the end, with what they let one look at. */
  onAnswers?(split: 'validation' | 'test', answers: readonly Answer[]): void;
  /** What the folder is to those who use it. */
  readonly saves: SavedAs;
  /** Writes what was learnt, by parameter name. */
  save(files: Files, output: string, trained: Trained): Promise<void>;
}

export interface Start {
  readonly model: Model;
  /** First values that are not drawn. */
  readonly initial: ReadonlyMap<string, Tensor>;
  /** Digests of what was read from folders, by what it is: a run resumes with the same content only, wherever it lies. */
  readonly contents?: Readonly<Record<string, unknown>>;
}

export interface Trained {
  readonly model: Model;
  /** The head with its weights. */
  readonly head: HeadPackage;
  /** Everything else that trained. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** The step that it is of. */
  readonly step: number;
}

/** Trains on one task, scores it, and saves what was learnt with a card and its metrics. */
export async function runTask(options: RunTaskOptions, plan: Plan): Promise<TrainTaskResult> {
  const { files, engine, settings, output, onEvent, signal } = options;
  const started = performance.now();
  const name = checkName(options.name ?? asName(options.task.name), '--name', 'Choose another name.', 'usage.value');
  if (output !== undefined) await checkOutputFolder(files, output, options);
  const encoder = await loadEncoder(files, options.model, { checkFinite: true });
  const tokenizer = await loadTokenizer(files, options.model);
  const note = (text: string) => onEvent?.({ type: 'note', text });
  for (const text of encoder.notes) note(text);
  const task = (await plan.task?.(options.task, encoder)) ?? options.task;

  const maxLength = sequenceLength(encoder, tokenizer, settings.maxLength, task.kind);
  const load = async (split: 'train' | 'validation' | 'test'): Promise<Split> => {
    const rows = await loadRows(files, task, split, {
      ...(options.limit && { limit: options.limit }),
      ...(split === 'train' && options.exclude && { exclude: options.exclude }),
    });
    const prepared = prepare(rows, { task, tokenizer, maxLength });
    if (prepared.truncated) note(`${prepared.truncated} of ${rows.length} ${split} rows are longer than ${maxLength} tokens and were cut.`);
    return { rows, prepared };
  };
  const train = await load('train');
  const validation = task.files.validation ? await load('validation') : undefined;
  const test = task.files.test ? await load('test') : undefined;
  for (const text of describeClasses(task, train.rows)) note(text);
  if (!validation)
    note(`No validation rows: the last weights are kept${test ? ', and only the test rows are scored' : ' and nothing is scored'}.`);

  const head = headFor(task, name, train.rows, options.headLayers);
  const { model, initial, contents } = await plan.model(withDropout(encoder, settings.dropout), head, note);
  const { saveEvery: _, ...decisive } = settings;
  const run = { model: encoder.name, task: task.name, method: plan.text, name, rows: train.rows.length, ...decisive };
  const logPath = options.log ?? (output === undefined ? undefined : joinPath(output, 'log.jsonl'));
  const fingerprint = {
    ...run,
    head: head.config,
    ...plan.decisive,
    ...contents,
    log: options.log ?? null,
    encoder: await digestOfEncoder(encoder),
    trainingRows: await digestOfRows(train.prepared),
    validationRows: validation ? await digestOfRows(validation.prepared) : null,
  };
  const state = output === undefined ? undefined : runState(files, output, fingerprint);
  if (options.resume && !state)
    fail({ code: 'usage.value', subject: '--resume', found: 'no --output', expected: 'the folder of the run to resume' });
  const before = options.resume ? await state?.load() : undefined;
  const resume = before?.saved;
  const taught = plan.teach ? await plan.teach(train) : train;
  let log: Log | undefined;
  let begun: 'no' | 'files' | 'steps' = 'no';
  const result = await trainModel({
    engine,
    model,
    task,
    train: taught,
    validation,
    settings,
    initial,
    ...(resume && { resume }),
    ...(signal && { signal }),
    async begin() {
      if (!before && (await state?.begin())) note(`The unfinished run in ${output} is replaced.`);
      begun = 'files';
      log = logPath === undefined ? undefined : await openLog(files, logPath, before?.logLength ?? 0);
    },
    async onEvent(event) {
      begun = 'steps';
      await log?.write(event);
      onEvent?.(event);
    },
    ...(state && { save: async (saved: Saved) => state.save(saved, await (log?.length() ?? 0)) }),
  }).catch(async (error) => {
    if (begun === 'files' && !before && !isStop(error)) await state?.remove();
    throw error;
  });

  const metrics: { validation?: Record<string, number>; test?: Record<string, number> } = {};
  const judged = { validation, test };
  const predictor = await createPredictor(
    engine,
    model,
    { current: () => result.parameters, steps: () => result.best?.step ?? result.steps },
    { observe: plan.onAnswers !== undefined },
  );
  for (const split of ['validation', 'test'] as const) {
    const data = judged[split];
    if (!data) continue;
    const answers = await predictor.answers(data.rows, data.prepared);
    plan.onAnswers?.(split, answers);
    metrics[split] = computeMetrics(
      task,
      answers.map((answer) => answer.prediction),
      data.rows,
    ).values as Record<string, number>;
  }
  await predictor.release();
  const last = test ?? validation;
  const summary: TrainTaskResult = {
    name,
    task: task.name,
    method: plan.text,
    parameters: trainableParameters(model).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
    steps: result.steps,
    best: result.best,
    stoppedEarly: result.stoppedEarly,
    metrics,
    majority: last && majorityScore(task, last.rows, train.rows)?.accuracy,
    seconds: (performance.now() - started) / 1000,
  };
  if (output !== undefined) {
    const written = recordWrites(files);
    const pick = (wanted: boolean) => new Map([...result.parameters].filter(([key]) => key.startsWith(`heads.${head.name}.`) === wanted));
    const packed = { ...head, tensors: pick(true), training: trainingOf(train.rows, maxLength) };
    await plan.save(written.files, output, { model, head: packed, tensors: pick(false), step: result.best?.step ?? result.steps });
    const names = written.namesIn(output);
    await removeEarlier(files, output, names);
    await files.write(joinPath(output, METRICS), `${JSON.stringify({ ...summary, settings: run, files: names }, null, 1)}\n`);
    await files.write(
      joinPath(output, 'README.md'),
      modelCard(summary, task, encoder, { ...settings, learningRate: settings.learningRate ?? model.attachment.learningRate }, plan.saves),
    );
    await state?.remove();
    await removePartial(files, output);
  }
  return summary;
}

/** Whether a run was stopped from outside. Anything else that ends it before its first step leaves nothing to go on with. */
export function isStop(error: unknown): boolean {
  return error instanceof MultigraftError && error.code === 'train.stopped';
}

/** Files that a kill left half-written under a name of their own. */
export async function removePartial(files: Files, folder: string): Promise<void> {
  for (const name of await files.list(folder)) if (/\.\d+\.partial$/.test(name)) await files.remove(joinPath(folder, name));
}

function describeClasses(task: Task, rows: readonly Row[]): string[] {
  const balance = classBalance(task, rows);
  if (!balance) return [];
  const shown = Object.entries(balance.counts)
    .slice(0, 8)
    .map(([label, count]) => `${label} ${count}`);
  const notes = [
    `Classes: ${shown.join(', ')}${Object.keys(balance.counts).length > 8 ? ', …' : ''}; the largest is ${(100 * balance.majority).toFixed(1)} %.`,
  ];
  if (balance.empty.length) notes.push(`No training row has ${balance.empty.slice(0, 8).join(', ')}.`);
  return notes;
}
