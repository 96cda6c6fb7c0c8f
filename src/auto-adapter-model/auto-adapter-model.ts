import { type Files, fail, joinPath } from '../base/index.ts';
import { HEAD_CONFIG, loadHead, type SavingOptions, saveHead, type WeightFormat } from '../checkpoint/index.ts';
import { type Encoder, loadEncoder } from '../encoders/index.ts';
import {
  adaptersOf,
  type Composition,
  type ConfiguredMethod,
  checkLayers,
  configureMethod,
  DEFAULT_METHOD,
  describe,
  encoderFacts,
  type Fuse,
  type FusionConfig,
  fusionConfig,
  fusionsOf,
  isFuse,
  lastOf,
  type MethodConfig,
  methodOfConfig,
} from '../methods/index.ts';
import { taskOfHead, withLabels } from '../model/head-task.ts';
import { headFor, pooledHead, withTokenizer } from '../model/task-setup.ts';
import { createHead } from '../objectives/index.ts';
import type { Answer } from '../predict/answer.ts';
import type { Evaluation } from '../predict/evaluation.ts';
import type { Engine } from '../session/session.ts';
import type { Split, Task } from '../tasks/index.ts';
import { loadTokenizer, type Tokenizer } from '../text/index.ts';
import { type Active, ActiveModel, activeHeads, type NamedEvaluation } from './active-model.ts';
import { type Attached, type AttachedFusion, type AttachedHead, packedHead } from './attached.ts';
import { AttachedModel } from './attached-model.ts';
import type { Embedder, EmbedderOptions } from './embed.ts';
import { type Kinds, kindsWith } from './extensions.ts';
import type { MergeOptions } from './merge.ts';
import type { MixedModel } from './mixed-rows.ts';
import { attachmentOf, headsOf, refuseTaken } from './model-state.ts';
import { Named } from './named.ts';
import {
  type AdapterTraining,
  asFusion,
  checkAddsParameters,
  checkFolder,
  checkFusion,
  checkRows,
  checkSetup,
  type EvaluateOptions,
  type HeadFields,
  type HeadOptions,
  type HeadSetup,
  headNames,
  type LoadOptions,
  type PredictOptions,
  type PretrainedOptions,
  type PruneFusionOptions,
  refuseFused,
  refuseSeveral,
  refuseUnmerged,
  refuseWhileMerged,
  type SummaryRow,
  type TrainAdapterFusionOptions,
  type TrainAdapterOptions,
} from './options.ts';
import type { Pruning } from './prune.ts';
import {
  type HeadChoice,
  type Loaded,
  loadAttached,
  loadAttachedFusion,
  loadAttachedSetup,
  type SetupOptions,
  saveAttached,
  saveAttachedFusion,
  saveAttachedSetup,
} from './saved.ts';
import { summarize } from './summary.ts';

interface Setting {
  readonly files: Files;
  readonly engine: Engine | undefined;
  readonly kinds: Kinds;
}

/**
 * One encoder with adapters and heads by name: the class of that name in the Python library `adapters`, in camelCase.
 * One adapter is active at a time, a composition of several, or none.
 */
export class AutoAdapterModel extends AttachedModel {
  #merged: { readonly setup: Composition; readonly skipLayers: readonly number[]; readonly before: Encoder } | undefined;
  readonly #notes: string[];
  #engine: Engine | undefined;
  #active: Composition | undefined;
  #skipLayers: readonly number[] = [];
  #activeHeads: readonly string[] = [];
  readonly #answers = new ActiveModel(() => this.#runtime());
  #mixed: MixedModel | undefined;

  private constructor(encoder: Encoder, tokenizer: Tokenizer, { files, engine, kinds }: Setting) {
    super({
      files,
      kinds,
      encoder,
      tokenizer,
      adapters: new Named<Attached>('adapter'),
      fusions: new Named<AttachedFusion>('fusion'),
      heads: new Named<AttachedHead>('head'),
    });
    this.#engine = engine;
    this.#notes = [...encoder.notes];
  }

  /**
   * Opens the encoder in a Hugging Face folder, with the head that was saved beside it, if any. Weights are not read yet. Methods,
   * blocks, heads and families from outside take part beside those of this package.
   * @throws encoder.config, encoder.weights, text.tokenizer, file.*
   */
  static async fromPretrained(folder: string, { files, engine, ...extensions }: PretrainedOptions = {}): Promise<AutoAdapterModel> {
    checkFolder(folder);
    const disk = files ?? (await import('#platform')).defaultFiles;
    const kinds = kindsWith(extensions);
    const encoder = await loadEncoder(disk, folder, { families: kinds.families });
    const tokenizer = await loadTokenizer(disk, encoder.folder);
    const model = new AutoAdapterModel(withTokenizer(encoder, tokenizer), tokenizer, { files: disk, engine, kinds });
    if ((await disk.kind(joinPath(folder, HEAD_CONFIG))) === 'file') await model.loadHead(folder);
    return model;
  }

