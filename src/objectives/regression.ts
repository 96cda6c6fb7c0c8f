import { float32 } from '../base/index.ts';
import type { RegressionRow } from '../tasks/index.ts';
import { CLASSIFICATION } from './classification.ts';
import { denseParameters, type LabelConfig } from './dense.ts';
import type { HeadKind } from './kind.ts';
import { squaredError } from './loss.ts';
import { textUnit } from './text-rows.ts';
import type { Target } from './unit.ts';

export interface NumberTarget extends Target {
  readonly kind: 'number';
  readonly value: number;
}

const { entropy: _none, ...sameAsClassification } = CLASSIFICATION;

/** A number a row: Python's classification head with one output. */
export const REGRESSION: HeadKind<LabelConfig> = {
  ...sameAsClassification,
  claims: ({ num_labels }) => num_labels === 1,

  task: 'regression',
  labelled: false,
  solves: 'number',
  defaults: () => ({ num_labels: 1, layers: 2 }),
  units(row, tools) {
    const { label } = row as Partial<RegressionRow>;
    const target: NumberTarget | undefined = label === undefined ? undefined : { kind: 'number', value: label };
    return textUnit(row, tools, target);
  },

  loss(_, logits, { input }) {
    return squaredError(logits, input('labels', 'float32', ['B']), input('lossWeights', 'float32', ['B']));
  },
  targets(_, { sequences, units }, weight, { mean, deviation } = { mean: 0, deviation: 1 }) {
    const labels = new Float32Array(sequences);
    const weights = new Float32Array(sequences);
    for (const { unit, place } of units) {
      labels[place] = ((unit.target as NumberTarget).value - mean) / deviation;
      weights[place] = weight;
    }
    return { labels: float32([sequences], labels), lossWeights: float32([sequences], weights) };
  },
  numbers: {
    labelOf: ({ target }) => (target as NumberTarget).value,
    // y = Wx + b becomes (σW)x + (σb + μ) in the last linear.
    rescaled(head, { hidden }, values, { mean, deviation }) {
      const last = denseParameters(head, hidden, 1).slice(head.config.bias ? -2 : -1);
      return new Map(
        last.flatMap(({ name }) => {
          const value = values.get(name);
          if (!value) return [];
          const shift = name.endsWith('.bias') ? mean : 0;
          return [[name, { ...value, data: (value.data as Float32Array).map((x) => deviation * x + shift) }] as const];
        }),
      );
    },
  },

  answer(_, __, [unit]) {
    const logits = [...(unit?.logits ?? [])];
    return { prediction: logits[0] as number, logits };
  },
  questions({ target }) {
    return target ? [{ sequence: 0, answers: [(target as NumberTarget).value] }] : [];
  },
};
