import { type Files, fail, joinPath, nearest } from '../base/index.ts';
import { ADAPTER_CONFIG, HEAD_CONFIG } from '../checkpoint/index.ts';
import { type Composition, type ConfiguredMethod, type Fuse, fuse, fusionsOf } from '../methods/index.ts';
import type { Pooling } from '../nn/index.ts';
import type { Engine } from '../session/session.ts';
import type { Field, Split, Task } from '../tasks/index.ts';
import type { TrainEvent, TrainSettings } from '../train/settings.ts';
import type { TrainResult } from '../train/trainer.ts';
import type { Extensions } from './extensions.ts';

/** The head that answers, or several by name. */
export type HeadSetup = string | readonly string[];

export interface PretrainedOptions extends Extensions {
  /** Where folders are read and written; the disk of this machine when left out. */
  readonly files?: Files;
  /** What computes; ONNX Runtime in this process when left out. It is started at the first training or prediction. */
  readonly engine?: Engine;
}

/** The configuration of a head by the keys of head_config.json; what it leaves out has the Python library's defaults. */
export interface HeadFields {
  readonly head_type: string;
  readonly [key: string]: unknown;
}

/** Settings of a head, as the methods of the Python library take them. */
export interface HeadOptions {
  readonly layers?: number;
  readonly activationFunction?: string | null;
  readonly usePooler?: boolean;
  /**
   * Which vector of each sequence it reads, in place of `usePooler`; what the folder of a sentence encoder says when both are left out,
   * else the first token's.
   */
  readonly pooling?: Pooling;
  readonly bias?: boolean;
  readonly dropoutProb?: number;
  /** Replaces a head of that name. */
  readonly overwriteOk?: boolean;
}

export interface LabelledHeadOptions extends HeadOptions {
  readonly numLabels?: number;
  /** Names of the outputs, in order; their number is `numLabels`. */
  readonly labels?: readonly string[];
}

export interface TrainAdapterOptions extends Partial<TrainSettings> {
  readonly task: Task;
  /** Labelled rows in place of the files of the task. */
  readonly rows?: readonly Readonly<Record<string, unknown>>[];
  readonly validationRows?: readonly Readonly<Record<string, unknown>>[];
  /** Read at most this many rows of each split. */
  readonly limit?: number;
  /** What the head reads that is made where there is none of its name, as for {@link HeadOptions}. */
  readonly pooling?: Pooling;
  readonly onEvent?: (event: TrainEvent) => void;
  readonly signal?: AbortSignal;
}

export interface LoadOptions {
  readonly loadAs?: string;
  /** Layers to be without an adapter, beside those that its configuration leaves out. */
  readonly leaveOut?: readonly number[];
  readonly withHead?: boolean;
  /** Makes what was loaded the active one, with its head; true when left out. */
  readonly setActive?: boolean;
}

export interface TrainAdapterFusionOptions extends TrainAdapterOptions {
  /** Lets the adapters train with the fusion; they stay as they are when left out. */
  readonly unfreezeAdapters?: boolean;
}

export interface AdapterTraining extends Pick<TrainResult, 'steps' | 'best' | 'stoppedEarly'> {
  /** Numbers that trained: the adapter's and the head's. */
  readonly trained: number;
}

export interface PredictOptions {
  /** Where a field stands in the rows, when not under its own name. */
  readonly columns?: Readonly<Partial<Record<Field, string>>>;
  /** Tokens per sequence; longer texts are cut. Those of training when left out, or 128 (384 for spans) where that is not known. */
  readonly maxLength?: number;
  /** Names a row in messages by its file and line. */
  readonly place?: (index: number) => { readonly file: string; readonly line: number };
  /**
   * What answers each row, one name or composition for each, all in one batch: an adapter, a fusion, or `__base__` for the encoder alone.
   * Each is answered by the head of its name; `__base__` by the active one.
   */
  readonly adapterNames?: readonly (string | Composition)[];
  /** Beside `adapterNames`: heads of other names, undefined for the usual one. */
  readonly headNames?: readonly (string | undefined)[];
  /** Beside a `multiTask`: which of its adapters each row is for, by number or name; the column "task" of the rows when left out. */
  readonly taskIds?: readonly (number | string)[];
  /** Answers also tell what the model lets one look at: the attention of fusions. */
  readonly explain?: boolean;
  readonly onProgress?: (done: number, of: number) => void;
  /** Told of what a user should know, such as texts that were cut. */
  readonly onNote?: (text: string) => void;
}

