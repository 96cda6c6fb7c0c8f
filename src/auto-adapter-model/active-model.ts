import { fail, nearest } from '../base/index.ts';
import { blockKind, type Composition, describe, fusionsOf, lastBlockOf, nameOf, type Shares } from '../methods/index.ts';
import { answerableRows, isUnpaired, taskForHead, taskOfHead } from '../model/head-task.ts';
import type { Model } from '../model/model.ts';
import { prepare } from '../model/prepare.ts';
import { valuesOf } from '../model/start-values.ts';
import type { Unit } from '../objectives/index.ts';
import type { Answer } from '../predict/answer.ts';
import { type Evaluation, evaluationOf } from '../predict/evaluation.ts';
import { createPredictor, type Predictor } from '../predict/predictor.ts';
import type { Engine } from '../session/session.ts';
import { loadRows, type PredictionRow, type Row, type Split, type Task } from '../tasks/index.ts';
import type { AttachedHead } from './attached.ts';
import { BASE, type ModelState, modelOf, tokensFor, trainedSteps, trainedValues } from './model-state.ts';
import { type EvaluateOptions, noHead, type PredictOptions } from './options.ts';
import { placeOf, type RowChoice, rowsOfHeads } from './rows-of-heads.ts';

type GivenRow = Readonly<Record<string, unknown>>;

/** What answers rows that do not name their adapters. */
export interface Active {
  readonly setup: Composition | undefined;
  readonly skipLayers: readonly number[];
  /** One for all, one for each child of the block that tells rows apart or repeats them, or several that answer all rows. */
  readonly heads: readonly string[];
}

/** What one adapter and head of several score, or all that is active. */
export interface NamedEvaluation extends Evaluation, Pick<Answer, 'adapter' | 'head'> {}

/** Rows as heads can answer them. */
interface Checked {
  readonly rows: readonly PredictionRow[];
  readonly units: readonly Unit[];
}

interface Opened {
  readonly active: Active;
  readonly explains: boolean;
  readonly predictor: Predictor;
  readonly attachment: Model['attachment'];
  readonly heads: readonly AttachedHead[];
}

/** The answers of what is active, compiled once. */
export class ActiveModel {
  readonly #engine: () => Promise<Engine>;
  #opened: Opened | undefined;

  constructor(engine: () => Promise<Engine>) {
    this.#engine = engine;
  }

  /** @throws adapter.missing without a head; task.row, task.label, text.too-long naming the row; usage.value */
  async predict(state: ModelState, active: Active, rows: readonly GivenRow[], options: PredictOptions): Promise<Answer[]> {
    const opened = await this.#open(state, active, options.explain ?? false);
    const { attachment, heads } = opened;
    checkTaskIds(options.taskIds, rows.length, attachment);
    const taskOf = (i: number) => taskOfRow(rows[i] as GivenRow, i, opened, options);
    const plain = heads.length === 1 && !attachment.shares;
    return answersOf(state, opened, rows.length, taskOf, options, (choices) => {
      if (plain) return rowsOfHead(state, active, heads[0] as AttachedHead, rows, options);
      const { checked, units } = rowsOfHeads(state, rows, choices, options);
      return { rows: checked, units };
    });
  }

  /** What each adapter and head that answers all rows scores; one entry where each row has one answer. @throws adapter.missing, task.* */
  async evaluate(state: ModelState, active: Active, task: Task, split: Split, options: EvaluateOptions): Promise<NamedEvaluation[]> {
    const { files } = state;
    const heads = active.heads.map((name) => state.heads.get(name));
    const judged = heads.map((head) => taskForHead(task, head));
    const [most] = [...judged].sort((one, other) => other.labels.length - one.labels.length) as [Task];
    const opened = await this.#open(state, active, false);
    const { limit } = options;
    const rows = await loadRows(files, most, split, { limit });
    const ofTask = () => childCalled(task.name, opened) ?? refuseTask(task.name, opened);
    const make = (choices: readonly RowChoice[]) => ({ rows, units: unitsOfTask(state, most, rows, choices, options) });
    const answers = await answersOf(state, opened, rows.length, ofTask, options, make);
    const each = rows.length === 0 ? 1 : answers.length / rows.length;
    const found: NamedEvaluation[] = [];
    for (let i = 0; i < each; i++) {
      const ofOne = answers.filter((_, at) => at % each === i);
      const { adapter, head } = ofOne[0] ?? {};
      const evaluation = await evaluationOf(files, (each > 1 && judged[i]) || most, rows, ofOne, limit);
      found.push({ ...evaluation, ...(each > 1 && { ...(adapter && { adapter }), ...(head && { head }) }) });
    }
    return found;
  }

  /** Forgets the compiled program; whoever still runs it keeps it. */
  forget(): void {
    void this.#opened?.predictor.release();
    this.#opened = undefined;
  }

  async release(): Promise<void> {
    await this.#opened?.predictor.release();
    this.#opened = undefined;
  }

