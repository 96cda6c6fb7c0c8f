import { fail } from '../base/errors.ts';
import { type Files, joinPath } from '../base/files.ts';
import { elementCount } from '../base/tensor.ts';
import { HEAD_CONFIG, loadAdapter, loadHead, type SavingOptions, saveAdapter, saveHead, type WeightFormat } from '../checkpoint/index.ts';
import { type Encoder, loadEncoder } from '../encoders/index.ts';
import { type ConfiguredMethod, configureMethod, DEFAULT_METHOD, type MethodConfig, methodOfConfig } from '../methods/index.ts';
import { computeMetrics, majorityScore } from '../metrics/index.ts';
import { type Head, headParameters } from '../objectives/index.ts';
import type { Engine } from '../session/session.ts';
import { loadRows, type PredictionRow, type Row, type Split, type Task } from '../tasks/index.ts';
import { loadTokenizer, type Tokenizer } from '../text/index.ts';
import { summarize } from './adapter-summary.ts';
import type { Answer } from './answer.ts';
import { type Attached, type AttachedHead, adapterTensors, packedHead, valuesOf } from './attached.ts';
import {
  type AdapterTraining,
  checkAdapterFolder,
  checkFolder,
  checkRows,
  checkSettings,
  checkTaskGiven,
  type EvaluateOptions,
  type Evaluation,
  type HeadOptions,
  type LabelledHeadOptions,
  noHead,
  type PredictOptions,
  type PretrainedOptions,
  type SummaryRow,
  type TrainAdapterOptions,
} from './auto-adapter-options.ts';
import { prepare } from './data.ts';
import { answerableRows, taskForHead, taskOfHead, withLabels } from './head-task.ts';
import { readSplits } from './labelled-rows.ts';
import { adapterModel, type Model, trainableParameters } from './model.ts';
import { Named } from './named.ts';
import { choiceHead, classificationHead, regressionHead, spanHead, taggingHead } from './new-heads.ts';
import { createPredictor, type Predictor } from './predictor.ts';
import { headFor, sequenceLength, trainingOf, withDropout } from './task-setup.ts';
import { trainModel } from './trainer.ts';

/**
 * One encoder with adapters and heads by name: the class of that name in the Python library `adapters`, in camelCase.
 * One adapter is active at a time, or none.
 */
export class AutoAdapterModel {
  readonly encoder: Encoder;
  readonly tokenizer: Tokenizer;
  readonly #files: Files;
  readonly #adapters = new Named<Attached>('adapter');
  readonly #heads = new Named<AttachedHead>('head');
  readonly #notes: string[];
  #engine: Engine | undefined;
  #activeAdapter: string | undefined;
  #activeHead: string | undefined;
  #predictor: Predictor | undefined;

  private constructor(encoder: Encoder, tokenizer: Tokenizer, files: Files, engine: Engine | undefined) {
    this.encoder = encoder;
    this.tokenizer = tokenizer;
    this.#files = files;
    this.#engine = engine;
    this.#notes = [...encoder.notes];
  }

  /**
   * Opens the encoder in a Hugging Face folder, with the head that was saved beside it, if any. Weights are not read yet.
   * @throws encoder.config, encoder.weights, text.tokenizer, file.*
   */
  static async fromPretrained(folder: string, { files, engine }: PretrainedOptions = {}): Promise<AutoAdapterModel> {
    checkFolder(folder);
    const disk = files ?? (await import('../base/files-node.ts')).nodeFiles;
    const encoder = await loadEncoder(disk, folder);
    const model = new AutoAdapterModel(encoder, await loadTokenizer(disk, folder), disk, engine);
    if ((await disk.kind(joinPath(folder, HEAD_CONFIG))) === 'file') await model.loadHead(folder);
    return model;
  }

  /** What a user should know of what was loaded: ignored keys, expanded types, numbers that are not finite. */
  get notes(): readonly string[] {
    return this.#notes;
  }

  get adapters(): readonly string[] {
    return this.#adapters.names;
  }

  get heads(): readonly string[] {
    return this.#heads.names;
  }

  get activeAdapters(): string | undefined {
    return this.#activeAdapter;
  }

