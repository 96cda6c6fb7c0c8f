import { fail } from '../base/index.ts';
import type { Encoder } from '../encoders/index.ts';
import type { Composition } from '../methods/index.ts';
import { withLabels } from '../model/head-task.ts';
import { pooledHead } from '../model/task-setup.ts';
import type { Combination, CombinationOptions } from '../model/weighted.ts';
import type { Head } from '../objectives/index.ts';
import type { Tokenizer } from '../text/index.ts';
import type { Attached } from './attached.ts';
import type { AverageOptions, WeightsOptions } from './combine.ts';
import type { Embedder, EmbedderOptions, EmbedOptions } from './embed.ts';
import type { MergeOptions } from './merge.ts';
import { type ModelState, refuseTaken } from './model-state.ts';
import { choiceHead, classificationHead, maskedLmHead, regressionHead, spanHead, taggingHead } from './new-heads.ts';
import type { HeadOptions, LabelledHeadOptions } from './options.ts';

/** How something that was made is added. */
interface Adding {
  /** Replaces one of that name. */
  readonly overwriteOk?: boolean;
  /** Makes it the active one; false when left out. */
  readonly setActive?: boolean;
}

/** What is attached to an encoder by name, and what is made of it without computing anything on texts. */
export abstract class AttachedModel {
  protected state: ModelState;

  protected constructor(state: ModelState) {
    this.state = state;
  }

  /** With what was merged into it, if anything was. */
  get encoder(): Encoder {
    return this.state.encoder;
  }

  get tokenizer(): Tokenizer {
    return this.state.tokenizer;
  }

  get adapters(): readonly string[] {
    return this.state.adapters.names;
  }

  get fusions(): readonly string[] {
    return this.state.fusions.names;
  }

  get heads(): readonly string[] {
    return this.state.heads.names;
  }

  /** One of several labels a row; with `multilabel` any number of them. */
  addClassificationHead(name: string, options: LabelledHeadOptions & { readonly multilabel?: boolean } = {}): void {
    this.#addMade(classificationHead(name, options), options);
  }

  /** A number a row: Python's classification head with one output. */
  addRegressionHead(name: string, options: HeadOptions = {}): void {
    this.#addMade(regressionHead(name, options), options);
  }

  /** One of `numChoices` texts a row. */
  addMultipleChoiceHead(name: string, options: HeadOptions & { readonly numChoices?: number } = {}): void {
    this.#addMade(choiceHead(name, options), options);
  }

  /** Guesses hidden words: Python's BertStyleMaskedLMHead. It is of no task, and rows hold the mask where words are to be guessed. */
  addMaskedLmHead(name: string, options: Pick<HeadOptions, 'layers' | 'activationFunction' | 'overwriteOk'> = {}): void {
    this.attachHead(maskedLmHead(name, options, this.encoder.config), options);
  }

  /** One label a word. */
  addTaggingHead(name: string, options: LabelledHeadOptions = {}): void {
    this.#addMade(taggingHead(name, options), options);
  }

  /** A span of a context that answers a question. */
  addQaHead(name: string, options: HeadOptions = {}): void {
    this.#addMade(spanHead(name, options), options);
  }

  /**
   * Adds an adapter that is the weighted mean of others, Σ λᵢ Φᵢ: parameter by parameter for every method, or by `combineStrategy` for
   * LoRA. Names, or names with their weights. Configurations must be equal but for dropout and first values.
   * @throws adapter.missing, adapter.duplicate, method.config, usage.value
   */
  async averageAdapter(
    name: string,
    adapters: readonly string[] | Readonly<Record<string, number>>,
    options: AverageOptions & Adding = {},
  ): Promise<void> {
    const { averaged } = await import('./combine.ts');
    const [names, given] = namesAndWeights(adapters);
    await this.#add(name, await averaged(this.state, names, { ...given, ...options }, name), options);
  }

  /** Adds a head that is the weighted mean of heads of one form, and makes it the active one. @throws adapter.missing, head.config, usage.value */
  async averageHead(
    name: string,
    heads: readonly string[] | Readonly<Record<string, number>>,
    options: WeightsOptions & Omit<Adding, 'setActive'> = {},
  ): Promise<void> {
    const { averagedHead } = await import('./combine.ts');
    const [names, given] = namesAndWeights(heads);
    this.attachHead(await averagedHead(this.state, names, { ...given, ...options }, name), options);
  }