  async #open(state: ModelState, active: Active, explains: boolean): Promise<Opened> {
    if (this.#opened && this.#opened.explains !== explains) this.forget();
    if (this.#opened) return this.#opened;
    const { setup, skipLayers } = active;
    const named = active.heads.map((name) => state.heads.get(name));
    const model = await modelOf(state, setup, named, { skipLayers });
    const { channels = [], shares, text } = model.attachment;
    const children = channels.length > 1 ? channels : shares?.names;
    if (children && named.length > 1 && named.length !== children.length)
      fail({
        code: 'usage.value',
        subject: `the heads of ${setup === undefined ? text : describe(setup)}`,
        found: `${named.length}: ${active.heads.join(', ')}`,
        expected: `one for all, or one for each of ${children.join(', ')}`,
      });
    // Python has each of them answer all rows there.
    const last = setup === undefined ? undefined : lastBlockOf(setup);
    if (named.length > 1 && shares && channels.length < 2 && !(last && blockKind(last, state.kinds.blocks).heads))
      fail({
        code: 'usage.value',
        subject: `the heads of ${text}`,
        found: `${active.heads.join(', ')}, and behind the block that tells rows apart another`,
        expected: 'one head',
      });
    const heads = channels.length > 1 && named.length === 1 ? channels.map(() => named[0] as AttachedHead) : named;
    const steps = trainedSteps(state, setup);
    const fixed = await valuesOf({ ...model, heads: [...new Set(heads)] }, trainedValues(state, setup, heads));
    const predictor = await createPredictor(await this.#engine(), { ...model, heads }, { fixed, steps: () => steps, observe: explains });
    this.#opened = { active, explains, predictor, attachment: model.attachment, heads };
    return this.#opened;
  }
}

/** One answer for each row, or for each row one by each head; `make` says what heads read of the rows. */
async function answersOf(
  state: ModelState,
  { active, predictor, attachment, heads }: Opened,
  count: number,
  taskOf: (row: number) => number,
  { onProgress }: Pick<PredictOptions, 'onProgress'>,
  make: (choices: readonly RowChoice[]) => Checked,
): Promise<Answer[]> {
  const { tokenizer } = state;
  const { shares, channels = [] } = attachment;
  const called = (head: number, adapter: string | undefined) => ({
    ...(adapter !== undefined && { adapter }),
    ...(active.heads.length > 1 && { head: (heads[head] as AttachedHead).name }),
  });
  if (shares && channels.length < 2) {
    const choices = Array.from({ length: count }, (_, row) => choiceOf(row, shares, heads, taskOf));
    const { rows, units } = make(choices);
    const answers = await predictor.answers(rows, { units, tokenizer }, onProgress);
    return answers.map((answer, i) => ({ ...answer, ...called(choices[i]?.heads[0] ?? 0, choices[i]?.name) }));
  }
  const name = active.setup === undefined ? BASE : nameOf(active.setup);
  const task = shares?.byTask ? { task: 0 } : {};
  const rounds = groupsOf(state, heads).map((group) => {
    const choice = { name, head: heads[group[0] as number] as AttachedHead, heads: group, ...task };
    const choices = Array.from({ length: count }, (_, row) => ({ ...choice, ...(shares?.byTask && { task: taskOf(row) }) }));
    const { rows, units } = make(choices);
    return { group, rows, units: group.length === 1 && heads.length === 1 ? units : units.map((unit) => ({ ...unit, heads: group })) };
  });
  const all = rounds.reduce((sum, { units }) => sum + units.length, 0);
  const found = new Array<Answer>(count * heads.length);
  let done = 0;
  for (const { group, rows, units } of rounds) {
    const before = done;
    const answers = await predictor.answers(rows, { units, tokenizer }, (some) => onProgress?.(before + some, all));
    done += units.length;
    answers.forEach((answer, i) => {
      const head = group[i % group.length] as number;
      const at = Math.floor(i / group.length) * heads.length + head;
      found[at] = { ...answer, ...called(head, channels.length > 1 ? channels[head] : undefined) };
    });
  }
  return found;
}

/** Who answers a row where each child has rows of its own. */
function choiceOf(row: number, shares: Shares, heads: readonly AttachedHead[], taskOf: (row: number) => number) {
  const task = shares.byTask ? taskOf(row) : undefined;
  const child = Math.max(0, shares.childOf({ row, task }));
  const at = heads.length === 1 ? 0 : child;
  const head = heads[at] as AttachedHead;
  return { name: shares.names[child] as string, head, heads: [at], ...(task !== undefined && { task }) };
}

/** Heads that read the same of a row answer it together. */
function groupsOf(state: ModelState, heads: readonly AttachedHead[]): number[][] {
  const groups = new Map<string, number[]>();
  for (const [i, head] of heads.entries()) {
    const { kind, config } = head;
    const key = JSON.stringify([state.kinds.heads.indexOf(kind), kind.sequences?.(config) ?? 1, tokensFor(state, head, undefined)]);
    groups.set(key, [...(groups.get(key) ?? []), i]);
  }
  return [...groups.values()];
}

/** Rows of one head, and what a user should know of them. */
function rowsOfHead(
  state: ModelState,
  { setup }: Active,
  head: AttachedHead,
  rows: readonly GivenRow[],
  { maxLength, columns = {}, onNote, place }: PredictOptions,
): Checked {
  const task = { ...taskOfHead(head), columns };
  const tokens = tokensFor(state, head, maxLength);
  const { vocabulary } = state.encoder.config;
  const limits = { task, head, adapter: setup && nameOf(setup), vocabulary, tokens };
  const checked = answerableRows(rows, limits, placeOf({ ...(place && { place }) }));
  return { rows: checked, units: unitsOfHead(state, task, head, checked, { maxLength, onNote }) };
}

function unitsOfHead(
  state: ModelState,
  task: Task,
  head: AttachedHead,
  rows: readonly PredictionRow[],
  { maxLength, onNote }: { readonly maxLength: number | undefined; readonly onNote: PredictOptions['onNote'] },
): readonly Unit[] {
  const limit = tokensFor(state, head, maxLength);
  const prepared = prepare(rows, { task, tokenizer: state.tokenizer, maxLength: limit, kind: head.kind });
  if (prepared.truncated > 0) onNote?.(`${prepared.truncated} of ${prepared.rows} rows are longer than ${limit} tokens and were cut.`);
  const pair = task.columns.textPair ?? (head.training?.textPairs ? 'textPair' : undefined);
  const alone = pair === undefined ? 0 : rows.filter(isUnpaired).length;
  if (alone > 0)
    onNote?.(`Rows without "${pair}", the second text of a pair, are answered from their one text: ${alone} of ${rows.length}.`);
  return prepared.units;
}

/** Rows of a task that all heads answer, each row's units as its own head wants them. */
function unitsOfTask(
  state: ModelState,
  task: Task,
  rows: readonly Row[],
  choices: readonly RowChoice[],
  { maxLength, onNote }: EvaluateOptions,
): Unit[] {
  const distinct = [...new Set(choices.map(({ head }) => head))];
  return distinct.flatMap((head) =>
    unitsOfHead(state, task, head, rows, { maxLength, onNote: distinct.length > 1 ? undefined : onNote }).flatMap((unit) => {
      const { head: own, task: number, heads } = choices[unit.row] as RowChoice;
      return own === head ? { ...unit, ...(number !== undefined && { task: number }), ...(heads && { heads }) } : [];
    }),
  );
}

/** @throws usage.value for task numbers that nothing reads, or another count of them */
function checkTaskIds(ids: PredictOptions['taskIds'], count: number, { shares, text }: Model['attachment']): void {
  if (ids === undefined || (Array.isArray(ids) && ids.length === count && shares?.byTask)) return;
  fail({
    code: 'usage.value',
    subject: 'predict(rows, { taskIds })',
    found: Array.isArray(ids) ? `${ids.length}, for ${text}` : typeof ids,
    expected: shares?.byTask ? `${count}, one for each row` : 'none: only multiTask tells rows apart by their tasks',
  });
}

/** The number of the child that a row is for. @throws task.row */
function taskOfRow(row: GivenRow, i: number, opened: Opened, options: PredictOptions): number {
  const given = options.taskIds ? options.taskIds[i] : row.task;
  const child = childCalled(given, opened);
  if (child !== undefined) return child;
  const { file, line } = placeOf(options)(i);
  const names = opened.attachment.shares?.names ?? [];
  const near = typeof given === 'string' ? nearest(given, names) : undefined;
  return fail({
    code: 'task.row',
    subject: options.taskIds ? `taskIds, ${file}:${line}` : `${file}:${line}, column "task"`,
    found: given === undefined ? 'none' : JSON.stringify(given),
    expected: `one of ${names.join(', ')}, or its number from 0`,
    ...(near && { next: `Did you mean '${near}'?` }),
  });
}

/** A child by its number, its name or that of its head. */
function childCalled(given: unknown, { attachment: { shares }, heads }: Opened): number | undefined {
  const names = shares?.names ?? [];
  if (typeof given === 'number') return Number.isInteger(given) && given >= 0 && given < names.length ? given : undefined;
  const found = [names, heads.length === names.length ? heads.map(({ name }) => name) : []].map((all) => all.indexOf(given as string));
  return found.find((at) => at >= 0);
}

function refuseTask(name: string, { attachment: { shares, text } }: Opened): never {
  return fail({
    code: 'usage.value',
    subject: `task ${name}`,
    found: text,
    expected: `a task that is called as the adapter that answers it: ${shares?.names.join(', ')}`,
    next: 'Make the adapter active that it is for.',
  });
}

/** The heads of a setup, or what it misses. @throws adapter.missing */
export function activeHeads({ encoder }: ModelState, setup: Composition | undefined, heads: readonly string[]): readonly string[] {
  if (heads.length > 0) return heads;
  if (setup === undefined) return noHead(`the encoder ${encoder.name}`);
  return noHead(`the ${fusionsOf(setup).length > 0 ? 'fusion' : 'adapter'} '${nameOf(setup)}'`);
}
