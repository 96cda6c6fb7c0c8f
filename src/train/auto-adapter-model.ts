import { fail } from '../base/errors.ts';
import { type Files, joinPath } from '../base/files.ts';
import { elementCount, type Tensor } from '../base/tensor.ts';
import {
  ADAPTER_CONFIG,
  checkName,
  HEAD_CONFIG,
  loadAdapter,
  loadHead,
  type SavingOptions,
  saveAdapter,
  saveHead,
  type WeightFormat,
} from '../checkpoint/index.ts';
import { type Encoder, loadEncoder } from '../encoders/index.ts';
import { type ConfiguredMethod, configureMethod, DEFAULT_METHOD, type MethodConfig, methodOfConfig } from '../methods/index.ts';
import { computeMetrics, majorityScore } from '../metrics/index.ts';
import { type Head, headParameters } from '../objectives/index.ts';
import type { Engine } from '../session/session.ts';
import { checkPredictionRow, checkRow, loadRows, type Row, type Split, type Task } from '../tasks/index.ts';
import { loadTokenizer, type Tokenizer } from '../text/index.ts';
import { ParameterStore } from '../update/index.ts';
import type { Answer } from './answer.ts';
import {
  type AdapterTraining,
  checkFolder,
  checkRows,
  checkSettings,
  checkTaskGiven,
  type EvaluateOptions,
  type Evaluation,
  type HeadOptions,
  type LabelledHeadOptions,
  missing,
  type PredictOptions,
  type PretrainedOptions,
  type SummaryRow,
  type TrainAdapterOptions,
} from './auto-adapter-options.ts';
import { prepare } from './data.ts';
import { checkColumns, checkForHead, type HeadFields, headConfig, labelFields, taskForHead, taskOfHead, withLabels } from './head-task.ts';
import { type Model, trainableParameters } from './model.ts';
import { createPredictor, type Predictor } from './predictor.ts';
import { headFor, sequenceLength, withDropout } from './train-task.ts';
import { trainModel } from './trainer.ts';

interface Attached {
  readonly method: ConfiguredMethod;
  /** Absent until trained or loaded. */
  readonly tensors?: ReadonlyMap<string, Tensor>;
}

interface AttachedHead extends Head {
  readonly tensors?: ReadonlyMap<string, Tensor>;
}

/** Values of parameters that were neither trained nor loaded are drawn from this seed. */
const UNTRAINED_SEED = 1;

/**
 * One encoder with adapters and heads by name: the class of that name in the Python library `adapters`, in camelCase.
 * One adapter is active at a time, or none.
 */
export class AutoAdapterModel {
  readonly encoder: Encoder;
  readonly tokenizer: Tokenizer;
  readonly #files: Files;
  readonly #adapters = new Map<string, Attached>();
  readonly #heads = new Map<string, AttachedHead>();
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
    return [...this.#adapters.keys()];
  }

  get heads(): readonly string[] {
    return [...this.#heads.keys()];
  }

  get activeAdapters(): string | undefined {
    return this.#activeAdapter;
  }

  get activeHead(): string | undefined {
    return this.#activeHead;
  }

  /** @throws adapter.missing */
  set activeHead(name: string | undefined) {
    if (name !== undefined) this.#head(name);
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
    this.#checkNew('adapter', name, this.#adapters, overwriteOk);
    method.method.parameters(method.config, { encoder: this.encoder.config, family: this.encoder.family, name });
    this.#adapters.set(name, { method });
    this.#changed();
  }

  /** Adds the head that suits a task, with the names of its labels. @throws adapter.duplicate, head.config */
  addHead(name: string, task: Task, { layers, overwriteOk = false }: Pick<HeadOptions, 'layers' | 'overwriteOk'> = {}): void {
    this.#attach(headFor(task, name, [], layers), overwriteOk);
  }

  /** One of several labels a row; with `multilabel` any number of them. */
  addClassificationHead(
    name: string,
    { multilabel = false, ...options }: LabelledHeadOptions & { readonly multilabel?: boolean } = {},
  ): void {
    this.#addHead(
      name,
      { head_type: multilabel ? 'multilabel_classification' : 'classification', ...labelFields(options), layers: 2 },
      options,
    );
  }

  /** A number a row: Python's classification head with one output. */
  addRegressionHead(name: string, options: HeadOptions = {}): void {
    this.#addHead(name, { head_type: 'classification', num_labels: 1, layers: 2 }, options);
  }

  /** One of `numChoices` texts a row. */
  addMultipleChoiceHead(name: string, { numChoices = 2, ...options }: HeadOptions & { readonly numChoices?: number } = {}): void {
    this.#addHead(name, { head_type: 'multiple_choice', num_choices: numChoices, layers: 2 }, options);
  }

  /** One label a word. */
  addTaggingHead(name: string, options: LabelledHeadOptions = {}): void {
    this.#addHead(name, { head_type: 'tagging', ...labelFields(options), layers: 1 }, options);
  }

