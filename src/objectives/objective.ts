import { float32 } from '../base/index.ts';
import type { Dim } from '../graph/index.ts';
import type { Objective } from './kind.ts';
import { meanSquaredError } from './loss.ts';
import { logitRows } from './rows.ts';
import type { Target } from './unit.ts';

/** The labels of rows, as each kind of head takes them. */
export const LABELS: Objective = {
  loss: (head, logits, inputs) => head.kind.loss(head, logits, inputs),
  targets: (head, batch, weight, scale) => head.kind.targets(head, batch, weight, scale),
  terms: ({ kind }, unit) => kind.terms?.(unit) ?? 1,
};

/** What a teacher computes for a unit: [rows, outputs] without padding. */
export interface LogitsTarget extends Target {
  readonly kind: 'logits';
  readonly values: Float32Array;
}

/** A teacher's logits: the mean squared difference (Ba & Caruana 2014), for heads of every kind. Each row of logits is a term. */
export const DISTILLATION: Objective = {
  loss(_, logits, { input }) {
    const [rows] = logits.shape as [Dim, number];
    return meanSquaredError(logits, input('teacherLogits', 'float32', logits.shape), input('lossWeights', 'float32', [rows]));
  },
  targets(head, batch, weight) {
    const outputs = head.kind.outputs(head.config);
    const { count, units } = logitRows(head, batch);
    const wanted = new Float32Array(count * outputs);
    const weights = new Float32Array(count);
    for (const { unit, from } of units) {
      const { values } = unit.target as LogitsTarget;
      wanted.set(values, from * outputs);
      weights.fill(weight, from, from + values.length / outputs);
    }
    return { teacherLogits: float32([count, outputs], wanted), lossWeights: float32([count], weights) };
  },
  terms: ({ kind, config }, { target }) => (target as LogitsTarget).values.length / kind.outputs(config),
};
