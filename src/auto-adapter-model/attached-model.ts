import type { Encoder } from '../encoders/index.ts';
import { withLabels } from '../model/head-task.ts';
import type { Head } from '../objectives/index.ts';
import type { Tokenizer } from '../text/index.ts';
import type { ModelState } from './model-state.ts';
import { choiceHead, classificationHead, maskedLmHead, regressionHead, spanHead, taggingHead } from './new-heads.ts';
import type { HeadOptions, LabelledHeadOptions } from './options.ts';

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
    this.attachHead(classificationHead(name, options), options);
  }

  /** A number a row: Python's classification head with one output. */
  addRegressionHead(name: string, options: HeadOptions = {}): void {
    this.attachHead(regressionHead(name, options), options);
  }

  /** One of `numChoices` texts a row. */
  addMultipleChoiceHead(name: string, options: HeadOptions & { readonly numChoices?: number } = {}): void {
    this.attachHead(choiceHead(name, options), options);
  }

  /** Guesses hidden words: Python's BertStyleMaskedLMHead. It is of no task, and rows hold the mask where words are to be guessed. */
  addMaskedLmHead(name: string, options: Pick<HeadOptions, 'layers' | 'activationFunction' | 'overwriteOk'> = {}): void {
    this.attachHead(maskedLmHead(name, options, this.encoder.config), options);
  }

  /** One label a word. */
  addTaggingHead(name: string, options: LabelledHeadOptions = {}): void {
    this.attachHead(taggingHead(name, options), options);
  }

  /** A span of a context that answers a question. */
  addQaHead(name: string, options: HeadOptions = {}): void {
    this.attachHead(spanHead(name, options), options);
  }

  protected attachHead(head: Head, options: { readonly overwriteOk?: boolean } = {}): void {
    this.state.heads.add(head.name, withLabels(head), options);
    this.nowActive(head.name);
  }

  /** Makes a head the active one. */
  protected abstract nowActive(head: string): void;
}