  /** A span of a context that answers a question. */
  addQaHead(name: string, options: HeadOptions = {}): void {
    this.#addHead(name, { head_type: 'question_answering', num_labels: 2, layers: 1 }, options);
  }

  /** Makes an adapter the active one, and the head of that name too where there is one; undefined for none. @throws adapter.missing */
  setActiveAdapters(name: string | undefined): void {
    if (name !== undefined) this.#adapter(name);
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
    const adapter = this.#adapter(name);
    const checked = checkSettings(settings);
    const maxLength = sequenceLength(this.encoder, this.tokenizer, checked.maxLength, task.kind);
    const read = (which: Split, given: TrainAdapterOptions['rows']) =>
      given ? labelledRows(task, given, which) : loadRows(this.#files, task, which, limit === undefined ? {} : { limit });
    const trainingRows = await read('train', rows);
    if (!this.#heads.has(name)) this.#attach(headFor(task, name, trainingRows), false);
    const head = this.#head(name);
    const judged = taskForHead(task, head);
    // A head that was there before keeps the order of its outputs, whatever that of the task's labels is.
    const ofHead = { ...task, labels: taskOfHead(head).labels };
    const split = (all: readonly Row[]) => ({
      rows: all,
      prepared: prepare(all, { task: ofHead, tokenizer: this.tokenizer, maxLength }),
    });
    const train = split(trainingRows);
    const validation = validationRows || (task.files.validation && !rows) ? split(await read('validation', validationRows)) : undefined;
    const model: Model = { encoder: withDropout(this.encoder, checked.dropout), method: adapter.method, adapter: name, head };
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
    this.#heads.set(name, { ...head, tensors: pick(true) });
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
    const place = options.place ?? ((index: number) => ({ file: 'rows', line: index + 1 }));
    const tokens = sequenceLength(this.encoder, this.tokenizer, options.maxLength, task.kind);
    const checked = rows.map((row, i) => {
      const where = place(i);
      checkColumns(row, task, where);
      const typed = checkPredictionRow(task, row, where);
      checkForHead(typed, head, { vocabulary: this.encoder.config.vocabulary, tokens }, where);
      if (typed.adapter !== undefined && typed.adapter !== (this.#activeAdapter ?? '__base__'))
        fail({
          code: 'adapter.missing',
          subject: `${where.file}:${where.line}, column "adapter"`,
          found: `'${typed.adapter}'`,
          expected: `'${this.#activeAdapter ?? '__base__'}', the active one`,
          next: 'Answer the rows of each adapter on their own.',
        });
      return typed;
    });
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
    const adapter = this.#adapter(name);
    const head = withHead ? this.#heads.get(name) : undefined;
    const tensors = adapter.tensors ?? drawn(this.#specs({ adapter: name }));
    await saveAdapter(
      this.#files,
      folder,
      { name, method: adapter.method, tensors, model: this.encoder, ...(head && { head: this.#packed(head) }) },
      options,
    );
  }

  /** Loads an adapter folder, and the head in it. Returns its name. @throws adapter.* , method.config, head.config, file.* */
  async loadAdapter(
    folder: string,
    { loadAs, withHead = true, setActive = true }: { loadAs?: string; withHead?: boolean; setActive?: boolean } = {},
  ): Promise<string> {
    if ((await this.#files.kind(joinPath(folder, ADAPTER_CONFIG))) !== 'file') await this.#noAdapter(folder);
    const { name, method, tensors, head, notes } = await loadAdapter(this.#files, folder, {
      encoder: this.encoder,
      head: withHead,
      ...(loadAs && { as: loadAs }),
    });
    this.#adapters.set(name, { method, tensors });
    if (head) this.#heads.set(head.name, withLabels({ name: head.name, config: head.config, tensors: head.tensors }));
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
    await saveHead(this.#files, folder, this.#packed(this.#head(name)), this.encoder, options);
  }

  /** Loads a saved head and makes it the active one. Returns its name. @throws adapter.mismatch, adapter.format, head.config, file.* */
  async loadHead(folder: string, { loadAs }: { loadAs?: string } = {}): Promise<string> {
    const { name, config, tensors, notes } = await loadHead(this.#files, folder, { encoder: this.encoder, ...(loadAs && { as: loadAs }) });
    this.#heads.set(name, withLabels({ name, config, tensors }));
    this.#notes.push(...notes);
    this.activeHead = name;
    return name;
  }

  /** Numbers of parameters by adapter, the encoder last. */
  adapterSummary(): SummaryRow[] {
    const total = [...this.encoder.weights.values()].reduce((sum, { shape }) => sum + elementCount(shape), 0);
    const rows = [...this.#adapters].map(([name, { method }]): SummaryRow => {
      const parameters = this.#specs({ adapter: name }).reduce((sum, { shape }) => sum + elementCount(shape), 0);
      const active = name === this.#activeAdapter;
      return { name, architecture: method.method.name, parameters, percent: (100 * parameters) / total, active, train: active };
    });
    return [
      ...rows,
      {
        name: this.encoder.name,
        architecture: `${this.encoder.family.name} (encoder)`,
        parameters: total,
        percent: 100,
        active: true,
        train: false,
      },
    ];
  }

  /** Frees the compiled program; the model can be used again. */
  async release(): Promise<void> {
    await this.#predictor?.release();
    this.#predictor = undefined;
  }

  async #answer(
    task: Task,
    rows: Parameters<Predictor['answers']>[0],
    { maxLength, onProgress, onNote }: PredictOptions,
  ): Promise<Answer[]> {
    const limit = sequenceLength(this.encoder, this.tokenizer, maxLength, task.kind);
    const prepared = prepare(rows, { task, tokenizer: this.tokenizer, maxLength: limit });
    if (prepared.truncated > 0) onNote?.(`${prepared.truncated} of ${prepared.rows} rows are longer than ${limit} tokens and were cut.`);
    if (!this.#predictor) {
      const model = this.#model();
      this.#predictor = await createPredictor(await this.#runtime(), model, { fixed: this.#values(model) });
    }
    return this.#predictor.answers(rows, prepared, onProgress);
  }

  /** The active adapter and head; without an adapter, the bare encoder with a head. */
  #model(): Model {
    const name = this.#activeAdapter;
    const head = this.#currentHead();
    return {
      encoder: this.encoder,
      method: name === undefined ? configureMethod('head') : this.#adapter(name).method,
      adapter: name ?? '',
      head,
    };
  }

  #values(model: Model): Map<string, Tensor> {
    const known = new Map([...(this.#adapters.get(model.adapter)?.tensors ?? []), ...(this.#heads.get(model.head.name)?.tensors ?? [])]);
    const specs = trainableParameters(model);
    return specs.every(({ name }) => known.has(name)) ? known : new Map([...drawn(specs), ...known]);
  }

  #specs({ adapter }: { adapter: string }) {
    const { method, config } = this.#adapter(adapter).method;
    return method.parameters(config, { encoder: this.encoder.config, family: this.encoder.family, name: adapter });
  }

  #packed(head: AttachedHead) {
    return { ...head, tensors: head.tensors ?? drawn(headParameters(head, this.encoder.config.hidden)) };
  }

  #addHead(name: string, fields: HeadFields, options: HeadOptions): void {
    this.#attach({ name, config: headConfig(name, fields, options) }, options.overwriteOk ?? false);
  }

  #attach(head: Head, overwriteOk: boolean): void {
    this.#checkNew('head', head.name, this.#heads, overwriteOk);
    this.#heads.set(head.name, withLabels(head));
    this.#activeHead = head.name;
    this.#changed();
  }

  #adapter(name: string): Attached {
    return this.#adapters.get(name) ?? missing('adapter', name, this.adapters);
  }

  #head(name: string): AttachedHead {
    return this.#heads.get(name) ?? missing('head', name, this.heads);
  }

  #currentHead(): AttachedHead {
    if (this.#activeHead !== undefined) return this.#head(this.#activeHead);
    const subject = this.#activeAdapter === undefined ? `the encoder ${this.encoder.name}` : `the adapter '${this.#activeAdapter}'`;
    return fail({
      code: 'adapter.missing',
      subject,
      found: 'no prediction head',
      expected: `a head: ${HEAD_CONFIG} with its weights in the folder`,
      next: 'Load an adapter that was saved with its head, or train one.',
    });
  }

  #checkNew(what: string, name: string, known: ReadonlyMap<string, unknown>, overwriteOk: boolean): void {
    checkName(name, `${what} '${name}'`, 'Choose another name.');
    if (known.has(name) && !overwriteOk)
      fail({
        code: 'adapter.duplicate',
        subject: `${what} '${name}'`,
        found: 'one of that name already',
        expected: 'a new name',
        next: 'Choose another name, or give overwriteOk: true.',
      });
  }

  async #noAdapter(folder: string): Promise<never> {
    const kind = await this.#files.kind(folder);
    const found =
      kind === 'none'
        ? 'nothing'
        : kind === 'file'
          ? 'a file'
          : `a folder with ${(await this.#files.list(folder)).slice(0, 6).join(', ') || 'nothing in it'}`;
    return fail({
      code: kind === 'folder' ? 'adapter.format' : 'file.missing',
      subject: folder,
      found,
      expected: `an adapter folder with ${ADAPTER_CONFIG}`,
      next: 'Check the path; multigraft inspect says what a folder holds.',
    });
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

function labelledRows(task: Task, rows: readonly Readonly<Record<string, unknown>>[], which: Split): Row[] {
  if (rows.length === 0) fail({ code: 'task.empty', subject: `${which} rows`, found: 'none', expected: 'at least one' });
  return rows.map((row, i) => checkRow(task, row, { file: `${which} rows`, line: i + 1 }));
}

function drawn(specs: ConstructorParameters<typeof ParameterStore>[0]): ReadonlyMap<string, Tensor> {
  const store = new ParameterStore(specs);
  store.initialize(UNTRAINED_SEED);
  return store.values();
}
