import { fail } from '../base/errors.ts';
import { checkHeadConfig, type Head, type HeadConfig } from '../objectives/index.ts';
import type { HeadOptions, LabelledHeadOptions } from './options.ts';

/** One of several labels a row; with `multilabel` any number of them. @throws head.config */
export function classificationHead(
  name: string,
  { multilabel = false, ...options }: LabelledHeadOptions & { readonly multilabel?: boolean },
): Head {
  const type = multilabel ? 'multilabel_classification' : 'classification';
  return newHead(name, { head_type: type, ...labelFields(options), layers: 2 }, options);
}

/** A number a row: Python's classification head with one output. @throws head.config */
export function regressionHead(name: string, options: HeadOptions): Head {
  return newHead(name, { head_type: 'classification', num_labels: 1, layers: 2 }, options);
}

/** One of `numChoices` texts a row. @throws head.config */
export function choiceHead(name: string, { numChoices = 2, ...options }: HeadOptions & { readonly numChoices?: number }): Head {
  return newHead(name, { head_type: 'multiple_choice', num_choices: numChoices, layers: 2 }, options);
}

/** One label a word. @throws head.config */
export function taggingHead(name: string, options: LabelledHeadOptions): Head {
  return newHead(name, { head_type: 'tagging', ...labelFields(options), layers: 1 }, options);
}

/** A span of a context that answers a question. @throws head.config */
export function spanHead(name: string, options: HeadOptions): Head {
  return newHead(name, { head_type: 'question_answering', num_labels: 2, layers: 1 }, options);
}

/** What the options say goes before what the kind of head brings. */
function newHead(name: string, fields: Partial<HeadConfig> & Pick<HeadConfig, 'head_type'>, options: HeadOptions): Head {
  const { layers, activationFunction, usePooler, bias, dropoutProb } = options;
  const given = { layers, activation_function: activationFunction, use_pooler: usePooler, bias, dropout_prob: dropoutProb };
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return { name, config: checkHeadConfig({ ...fields, ...set }, `head '${name}'`) };
}

/** The outputs of a head by number or by name. @throws head.config when the two disagree */
function labelFields({ numLabels, labels }: LabelledHeadOptions): Pick<HeadConfig, 'num_labels' | 'label2id'> {
  if (labels && numLabels !== undefined && labels.length !== numLabels)
    fail({ code: 'head.config', subject: 'labels', found: `${labels.length} names`, expected: `${numLabels}, as numLabels says` });
  return {
    num_labels: labels?.length ?? numLabels ?? 2,
    label2id: labels ? Object.fromEntries(labels.map((label, i) => [label, i])) : null,
  };
}