  /**
   * Adds one LoRA of several by one of PEFT's combinations, `svd` when left out. Weights count as they are, and may be negative; ranks
   * and linears may differ where the combination allows it.
   * @throws adapter.missing, adapter.duplicate, method.config for adapters that are more than low-rank updates, usage.value
   */
  async addWeightedAdapter(
    name: string,
    adapters: readonly string[],
    weights: readonly number[],
    options: CombinationOptions & { readonly combinationType?: Combination } & Adding = {},
  ): Promise<void> {
    const { weighted } = await import('./combine.ts');
    const { overwriteOk: _over, setActive: _active, ...how } = options;
    await this.#add(name, await weighted(this.state, adapters, weights, how, name), options);
  }

  /**
   * Adds the LoRA of a rank that is nearest to an adapter which changes matrices of linears and nothing else, by their singular values.
   * @returns which part of the changes it keeps, in squares: 1 where nothing is lost
   * @throws adapter.missing, adapter.duplicate, method.config for biases, norms and what no weights stand for, usage.value
   */
  async toLora(
    name: string,
    { rank, as = `${name}-lora`, onProgress, ...options }: { readonly rank: number; readonly as?: string } & MergeOptions & Adding,
  ): Promise<{ readonly name: string; readonly kept: number }> {
    const { asLora } = await import('./combine.ts');
    const { kept, ...made } = await asLora(this.state, name, { rank, ...(onProgress && { onProgress }) }, as);
    await this.#add(as, made, options);
    return { name: as, kept };
  }

  /**
   * Puts the keys and values that a prefix's network computes in the network's place, as Python does; of a union those of its prefix. It
   * answers the same, and is saved and trained as a flat prefix then.
   * @throws adapter.missing, method.config for an adapter without such a network
   */
  async ejectPrefixTuning(name: string): Promise<void> {
    const { ejected } = await import('./eject.ts');
    await this.#add(name, await ejected(this.state, name), { overwriteOk: true });
  }

  async #add(name: string, made: Attached, { overwriteOk = false, setActive = false }: Adding): Promise<void> {
    refuseTaken(this.state, 'adapter', name);
    this.state.adapters.add(name, made, { overwriteOk });
    if (setActive) this.setActiveAdapters(name);
    else this.changed();
  }

  /** @throws usage.value for two answers to one question, or for one that its head does not ask */
  #addMade(head: Head, options: HeadOptions): void {
    const { usePooler, pooling } = options;
    if (usePooler !== undefined && pooling !== undefined)
      fail({ code: 'usage.value', subject: 'pooling', found: `${pooling}, and usePooler`, expected: 'one of them' });
    this.attachHead(usePooler === undefined ? pooledHead(head, this.encoder, pooling) : head, options);
  }

  protected attachHead(head: Head, options: { readonly overwriteOk?: boolean } = {}): void {
    this.state.heads.add(head.name, withLabels(head), options);
    this.nowActive(head.name);
  }

  abstract embedder(options?: EmbedderOptions): Promise<Embedder>;

  /**
   * A vector for each text, in order, as sentence-transformers makes it by the encoder's folder, with the active adapter where there is one.
   * @throws usage.value, encoder.config
   */
  async embed(texts: readonly string[], { onProgress, ...options }: EmbedOptions = {}): Promise<Float32Array[]> {
    if (!Array.isArray(texts) || texts.some((text) => typeof text !== 'string'))
      fail({
        code: 'usage.value',
        subject: 'embed(texts)',
        found: Array.isArray(texts) ? 'an array with other things' : typeof texts,
        expected: 'an array of texts',
      });
    const embedder = await this.embedder(options);
    try {
      const vectors = await embedder.embed(texts, onProgress);
      const { cut, maxLength } = embedder;
      if (cut > 0) options.onNote?.(`${cut} of ${texts.length} texts are longer than ${maxLength} tokens and were cut.`);
      return vectors;
    } finally {
      await embedder.release();
    }
  }

  abstract setActiveAdapters(setup: Composition | undefined): void;

  /** Forgets what was compiled. */
  protected abstract changed(): void;

  /** Makes a head the active one. */
  protected abstract nowActive(head: string): void;
}

function namesAndWeights(given: readonly string[] | Readonly<Record<string, number>>): [string[], WeightsOptions] {
  return Array.isArray(given) ? [given, {}] : [Object.keys(given), { weights: Object.values(given) }];
}