  /** What a user should know of what was loaded: ignored keys, expanded types, numbers that are not finite. */
  get notes(): readonly string[] {
    // Each adapter of a setup may have the same to say.
    return [...new Set(this.#notes)];
  }

  get activeAdapters(): Composition | undefined {
    return this.#active;
  }

  /** The head that answers; several, where each child of a block has its own or each answers all rows. */
  get activeHead(): HeadSetup | undefined {
    return this.#activeHeads.length > 1 ? this.#activeHeads : this.#activeHeads[0];
  }

  /** @throws adapter.missing */
  set activeHead(heads: HeadSetup | undefined) {
    const names = headNames(heads);
    for (const name of names) this.state.heads.get(name);
    this.#activeHeads = names;
    this.changed();
  }

  /** The task that the active head answers. @throws adapter.missing, usage.value with several heads */
  get task(): Task {
    return taskOfHead(this.#currentHead());
  }

  /**
   * Adds a fresh adapter: a method's name with settings in brackets, or a configuration as it stands in files.
   * @throws method.config, method.site, adapter.duplicate, adapter.format for a name that no folder can hold
   */
  addAdapter(name: string, config: string | MethodConfig = DEFAULT_METHOD, { overwriteOk = false } = {}): void {
    const { methods } = this.state.kinds;
    const method =
      typeof config === 'string' ? configureMethod(config, {}, methods) : methodOfConfig(config, `adapter '${name}'`, { methods });
    checkAddsParameters(method, name);
    method.method.parameters(method.config, { ...encoderFacts(this.encoder), name });
    refuseTaken(this.state, 'adapter', name);
    this.state.adapters.add(name, { method }, { overwriteOk });
    this.changed();
  }

  /** Forgets an adapter; its head stays. Where it was active, nothing is afterwards. @throws adapter.missing, usage.value for one in a fusion */
  deleteAdapter(name: string): void {
    this.#refuseMerged();
    const fusion = [...this.state.fusions.entries()].find(([, { adapters }]) => adapters.includes(name));
    if (fusion) refuseFused(name, fusion[0]);
    this.state.adapters.remove(name);
    if (this.#active !== undefined && adaptersOf(this.#active).includes(name)) this.#active = undefined;
    this.changed();
  }

  /** Forgets a head. Where it was active, none is afterwards. @throws adapter.missing */
  deleteHead(name: string): void {
    this.state.heads.remove(name);
    if (this.#activeHeads.includes(name)) this.activeHead = undefined;
  }

  /**
   * Adds a fresh fusion of adapters that are there: their names, or what `fuse` gives. `name` tells several fusions of the
   * same adapters apart; it is the names with commas when left out. Returns it as a composition, to train or make active.
   * @throws usage.value without adapters, adapter.missing, adapter.duplicate, adapter.format, method.config for adapters that
   * cannot be fused or stand at different places
   */
  addAdapterFusion(
    adapters: readonly string[] | Fuse,
    config: string | Partial<FusionConfig> = 'dynamic',
    { name, overwriteOk = false }: { readonly name?: string; readonly overwriteOk?: boolean } = {},
  ): Fuse {
    const block = asFusion(adapters, name);
    const checked = fusionConfig(config, `fusion '${block.name}'`);
    attachmentOf(this.state, block, { fresh: new Map([[block.name, checked]]) });
    refuseTaken(this.state, 'fusion', block.name);
    this.state.fusions.add(block.name, { adapters: block.children.map(lastOf), config: checked }, { overwriteOk });
    this.changed();
    return block;
  }

  /** Forgets a fusion; its adapters and its head stay. Where it was active, nothing is afterwards. @throws adapter.missing */
  deleteAdapterFusion(fusion: string | Fuse): void {
    const name = typeof fusion === 'string' ? fusion : fusion.name;
    this.state.fusions.remove(name);
    if (this.#active !== undefined && fusionsOf(this.#active).some((one) => one.name === name)) this.#active = undefined;
    this.changed();
  }

  /**
   * Adds the head that suits a task, with the names of its labels; or one of a configuration, as head_config.json holds it.
   * @throws adapter.duplicate, head.config
   */
  addHead(
    name: string,
    answers: Task | HeadFields,
    { layers, pooling, ...options }: Pick<HeadOptions, 'layers' | 'pooling' | 'overwriteOk'> = {},
  ): void {
    const { heads } = this.state.kinds;
    const head =
      'head_type' in answers
        ? createHead(name, { ...answers, ...(layers !== undefined && { layers }) }, `head '${name}'`, heads)
        : pooledHead(headFor(answers as Task, name, [], layers, heads), this.encoder, pooling);
    this.attachHead(head, options);
  }

  /**
   * Makes an adapter the active one, or a composition of several by `fuse` and `stack`, and the head of that name too
   * where there is one, or that of each child whose rows are answered by themselves; undefined for none. With `skipLayers` they do nothing in these layers, counted from 0 (AdapterDrop, Rücklé et
   * al. 2021).
   * @throws adapter.missing, method.config for adapters that cannot be put together, usage.value for layers that are not there
   */
  override setActiveAdapters(setup: Composition | undefined, { skipLayers = [] }: { readonly skipLayers?: readonly number[] } = {}): void {
    if (setup !== undefined) checkSetup(setup, 'setActiveAdapters(setup)');
    if (setup !== undefined) this.#refuseMerged();
    if (typeof setup === 'string') this.state.adapters.get(setup);
    else if (setup !== undefined) attachmentOf(this.state, setup);
    checkLayers(skipLayers, this.encoder.config);
    this.#active = setup;
    this.#skipLayers = skipLayers;
    this.#activeHeads = (setup !== undefined && headsOf(this.state, setup)) || this.#activeHeads;
    this.changed();
  }

  /**
   * Trains an adapter with the head of its name, which is added for the task when absent; the encoder stays as it is.
   * Both are active afterwards.
   * @throws task.*, train.memory, train.non-finite, train.stopped
   */
  async trainAdapter(name: string, options: TrainAdapterOptions = {} as TrainAdapterOptions): Promise<AdapterTraining> {
    this.state.adapters.get(name);
    return this.#train(name, options);
  }

  /**
   * Trains the fusions of a composition with the head of their name, which is added for the task when absent; encoder and
   * adapters stay as they are, unless `unfreezeAdapters` lets the adapters train. Composition and head are active afterwards.
   * @throws usage.value without a fusion, adapter.missing, method.config, task.*, train.non-finite, train.stopped
   */
  async trainAdapterFusion(
    setup: Composition,
    options: TrainAdapterFusionOptions = {} as TrainAdapterFusionOptions,
  ): Promise<AdapterTraining> {
    checkSetup(setup, 'trainAdapterFusion(setup, { task })');
    checkFusion(setup, 'trainAdapterFusion(setup, { task })');
    const { unfreezeAdapters = false, ...rest } = options;
    return this.#train(setup, { ...rest, trainAdapters: unfreezeAdapters });
  }

  /**
   * One answer per row, in order, from the active adapter and head, or with `adapterNames` each from its own; from a `parallel` or from
   * several heads one for each row and adapter, those of the first row first, each with the names of what gave it. Rows have the
   * columns of the head's kind of task, those of a `multiTask` the name of their adapter as "task". @throws adapter.missing without a head; task.row, task.label, text.too-long naming the row
   */
  async predict(rows: readonly Readonly<Record<string, unknown>>[], options: PredictOptions = {}): Promise<Answer[]> {
    checkRows(rows);
    if (options.adapterNames) {
      this.#refuseMerged();
      // Whoever has one adapter at a time waits for no more code.
      this.#mixed ??= new (await import('./mixed-rows.ts')).MixedModel(this.state, () => this.#runtime());
      return this.#mixed.predict(rows, { ...options, activeHeads: this.#activeHeads, skipLayers: this.#skipLayers });
    }
    return this.#answers.predict(this.state, this.#whatIsActive(), rows, options);
  }

  /**
   * Says what the active fusion loses without each of its adapters, and makes the smaller fusion active that is worse by no more
   * than the tolerance: half a point (0.005) when left out. Judged on validation rows unless another split is named.
   * @throws usage.value without an active fusion, task.*
   */
  async pruneAdapterFusion(task: Task, options: PruneFusionOptions = {}): Promise<Pruning> {
    const setup = this.#active;
    if (setup === undefined || !isFuse(setup))
      return fail({
        code: 'usage.value',
        subject: 'pruning',
        found: setup === undefined ? 'no adapter' : describe(setup),
        expected: 'an active fusion of adapters',
        next: 'Load the folder that multigraft fuse made.',
      });
    const { pruneAttached } = await import('./prune.ts');
    const pruning = await pruneAttached(await this.#runtime(), this.state, setup, this.#currentHead(), task, options);
    this.#active = pruning.kept;
    this.changed();
    return pruning;
  }

  /**
   * The metrics of a task on one split, beside what the most frequent answer scores.
   * @throws adapter.missing, task.*; usage.value where rows have several answers: {@link evaluateEach}
   */
  async evaluate(task: Task, split: Split = 'test', options: EvaluateOptions = {}): Promise<Evaluation> {
    const [one, ...others] = await this.evaluateEach(task, split, options);
    return others.length === 0 ? (one as Evaluation) : refuseSeveral(this.#activeHeads);
  }

  /**
   * The metrics of each adapter of a `parallel`, or of each of several heads that answer all rows, which all must answer the task; one
   * entry where each row has one answer. @throws adapter.missing, task.*
   */
  async evaluateEach(task: Task, split: Split = 'test', options: EvaluateOptions = {}): Promise<NamedEvaluation[]> {
    return this.#answers.evaluate(this.state, this.#whatIsActive(), task, split, options);
  }

  /**
   * Puts an adapter, or a stack or average of several, into the encoder's weights in memory: it then answers the same with nothing
   * active, and faster. No other adapter can be active until {@link resetAdapter}. The head of its name becomes the active one.
   * @throws adapter.missing; method.config for what no weights of the encoder can do: adapters beside linears and norms, gates, fusions
   */
  async mergeAdapter(setup: Composition | undefined = this.#active, options: MergeOptions = {}): Promise<void> {
    checkSetup(setup, 'mergeAdapter(setup)');
    this.#refuseMerged();
    const { mergedEncoder } = await import('./merge.ts');
    const skipLayers = setup === this.#active ? this.#skipLayers : [];
    const encoder = await mergedEncoder(this.state, setup as Composition, { ...options, skipLayers });
    this.setActiveAdapters(setup, { skipLayers });
    this.#merged = { setup: setup as Composition, skipLayers, before: this.encoder };
    await this.#useEncoder(encoder);
    this.#active = undefined;
  }

  /** Takes what was merged out of the encoder again, to the last bit, and makes it active. Without anything merged it does nothing. */
  async resetAdapter(): Promise<void> {
    if (!this.#merged) return;
    const { setup, skipLayers, before } = this.#merged;
    this.#merged = undefined;
    await this.#useEncoder(before);
    this.setActiveAdapters(setup, { skipLayers });
  }

  /**
   * Writes the encoder as it is now, with what was merged into it, as a Hugging Face folder: config.json, model.safetensors, the tokenizer's
   * files, and the active head beside them.
   * @throws usage.value with an adapter that is active and not merged
   */
  async saveModel(folder: string): Promise<void> {
    if (this.#active !== undefined) refuseUnmerged(describe(this.#active));
    const head = this.#activeHeads.length === 0 ? undefined : this.#currentHead();
    await (await import('./merge.ts')).saveWhole(this.state, folder, head);
  }

  /** Saves an adapter, with the head of its name, as the Python library does. @throws adapter.missing, adapter.format */
  async saveAdapter(folder: string, name: string, options: SavingOptions & HeadChoice = {}): Promise<void> {
    await saveAttached(this.state, folder, name, options);
  }

  /** Loads an adapter folder, and the head in it. Returns its name. @throws adapter.* , method.config, head.config, file.* */
  async loadAdapter(folder: string, { setActive = true, ...options }: LoadOptions = {}): Promise<string> {
    return this.#loaded(await loadAttached(this.state, folder, options), setActive);
  }

  /** Saves a fusion, with the head of its name, as the Python library does; its adapters have folders of their own. @throws adapter.missing, adapter.format */
  async saveAdapterFusion(
    folder: string,
    fusion: string | Fuse,
    options: HeadChoice & { readonly format?: WeightFormat } = {},
  ): Promise<void> {
    await saveAttachedFusion(this.state, folder, typeof fusion === 'string' ? fusion : fusion.name, options);
  }

  /** Loads a fusion of adapters that are there, and the head in its folder. Returns its name. @throws adapter.*, method.config, head.config, file.* */
  async loadAdapterFusion(folder: string, { setActive = true, ...options }: Omit<LoadOptions, 'leaveOut'> = {}): Promise<string> {
    return this.#loaded(await loadAttachedFusion(this.state, folder, options), setActive).name;
  }

  /**
   * Saves a composition, the active one when left out, with all its adapters, fusions and its head, as the Python library does.
   * @throws adapter.missing, adapter.format
   */
  async saveAdapterSetup(folder: string, setup: Composition | undefined = this.#active, options: SetupOptions = {}): Promise<void> {
    checkSetup(setup, 'saveAdapterSetup(folder, setup)');
    await saveAttachedSetup(this.state, folder, setup as Composition, options);
  }

  /** Loads a folder of adapters, fusions and a head that belong together. Returns what they are put together to. @throws adapter.*, composition.nesting, method.config, head.config, file.* */
  async loadAdapterSetup(folder: string, { setActive = true }: Pick<LoadOptions, 'setActive'> = {}): Promise<Composition> {
    return this.#loaded(await loadAttachedSetup(this.state, folder), setActive);
  }

  /** @throws adapter.missing, adapter.format */
  async saveHead(folder: string, name: string, options: { readonly format?: WeightFormat } = {}): Promise<void> {
    await saveHead(this.state.files, folder, await packedHead(this.state.heads.get(name), this.encoder), this.encoder, options);
  }

  /** Loads a saved head and makes it the active one. Returns its name. @throws adapter.mismatch, adapter.format, head.config, file.* */
  async loadHead(folder: string, { loadAs }: { loadAs?: string } = {}): Promise<string> {
    const { files, encoder, kinds } = this.state;
    const { notes, ...head } = await loadHead(files, folder, { encoder, headKinds: kinds.heads, as: loadAs });
    this.state.heads.set(head.name, withLabels(head));
    this.#notes.push(...notes);
    this.activeHead = head.name;
    return head.name;
  }

  /** What makes vectors of texts with what is active now; whoever has many texts makes it once. @throws usage.value, encoder.config */
  async embedder(options: EmbedderOptions = {}): Promise<Embedder> {
    const { createEmbedder } = await import('./embed.ts');
    return createEmbedder(await this.#runtime(), this.state, { setup: this.#active, skipLayers: this.#skipLayers }, options);
  }

  /** Numbers of parameters by adapter and fusion, the encoder last. Methods `asIf` are counted as if the last of them were active. */
  adapterSummary(asIf: readonly ConfiguredMethod[] = []): SummaryRow[] {
    return summarize(this.state, asIf.length === 0 ? this.#active : undefined, asIf);
  }

  /** Frees the compiled programs; the model can be used again. */
  async release(): Promise<void> {
    await this.#mixed?.release();
    await this.#answers.release();
  }

  #whatIsActive(): Active {
    const heads = activeHeads(this.state, this.#active, this.#activeHeads);
    return { setup: this.#active, skipLayers: this.#skipLayers, heads };
  }

  async #train(setup: Composition, options: TrainAdapterFusionOptions & { readonly trainAdapters?: boolean }): Promise<AdapterTraining> {
    // Whoever only predicts waits for no training code.
    this.#refuseMerged();
    const { trainAttached } = await import('./train-attached.ts');
    const result = await trainAttached(this.state, setup, options, () => this.#runtime());
    this.setActiveAdapters(setup);
    return result;
  }

  async #useEncoder(encoder: Encoder): Promise<void> {
    await this.#mixed?.release();
    this.#mixed = undefined;
    this.state = { ...this.state, encoder };
    this.changed();
  }

  #refuseMerged(): void {
    if (this.#merged) refuseWhileMerged(describe(this.#merged.setup));
  }

  #loaded<T extends Composition>({ loaded, heads, notes }: Loaded<T>, setActive: boolean): T {
    this.#notes.push(...notes);
    if (setActive) {
      this.setActiveAdapters(loaded);
      if (heads.length > 0) this.#activeHeads = heads;
    }
    this.changed();
    return loaded;
  }

  /** @throws adapter.missing without a head */
  #currentHeads(): AttachedHead[] {
    return activeHeads(this.state, this.#active, this.#activeHeads).map((name) => this.state.heads.get(name));
  }

  /** @throws adapter.missing without a head, usage.value with several */
  #currentHead(): AttachedHead {
    const [head, ...others] = this.#currentHeads() as [AttachedHead];
    return others.length === 0 ? head : refuseSeveral(this.#activeHeads);
  }

  protected override nowActive(head: string): void {
    this.activeHead = head;
  }

  /** Forgets the compiled program; whoever still runs it keeps it. */
  protected override changed(): void {
    this.#answers.forget();
  }

  async #runtime(): Promise<Engine> {
    this.#engine ??= await (await import('#platform')).defaultEngine();
    return this.#engine;
  }
}
