import { fail } from '../base/index.ts';
import type { EncoderConfig } from '../encoders/index.ts';
import {
  CHOICE,
  CLASSIFICATION,
  createHead,
  type Head,
  type HeadKind,
  MASKED_LM,
  MULTILABEL,
  REGRESSION,
  SPANS,
  TAGGING,
} from '../objectives/index.ts';
import type { HeadOptions, LabelledHeadOptions } from './options.ts';

/** One of several labels a row; with `multilabel` any number of them. @throws head.config */
export function classificationHead(
  name: string,
  { multilabel = false, ...options }: LabelledHeadOptions & { readonly multilabel?: boolean },
): Head {
  return newHead(multilabel ? MULTILABEL : CLASSIFICATION, name, { ...labelFields(options), layers: 2 }, options);
}

/** A number a row: Python's classification head with one output. @throws head.config */
export function regressionHead(name: string, options: HeadOptions): Head {
  return newHead(REGRESSION, name, { num_labels: 1, layers: 2 }, options);
}

/** One of `numChoices` texts a row. @throws head.config */
export function choiceHead(name: string, { numChoices = 2, ...options }: HeadOptions & { readonly numChoices?: number }): Head {
  return newHead(CHOICE, name, { num_choices: numChoices, layers: 2 }, options);
}

/** One label a word. @throws head.config */
export function taggingHead(name: string, options: LabelledHeadOptions): Head {
  return newHead(TAGGING, name, { ...labelFields(options), layers: 1 }, options);
}

/** A span of a context that answers a question. @throws head.config */
export function spanHead(name: string, options: HeadOptions): Head {
  return newHead(SPANS, name, { num_labels: 2, layers: 1 }, options);
}

/** Guesses hidden words of an encoder. @throws head.config */
export function maskedLmHead(name: string, options: HeadOptions, { vocabulary, embedding }: EncoderConfig): Head {
  return newHead(MASKED_LM, name, { vocab_size: vocabulary, embedding_size: embedding }, options);
}

/** What the options say goes before what the kind of head brings. */
function newHead({ type }: HeadKind, name: string, fields: Readonly<Record<string, unknown>>, options: HeadOptions): Head {
  const { layers, activationFunction, usePooler, bias, dropoutProb } = options;
  const settings = { layers, activation_function: activationFunction, use_pooler: usePooler, bias, dropout_prob: dropoutProb };
  const set = Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
  return createHead(name, { head_type: type, ...fields, ...set });
}

/** The outputs of a head by number or by name. @throws head.config when the two disagree */
function labelFields({ numLabels, labels }: LabelledHeadOptions): Readonly<Record<string, unknown>> {
  if (labels && numLabels !== undefined && labels.length !== numLabels)
    fail({ code: 'head.config', subject: 'labels', found: `${labels.length} names`, expected: `${numLabels}, as numLabels says` });
  return {
    num_labels: labels?.length ?? numLabels ?? 2,
    label2id: labels ? Object.fromEntries(labels.map((label, i) => [label, i])) : null,
  };
}
