import { float32 } from '../base/index.ts';
import { normalisedEntropy } from '../batch/index.ts';
import type { MultilabelRow } from '../tasks/index.ts';
import { labelsOf, mean } from './answers.ts';
import { type LabelConfig, labelDefaults, labelHead } from './dense.ts';
import type { HeadKind } from './kind.ts';
import { binaryCrossEntropy } from './loss.ts';
import { textColumns, textUnit } from './text-rows.ts';
import type { Target } from './unit.ts';

/** 1 for the labels that a row has, 0 for others. */
interface ClassesTarget extends Target {
  readonly kind: 'classes';
  readonly values: Float32Array;
}

/** Any number of labels a row. */
export const MULTILABEL: HeadKind<LabelConfig> = {
  ...labelHead('multilabel_classification', 'first', ['num_labels', 'use_pooler', 'bias']),

  task: 'multilabel',
  labelled: true,
  solves: 'each',
  defaults: (task) => ({ ...labelDefaults(task), layers: 2 }),
  columns: textColumns,
  usualLength: 128,
  units(row, tools) {
    const { label } = row as Partial<MultilabelRow>;
    const target: ClassesTarget | undefined = label && {
      kind: 'classes',
      values: Float32Array.from(tools.labels, (name) => Number(label.includes(name))),
    };
    return textUnit(row, tools, target);
  },

  loss({ config }, logits, { input }) {
    return binaryCrossEntropy(logits, input('labels', 'float32', ['B', config.num_labels]), input('lossWeights', 'float32', ['B']));
  },
  targets({ config: { num_labels } }, { sequences, units }, weight) {
    const labels = new Float32Array(sequences * num_labels);
    const weights = new Float32Array(sequences);
    for (const { unit, place } of units) {
      labels.set((unit.target as ClassesTarget).values, place * num_labels);
      weights[place] = weight;
    }
    return { labels: float32([sequences, num_labels], labels), lossWeights: float32([sequences], weights) };
  },

  answer(head, _, [unit]) {
    const logits = [...(unit?.logits ?? [])];
    return { prediction: labelsOf(head).filter((__, i) => (logits[i] as number) > 0), logits };
  },
  entropy: { single: false, of: (_, __, logits) => mean(Array.from(logits, (logit) => normalisedEntropy([logit, 0]))) },
  questions({ target }) {
    return target ? [{ sequence: 0, answers: [...(target as ClassesTarget).values] }] : [];
  },
};