  get activeHead(): string | undefined {
    return this.#activeHead;
  }

  /** @throws adapter.missing */
  set activeHead(name: string | undefined) {
    if (name !== undefined) this.#heads.get(name);
    this.#activeHead = name;
    this.#changed();
  }

  /** The task that the active head answers. @throws adapter.missing */
  get task(): Task {
    return taskOfHead(this.#currentHead());
  }

  /**
   * Adds a fresh adapter: a method's name with settings in brackets, or a configuration as it stands in files.
   * @throws method.config, method.site, adapter.duplicate, adapter.format for a name that no folder can hold
   */
  addAdapter(name: string, config: string | MethodConfig = DEFAULT_METHOD, { overwriteOk = false } = {}): void {
    const method = typeof config === 'string' ? configureMethod(config) : methodOfConfig(config, `adapter '${name}'`);
    if (method.method.architecture === undefined)
      fail({
        code: 'method.config',
        subject: `adapter '${name}'`,
        found: `the method ${method.text}`,
        expected: 'a method that adds parameters',
        next: 'Use trainTask for it.',
      });
    method.method.parameters(method.config, { encoder: this.encoder.config, family: this.encoder.family, name });
    this.#adapters.add(name, { method }, { overwriteOk });
    this.#changed();
  }

  /** Adds the head that suits a task, with the names of its labels. @throws adapter.duplicate, head.config */
  addHead(name: string, task: Task, { layers, ...options }: Pick<HeadOptions, 'layers' | 'overwriteOk'> = {}): void {
    this.#attach(headFor(task, name, [], layers), options);
  }

  /** One of several labels a row; with `multilabel` any number of them. */
  addClassificationHead(name: string, options: LabelledHeadOptions & { readonly multilabel?: boolean } = {}): void {
    this.#attach(classificationHead(name, options), options);
  }

  /** A number a row: Python's classification head with one output. */
  addRegressionHead(name: string, options: HeadOptions = {}): void {
    this.#attach(regressionHead(name, options), options);
  }

  /** One of `numChoices` texts a row. */
  addMultipleChoiceHead(name: string, options: HeadOptions & { readonly numChoices?: number } = {}): void {
    this.#attach(choiceHead(name, options), options);
  }

  /** One label a word. */
  addTaggingHead(name: string, options: LabelledHeadOptions = {}): void {
    this.#attach(taggingHead(name, options), options);
  }

  /** A span of a context that answers a question. */
  addQaHead(name: string, options: HeadOptions = {}): void {
    this.#attach(spanHead(name, options), options);
  }

  /** Makes an adapter the active one, and the head of that name too where there is one; undefined for none. @throws adapter.missing */
  setActiveAdapters(name: string | undefined): void {
    if (name !== undefined) this.#adapters.get(name);
    this.#activeAdapter = name;
    if (name !== undefined && this.#heads.has(name)) this.#activeHead = name;
    this.#changed();
  }

  /**
   * Trains an adapter with the head of its name, which is added for the task when absent; the encoder stays as it is.
   * Both are active afterwards.
   * @throws task.*, train.non-finite, train.stopped
   */
  async trainAdapter(
    name: string,
    { task, rows, validationRows, limit, onEvent, signal, ...settings }: TrainAdapterOptions = {} as TrainAdapterOptions,
  ): Promise<AdapterTraining> {
    checkTaskGiven(task);
    const adapter = this.#adapters.get(name);
    const checked = checkSettings(settings);
    const maxLength = sequenceLength(this.encoder, this.tokenizer, checked.maxLength, task.kind);
    const given = await readSplits(this.#files, task, { rows, validationRows, limit });
    if (!this.#heads.has(name)) this.#attach(headFor(task, name, given.train));
    const head = this.#heads.get(name);
    const judged = taskForHead(task, head);
    // A head that was there before keeps the order of its outputs, whatever that of the task's labels is.
    const ofHead = { ...task, labels: taskOfHead(head).labels };
    const split = (all: readonly Row[]) => ({
      rows: all,
      prepared: prepare(all, { task: ofHead, tokenizer: this.tokenizer, maxLength }),
    });
    const train = split(given.train);
    const validation = given.validation && split(given.validation);
    const model = adapterModel(withDropout(this.encoder, checked.dropout), adapter.method, name, head);
    const { parameters, ...result } = await trainModel({
      engine: await this.#runtime(),
      model,
      task: judged,
      train,
      validation,
      settings: checked,
      initial: new Map([...(adapter.tensors ?? []), ...(head.tensors ?? [])]),
      ...(onEvent && { onEvent }),
      ...(signal && { signal }),
    });
    const headNames = new Set(headParameters(head, this.encoder.config.hidden).map((spec) => spec.name));
    const pick = (wanted: boolean) => new Map([...parameters].filter(([key]) => headNames.has(key) === wanted));
    this.#adapters.set(name, { ...adapter, tensors: pick(false) });
    this.#heads.set(name, { ...head, tensors: pick(true), training: trainingOf(given.train, maxLength) });
    this.setActiveAdapters(name);
    return { ...result, trained: trainableParameters(model).reduce((sum, { shape }) => sum + elementCount(shape), 0) };
  }

  /**
   * One answer per row, in order, from the active adapter and head. Rows have the columns of the head's kind of task.
   * @throws adapter.missing without a head; task.row, task.label, text.too-long naming the row
   */
  async predict(rows: readonly Readonly<Record<string, unknown>>[], options: PredictOptions = {}): Promise<Answer[]> {
    checkRows(rows);
    const head = this.#currentHead();
    const task = { ...taskOfHead(head), columns: options.columns ?? {} };
    const place = options.place ?? ((index) => ({ file: 'rows', line: index + 1 }));
    const tokens = this.#sequenceLength(head, options.maxLength);
    const { vocabulary } = this.encoder.config;
    const checked = answerableRows(rows, { task, head, adapter: this.#activeAdapter, vocabulary, tokens }, place);
    return this.#answer(task, checked, options);
  }

  /** The metrics of a task on one split, beside what the most frequent answer scores. @throws adapter.missing, task.* */
  async evaluate(task: Task, split: Split = 'test', { limit, ...options }: EvaluateOptions = {}): Promise<Evaluation> {
    const judged = taskForHead(task, this.#currentHead());
    const rows = await loadRows(this.#files, judged, split, limit === undefined ? {} : { limit });
    const answers = await this.#answer(judged, rows, options);
    const { values, warnings } = computeMetrics(
      judged,
      answers.map((answer) => answer.prediction),
      rows,
    );
    const training = task.files.train ? await loadRows(this.#files, judged, 'train') : rows;
    const majority = majorityScore(judged, rows, training);
    return {
      rows: rows.length,
      metrics: values as Record<string, number>,
      warnings: warnings as Record<string, string>,
      ...(majority && { majority }),
    };
  }

  /** Saves an adapter, with the head of its name, as the Python library does. @throws adapter.missing, adapter.format */
  async saveAdapter(
    folder: string,
    name: string,
    { withHead = true, ...options }: SavingOptions & { readonly withHead?: boolean } = {},
  ): Promise<void> {
    const adapter = this.#adapters.get(name);
    const head = withHead ? this.#heads.find(name) : undefined;
    const tensors = adapterTensors(name, adapter, this.encoder);
    await saveAdapter(
      this.#files,
      folder,
      { name, method: adapter.method, tensors, model: this.encoder, ...(head && { head: packedHead(head, this.encoder) }) },
      options,
    );
  }

  /** Loads an adapter folder, and the head in it. Returns its name. @throws adapter.* , method.config, head.config, file.* */
  async loadAdapter(
    folder: string,
    { loadAs, withHead = true, setActive = true }: { loadAs?: string; withHead?: boolean; setActive?: boolean } = {},
  ): Promise<string> {
    await checkAdapterFolder(this.#files, folder);
    const { name, method, tensors, head, notes } = await loadAdapter(this.#files, folder, {
      encoder: this.encoder,
      head: withHead,
      ...(loadAs && { as: loadAs }),
    });
    this.#adapters.set(name, { method, tensors });
    if (head) this.#heads.set(head.name, withLabels(head));
    this.#notes.push(...notes);
    if (setActive) {
      this.setActiveAdapters(name);
      if (head) this.#activeHead = head.name;
    }
    this.#changed();
    return name;
  }

  /** @throws adapter.missing, adapter.format */
  async saveHead(folder: string, name: string, options: { readonly format?: WeightFormat } = {}): Promise<void> {
    await saveHead(this.#files, folder, packedHead(this.#heads.get(name), this.encoder), this.encoder, options);
  }

  /** Loads a saved head and makes it the active one. Returns its name. @throws adapter.mismatch, adapter.format, head.config, file.* */
  async loadHead(folder: string, { loadAs }: { loadAs?: string } = {}): Promise<string> {
    const { notes, ...head } = await loadHead(this.#files, folder, { encoder: this.encoder, ...(loadAs && { as: loadAs }) });
    this.#heads.set(head.name, withLabels(head));
    this.#notes.push(...notes);
    this.activeHead = head.name;
    return head.name;
  }

  /** Numbers of parameters by adapter, the encoder last. Methods `asIf` are counted as if the last of them were active. */
  adapterSummary(asIf: readonly ConfiguredMethod[] = []): SummaryRow[] {
    const own = [...this.#adapters.entries()].map(([name, { method }]) => ({
      name,
      method,
      active: asIf.length === 0 && name === this.#activeAdapter,
    }));
    return summarize(this.encoder, [...own, ...asIf.map((method, i) => ({ name: method.text, method, active: i === asIf.length - 1 }))]);
  }

  /** Frees the compiled program; the model can be used again. */
  async release(): Promise<void> {
    await this.#predictor?.release();
    this.#predictor = undefined;
  }

  async #answer(task: Task, rows: readonly PredictionRow[], { maxLength, onProgress, onNote }: PredictOptions): Promise<Answer[]> {
    const head = this.#currentHead();
    const limit = this.#sequenceLength(head, maxLength);
    const prepared = prepare(rows, { task, tokenizer: this.tokenizer, maxLength: limit });
    if (prepared.truncated > 0) onNote?.(`${prepared.truncated} of ${prepared.rows} rows are longer than ${limit} tokens and were cut.`);
    const pair = task.columns.textPair ?? (head.training?.textPairs ? 'textPair' : undefined);
    const alone =
      pair === undefined ? 0 : rows.filter((row) => 'text' in row && row.kind !== 'choice' && row.textPair === undefined).length;
    if (alone > 0)
      onNote?.(`Rows without "${pair}", the second text of a pair, are answered from their one text: ${alone} of ${rows.length}.`);
    if (!this.#predictor) {
      const model = this.#model();
      this.#predictor = await createPredictor(await this.#runtime(), model, {
        fixed: valuesOf(model, this.#adapters.find(model.attachment.name), head),
      });
    }
    return this.#predictor.answers(rows, prepared, onProgress);
  }

  /** The active adapter and head; without an adapter, the bare encoder with a head. */
  #model(): Model {
    const name = this.#activeAdapter;
    const head = this.#currentHead();
    const method = name === undefined ? configureMethod('head') : this.#adapters.get(name).method;
    return adapterModel(this.encoder, method, name ?? '', head);
  }

  #sequenceLength(head: AttachedHead, asked: number | undefined): number {
    return sequenceLength(this.encoder, this.tokenizer, asked, taskOfHead(head).kind, head.training?.maxLength);
  }

  #attach(head: Head, options: { readonly overwriteOk?: boolean } = {}): void {
    this.#heads.add(head.name, withLabels(head), options);
    this.#activeHead = head.name;
    this.#changed();
  }

  #currentHead(): AttachedHead {
    if (this.#activeHead !== undefined) return this.#heads.get(this.#activeHead);
    const subject = this.#activeAdapter === undefined ? `the encoder ${this.encoder.name}` : `the adapter '${this.#activeAdapter}'`;
    return noHead(subject);
  }

  /** Forgets the compiled program; whoever still runs it keeps it. */
  #changed(): void {
    void this.#predictor?.release();
    this.#predictor = undefined;
  }

  async #runtime(): Promise<Engine> {
    this.#engine ??= await (await import('../session/node.ts')).nodeEngine();
    return this.#engine;
  }
}
