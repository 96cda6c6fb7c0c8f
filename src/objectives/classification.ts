import { float32, int32 } from '../base/index.ts';
import { normalisedEntropy } from '../batch/index.ts';
import type { ClassificationRow, PredictionRow } from '../tasks/index.ts';
import { argmax, labelsOf, oneHot } from './answers.ts';
import { fixedDense, type LabelConfig, labelDefaults, labelHead } from './dense.ts';
import type { HeadKind } from './kind.ts';
import { crossEntropy } from './loss.ts';
import { textColumns, textUnit } from './text-rows.ts';
import type { Target } from './unit.ts';

/** A label by its place among the outputs. */
export interface ClassTarget extends Target {
  readonly kind: 'class';
  readonly label: number;
}

/** One of several labels a row. */
export const CLASSIFICATION: HeadKind<LabelConfig> = {
  ...labelHead('classification', 'first', ['num_labels', 'use_pooler', 'bias']),

  task: 'classification',
  labelled: true,
  solves: 'class',
  defaults: (task) => ({ ...labelDefaults(task), layers: 2 }),
  columns: textColumns,
  usualLength: 128,
  units: (row, tools) => textUnit(row, tools, classTarget(row, tools.labels)),

  loss(_, logits, { input }) {
    return crossEntropy(logits, input('labels', 'int32', ['B']), input('lossWeights', 'float32', ['B']));
  },
  targets(_, { sequences, units }, weight) {
    const labels = new Int32Array(sequences);
    const weights = new Float32Array(sequences);
    for (const { unit, place } of units) {
      labels[place] = (unit.target as ClassTarget).label;
      weights[place] = weight;
    }
    return { labels: int32([sequences], labels), lossWeights: float32([sequences], weights) };
  },

  answer(head, _, [unit]) {
    const logits = [...(unit?.logits ?? [])];
    return { prediction: labelsOf(head)[argmax(logits)] as string, logits };
  },
  entropy: { single: true, of: (_, __, logits) => normalisedEntropy(logits) },
  questions({ target }, labels) {
    return target ? [{ sequence: 0, answers: oneHot(labels, (target as ClassTarget).label) }] : [];
  },
  fixed: ({ classifier }) => classifier && fixedDense('SequenceClassification', 'num_labels', classifier, 'SEQ_CLS'),
};

function classTarget(row: PredictionRow, labels: readonly string[]): ClassTarget | undefined {
  const { label } = row as Partial<ClassificationRow>;
  return label === undefined ? undefined : { kind: 'class', label: labels.indexOf(label) };
}