export interface EvaluateOptions extends Pick<PredictOptions, 'maxLength' | 'onProgress' | 'onNote'> {
  readonly limit?: number;
}

export interface PruneFusionOptions extends Pick<PredictOptions, 'maxLength' | 'onProgress'> {
  readonly split?: Split;
  readonly limit?: number;
  /** How much of the task's metric may be lost. */
  readonly tolerance?: number;
}

/** A line of {@link AutoAdapterModel.adapterSummary}. */
export interface SummaryRow {
  readonly name: string;
  readonly architecture: string;
  readonly parameters: number;
  /** Percent of the encoder's parameters. */
  readonly percent: number;
  readonly active: boolean;
  /** Whether training would change it. */
  readonly train: boolean;
}

/** What TypeScript would refuse, for callers without it. @throws usage.value */
export function checkFolder(folder: unknown): void {
  if (typeof folder !== 'string' || folder === '')
    fail({
      code: 'usage.value',
      subject: 'fromPretrained(folder)',
      found: folder === '' ? 'an empty text' : String(folder),
      expected: 'the path of an encoder folder',
    });
}

/** @throws usage.value */
export function checkRows(rows: unknown): void {
  if (!Array.isArray(rows))
    fail({
      code: 'usage.value',
      subject: 'predict(rows)',
      found: typeof rows === 'string' ? 'a text' : typeof rows === 'object' && rows !== null ? 'an object' : String(rows),
      expected: 'an array of rows',
      next: 'Give one row as [{ text: "…" }].',
    });
}

/** @throws usage.value */
export function checkTask(task: unknown): void {
  if (typeof task !== 'object' || task === null || !('kind' in task))
    fail({
      code: 'usage.value',
      subject: 'trainAdapter(name, { task })',
      found: typeof task === 'string' ? `the text ${JSON.stringify(task)}` : 'no task',
      expected: 'a task',
      next: 'Make one with await loadTask(nodeFiles, path).',
    });
}

/** The names of heads, whichever way they are given. */
export function headNames(heads: HeadSetup | undefined): readonly string[] {
  return heads === undefined ? [] : typeof heads === 'string' ? [heads] : heads;
}

/** @throws usage.value for several heads where one must answer */
export function refuseSeveral(heads: readonly string[]): never {
  return fail({
    code: 'usage.value',
    subject: 'the active head',
    found: heads.length > 1 ? `several: ${heads.join(', ')}` : 'one for several adapters that each answer all rows',
    expected: 'one answer for each row',
    next: "Make one head the active one, and one adapter: model.activeHead = 'NAME'. evaluateEach scores each by itself.",
  });
}

/** @throws adapter.missing */
export function noHead(subject: string): never {
  return fail({
    code: 'adapter.missing',
    subject,
    found: 'no prediction head',
    expected: `a head: ${HEAD_CONFIG} with its weights in the folder`,
    next: 'Load an adapter that was saved with its head, or train one.',
  });
}

/** @throws adapter.format, file.missing */
export async function checkAdapterFolder(files: Files, folder: string): Promise<void> {
  await checkFolderWith(files, folder, ADAPTER_CONFIG, 'an adapter folder');
}

/** @throws adapter.format, file.missing for a folder without a file that makes it what it should be */
export async function checkFolderWith(files: Files, folder: string, file: string, what: string): Promise<void> {
  if ((await files.kind(joinPath(folder, file))) === 'file') return;
  const kind = await files.kind(folder);
  const held = kind === 'folder' ? (await files.list(folder)).slice(0, 6).join(', ') : '';
  fail({
    code: kind === 'folder' ? 'adapter.format' : 'file.missing',
    subject: folder,
    found: kind === 'none' ? 'nothing' : kind === 'file' ? 'a file' : `a folder with ${held || 'nothing in it'}`,
    expected: `${what} with ${file}`,
    next: 'Check the path; multigraft inspect says what a folder holds.',
  });
}

