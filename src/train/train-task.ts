import { fail } from '../base/errors.ts';
import { type Files, joinPath } from '../base/files.ts';
import type { Tensor } from '../base/tensor.ts';
import {
  asName,
  checkName,
  type HeadPackage,
  type HeadTraining,
  loadAdapter,
  saveAdapter,
  saveEncoder,
  saveHead,
} from '../checkpoint/index.ts';
import { type Encoder, loadEncoder } from '../encoders/index.ts';
import type { ConfiguredMethod } from '../methods/index.ts';
import { computeMetrics, majorityScore } from '../metrics/index.ts';
import { type Head, type HeadConfig, type HeadType, labelsOf } from '../objectives/index.ts';
import type { Engine } from '../session/session.ts';
import { classBalance, loadRows, type Row, type Task, type TaskKind } from '../tasks/index.ts';
import { loadTokenizer, type Tokenizer } from '../text/index.ts';
import { modelCard, type TrainTaskResult } from './card.ts';
import { maxTokens, prepare } from './data.ts';
import { digestOfEncoder, digestOfRows } from './fingerprint.ts';
import { openLog } from './log.ts';
import { adapterModel, type Model, trainableParameters } from './model.ts';
import { checkOutputFolder, METRICS, recordWrites, removeEarlier } from './output-folder.ts';
import { createPredictor } from './predictor.ts';
import type { TrainEvent, TrainSettings } from './settings.ts';
import { runState } from './state.ts';
import { type Saved, type Split, trainModel } from './trainer.ts';

export interface TrainTaskOptions {
  readonly files: Files;
  readonly engine: Engine;
  /** Folder of the encoder. */
  readonly model: string;
  readonly task: Task;
  readonly method: ConfiguredMethod;
  /** Name of adapter and head; the task's when left out, with _ for dots and slashes. */
  readonly name?: string;
  /** Where everything goes; nothing is written without it. */
  readonly output?: string;
  /** A saved adapter to start from. */
  readonly init?: string;
  readonly resume?: boolean;
  /** An earlier result in `output`, finished or not, is replaced; without it such a folder is refused. */
  readonly overwrite?: boolean;
  readonly headLayers?: number;
  /** Read at most this many rows of each split. */
  readonly limit?: number;
  /** Training rows to leave out, from 0. */
  readonly exclude?: ReadonlySet<number>;
  readonly format?: 'bin' | 'safetensors';
  readonly settings: TrainSettings;
  /** Where steps and evaluations are logged, one JSON object a line. */
  readonly log?: string;
  readonly onEvent?: (event: TrainEvent) => void;
  readonly signal?: AbortSignal;
}

/** Trains one task module and saves it in the layout of the Python library, with a card and its metrics. */
export async function trainTask(options: TrainTaskOptions): Promise<TrainTaskResult> {
  const { files, engine, task, method, settings, output, onEvent, signal } = options;
  const started = performance.now();
  const name = checkName(options.name ?? asName(task.name), '--name', 'Choose another name.', 'usage.value');
  if (output !== undefined) await checkOutputFolder(files, output, options);
  const encoder = await loadEncoder(files, options.model, { checkFinite: true });
  const tokenizer = await loadTokenizer(files, options.model);
  const note = (text: string) => onEvent?.({ type: 'note', text });
  for (const text of encoder.notes) note(text);

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
  const model = adapterModel(withDropout(encoder, settings.dropout), method, name, head);
  const initial = await initialValues(options, model, note);
  const { saveEvery: _, ...decisive } = settings;
  const run = { model: encoder.name, task: task.name, method: method.text, name, rows: train.rows.length, ...decisive };
  const logPath = options.log ?? (output === undefined ? undefined : joinPath(output, 'log.jsonl'));
  const fingerprint = {
    ...run,
    head: head.config,
    init: options.init ?? null,
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
  if (!before && (await state?.begin())) note(`The unfinished run in ${output} is replaced.`);
  const log = logPath === undefined ? undefined : await openLog(files, logPath, before?.logLength ?? 0);

  const result = await trainModel({
    engine,
    model,
    task,
    train,
    validation,
    settings,
    initial,
    ...(resume && { resume }),
    ...(signal && { signal }),
    async onEvent(event) {
      await log?.write(event);
      onEvent?.(event);
    },
    ...(state && { save: async (saved: Saved) => state.save(saved, await (log?.length() ?? 0)) }),
  });

  const metrics: { validation?: Record<string, number>; test?: Record<string, number> } = {};
  const judged = { validation, test };
  const predictor = await createPredictor(engine, model, { current: () => result.parameters });
  for (const split of ['validation', 'test'] as const) {
    const data = judged[split];
    if (!data) continue;
    const answers = await predictor.answers(data.rows, data.prepared);
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
    method: method.text,
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
    const head = { ...model.head, training: trainingOf(train.rows, maxLength) };
    await saveResult({ ...options, files: written.files }, output, { ...model, head }, result.parameters);
    const names = written.namesIn(output);
    await removeEarlier(files, output, names);
    await files.write(joinPath(output, METRICS), `${JSON.stringify({ ...summary, settings: run, files: names }, null, 1)}\n`);
    await files.write(
      joinPath(output, 'README.md'),
      modelCard(summary, task, encoder, { ...settings, learningRate: settings.learningRate ?? method.method.learningRate }),
    );
    await state?.remove();
    await removePartial(files, output);
  }
  return summary;
}

/** Files that a kill left half-written under a name of their own. */
async function removePartial(files: Files, folder: string): Promise<void> {
  for (const name of await files.list(folder)) if (/\.\d+\.partial$/.test(name)) await files.remove(joinPath(folder, name));
}

/** The head that suits a kind of task, with the Python library's defaults. Throws `task.row` when choices differ in number. */
export function headFor(task: Task, name: string, rows: readonly Row[], layers?: number): Head {
  const TYPES: Readonly<Record<TaskKind, HeadType>> = {
    classification: 'classification',
    regression: 'classification',
    multilabel: 'multilabel_classification',
    tagging: 'tagging',
    span: 'question_answering',
    choice: 'multiple_choice',
  };
  const perToken = task.kind === 'tagging' || task.kind === 'span';
  const counts = new Set(rows.flatMap((row) => (row.kind === 'choice' ? [row.choices.length] : [])));
  if (counts.size > 1)
    fail({
      code: 'task.row',
      subject: task.name,
      found: `rows of ${[...counts].join(' and ')} choices`,
      expected: 'the same number in every row',
    });
  const [choices] = counts;
  const config: HeadConfig = {
    head_type: TYPES[task.kind],
    ...(choices === undefined
      ? { num_labels: task.kind === 'regression' ? 1 : task.kind === 'span' ? 2 : task.labels.length }
      : { num_choices: choices }),
    layers: layers ?? (perToken ? 1 : 2),
    activation_function: 'tanh',
    label2id: task.labels.length ? Object.fromEntries(task.labels.map((label, i) => [label, i])) : null,
    use_pooler: false,
    bias: true,
    dropout_prob: null,
  };
  return { name, config };
}

/** Tokens per sequence: what was asked, or `usual`, else 128 (384 for spans), and never more than the encoder takes. */
export function sequenceLength(
  encoder: Encoder,
  tokenizer: Tokenizer,
  asked: number | undefined,
  kind: TaskKind,
  usual = kind === 'span' ? 384 : 128,
): number {
  const most = Math.min(maxTokens(encoder), tokenizer.modelMaxLength);
  if (asked !== undefined && asked > most)
    fail({
      code: 'usage.value',
      subject: '--max-length',
      found: String(asked),
      expected: `at most ${most}: ${encoder.name} has no more positions`,
    });
  return asked ?? Math.min(usual, most);
}

/** What goes with a head that was trained on these rows. */
export function trainingOf(rows: readonly Row[], maxLength: number): HeadTraining {
  const textPairs = rows.every((row) => 'textPair' in row && row.textPair !== undefined);
  return { maxLength, ...(textPairs && { textPairs }) };
}

export function withDropout(encoder: Encoder, p: number | undefined): Encoder {
  return p === undefined
    ? encoder
    : { ...encoder, config: { ...encoder.config, hiddenDropout: p, attentionDropout: p, classifierDropout: p } };
}

/**
 * What training starts from where it is not drawn: the encoder's own weights, then those of `init`, with its head where
 * that answers the same.
 * @throws usage.value when `init` is of another method
 */
async function initialValues(
  { files, init, method: wanted }: TrainTaskOptions,
  model: Model,
  note: (text: string) => void,
): Promise<Map<string, Tensor>> {
  const values = new Map<string, Tensor>();
  const specs = trainableParameters(model);
  for (const { name } of specs) {
    const own = model.encoder.weights.get(name);
    if (own) values.set(name, await own.read());
  }
  if (init === undefined) return values;
  const { method, tensors, head, notes } = await loadAdapter(files, init, { encoder: model.encoder, as: model.attachment.name });
  for (const text of notes) note(text);
  const shapes = new Map(specs.map(({ name, shape }) => [name, String(shape)]));
  const foreign = [...tensors].find(([name, { shape }]) => shapes.get(name) !== String(shape));
  if (foreign)
    fail({
      code: 'usage.value',
      subject: `--init ${init}`,
      found: `${foreign[0]} [${foreign[1].shape}], which ${model.attachment.text} does not have`,
      expected: 'an adapter of the method that is trained',
      next: `Give the method and settings of its adapter_config.json with --method.`,
    });
  const changed = Object.keys(method.config).filter((key) => JSON.stringify(method.config[key]) !== JSON.stringify(wanted.config[key]));
  if (changed.length) note(`The adapter in ${init} was made with other settings: ${changed.join(', ')}.`);
  const same = head && sameAnswers(head, model.head);
  if (head && !same) note(`The head in ${init} answers other labels or has another form: a new one is trained.`);
  for (const [name, value] of [...tensors, ...(same ? head.tensors : [])]) values.set(name, value);
  return values;
}

/** Whether two heads have the same form and give the same label at every output; a head without names is taken at its word. */
function sameAnswers(one: Head, other: Head): boolean {
  const form = ({ config }: Head) => {
    const { label2id: _labels, dropout_prob: _dropout, ...rest } = config;
    return JSON.stringify(Object.entries(rest).sort());
  };
  const names = labelsOf(one);
  return form(one) === form(other) && (names.length === 0 || String(names) === String(labelsOf(other)));
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

async function saveResult(
  { files, model: folder, method, format = 'bin' }: TrainTaskOptions,
  output: string,
  model: Model & { readonly head: Omit<HeadPackage, 'tensors'> },
  values: ReadonlyMap<string, Tensor>,
): Promise<void> {
  const { encoder, head } = model;
  const isHead = (name: string) => name.startsWith(`heads.${head.name}.`);
  const pick = (wanted: (name: string) => boolean) => new Map([...values].filter(([name]) => wanted(name)));
  const headPackage = { ...head, tensors: pick(isHead) };
  if (method.method.architecture !== undefined)
    return saveAdapter(
      files,
      output,
      { name: model.attachment.name, method, tensors: pick((name) => !isHead(name)), head: headPackage, model: encoder },
      { format },
    );
  await saveHead(files, output, headPackage, encoder, { format });
  if (!method.method.trainsEncoder) return;
  await saveEncoder(
    files,
    output,
    encoder,
    pick((name) => !isHead(name)),
  );
  for (const name of ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'vocab.txt'])
    if ((await files.kind(joinPath(folder, name))) === 'file')
      await files.write(joinPath(output, name), await files.read(joinPath(folder, name)));
}