/** @throws usage.value for what is neither a name nor made by fuse or stack */
export function checkSetup(setup: unknown, call: string): void {
  if (typeof setup === 'string') return;
  const { type, children } = (setup ?? {}) as { type?: unknown; children?: unknown };
  if (typeof type === 'string' && Array.isArray(children)) return;
  fail({
    code: 'usage.value',
    subject: call,
    found: Array.isArray(setup) ? 'a list' : setup === null ? 'null' : typeof setup,
    expected: "the name of an adapter, fuse(['a', 'b']) or stack('a', 'b')",
  });
}

/** A fusion of these adapters under that name. @throws usage.value, adapter.duplicate */
export function asFusion(adapters: readonly string[] | Fuse, name: string | undefined): Fuse {
  if (Array.isArray(adapters)) return fuse(adapters, name === undefined ? {} : { name });
  const block = adapters as Partial<Fuse> | undefined | null;
  if (block?.type === 'fuse') return { ...(block as Fuse), ...(name !== undefined && { name }) };
  return fail({
    code: 'usage.value',
    subject: 'addAdapterFusion(adapters)',
    found: typeof adapters === 'string' ? `the text '${adapters}'` : typeof adapters,
    expected: "the names of adapters, as ['a', 'b']",
  });
}

/** @throws adapter.missing, with the nearest of the names there are */
export function missing(what: string, name: string, names: readonly string[]): never {
  const near = nearest(name, names);
  return fail({
    code: 'adapter.missing',
    subject: `${what} '${name}'`,
    found: 'none of that name',
    expected: names.length ? `one of ${names.join(', ')}` : `a loaded ${what}`,
    ...(near && { next: `Did you mean '${near}'?` }),
  });
}

/** @throws usage.value for another adapter beside what is in the encoder's weights */
export function refuseWhileMerged(merged: string): never {
  return fail({
    code: 'usage.value',
    subject: 'the encoder',
    found: `'${merged}', which is merged into its weights`,
    expected: 'the encoder as it was',
    next: 'Call resetAdapter() first.',
  });
}

/** @throws usage.value for an adapter that is no part of the encoder's weights */
export function refuseUnmerged(active: string): never {
  return fail({
    code: 'usage.value',
    subject: 'saveModel(folder)',
    found: `the active adapter '${active}', which is no part of the encoder's weights`,
    expected: 'an encoder alone, or with an adapter merged into it',
    next: 'Call mergeAdapter() first, or save the adapter with saveAdapter or saveAdapterSetup.',
  });
}

/** @throws usage.value for an adapter that a fusion mixes */
export function refuseFused(adapter: string, fusion: string): never {
  return fail({
    code: 'usage.value',
    subject: `adapter '${adapter}'`,
    found: `the fusion '${fusion}', which mixes it`,
    expected: 'an adapter that nothing needs',
    next: `Call deleteAdapterFusion('${fusion}') first.`,
  });
}

/** @throws usage.value for a composition without a fusion */
export function checkFusion(setup: Composition, subject: string): void {
  if (fusionsOf(setup).length === 0)
    fail({
      code: 'usage.value',
      subject,
      found: typeof setup === 'string' ? `the name '${setup}'` : 'no fusion in it',
      expected: "a composition with a fusion: what addAdapterFusion returns, or fuse(['a', 'b'])",
    });
}

/** @throws method.config for a method that leaves nothing to attach */
export function checkAddsParameters({ method, text }: ConfiguredMethod, name: string): void {
  if (method.architecture === undefined)
    fail({
      code: 'method.config',
      subject: `adapter '${name}'`,
      found: `the method ${text}`,
      expected: 'a method that adds parameters',
      next: 'Use trainTask for it.',
    });
}
