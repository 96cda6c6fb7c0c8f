import { fail, float32, int32 } from '../base/index.ts';
import { normalisedEntropy } from '../batch/index.ts';
import { gather, reshape } from '../graph/index.ts';
import type { ChoiceRow } from '../tasks/index.ts';
import { argmax } from './answers.ts';
import type { ClassTarget } from './classification.ts';
import { type ChoiceConfig, choiceSchema, DENSE_KEYS, denseParameters, drawDense, fixedDense } from './dense.ts';
import type { HeadKind } from './kind.ts';
import { crossEntropy } from './loss.ts';
import { sequenceVector } from './pooling.ts';

const TYPE = 'multiple_choice';
const KEYS = [...DENSE_KEYS, 'num_choices', 'use_pooler'];

/** One of several texts a row: each choice is a sequence of its own with a score, and the scores of a row are its logits. */
export const CHOICE: HeadKind<ChoiceConfig> = {
  type: TYPE,
  schema: choiceSchema(TYPE, KEYS),
  keys: KEYS,

  task: 'choice',
  labelled: false,
  defaults({ name }, rows) {
    const counts = new Set(rows.map((row) => (row as ChoiceRow).choices.length));
    if (counts.size > 1)
      fail({
        code: 'task.row',
        subject: name,
        found: `rows of ${[...counts].join(' and ')} choices`,
        expected: 'the same number in every row',
      });
    const [choices] = counts;
    return { ...(choices !== undefined && { num_choices: choices }), layers: 2 };
  },
  columns: () => ['text', 'choices'],
  usualLength: 128,
  units(row, { tokenizer, maxLength }) {
    const { text, choices, label } = row as Omit<ChoiceRow, 'label'> & Partial<ChoiceRow>;
    const encodings = choices.map((choice) => tokenizer.encode(text, choice, { maxLength }));
    const target: ClassTarget | undefined = label === undefined ? undefined : { kind: 'class', label };
    return [{ encodings, target }];
  },
  sequences: ({ num_choices }) => num_choices,

  reads: 'first',
  pools: true,
  outputs: ({ num_choices }) => num_choices,
  parameters: (head, { hidden }) => denseParameters(head, hidden, 1),
  draw(head, drawing, { input, rows }) {
    const scores = drawDense(head, sequenceVector(head, drawing), drawing, 1);
    return gather(reshape(scores, ['B']), input('choices', 'int32', [rows, head.config.num_choices]));
  },
  gathers: {
    // A run without rows of choices still has one, of weight 0: its program has no empty tensors.
    feeds({ config: { num_choices } }, { units }) {
      const places = units.flatMap(({ unit, place }) => unit.encodings.map((_, i) => place + i));
      const rows = Math.max(1, units.length);
      return { choices: int32([rows, num_choices], units.length > 0 ? places : new Int32Array(num_choices)) };
    },
    rows: () => 1,
  },

  loss(_, logits, { input, rows }) {
    return crossEntropy(logits, input('labels', 'int32', [rows]), input('lossWeights', 'float32', [rows]));
  },
  targets(_, { units }, weight) {
    const labels = units.length > 0 ? units.map(({ unit }) => (unit.target as ClassTarget).label) : [0];
    const weights = new Float32Array(labels.length).fill(units.length > 0 ? weight : 0);
    return { labels: int32([labels.length], labels), lossWeights: float32([labels.length], weights) };
  },

  answer(_, __, [unit]) {
    const logits = [...(unit?.logits ?? [])];
    return { prediction: argmax(logits), logits };
  },
  entropy: { single: true, of: (_, __, logits) => normalisedEntropy(logits) },
  questions({ target, encodings }) {
    return target ? encodings.map((_, i) => ({ sequence: i, answers: [Number(i === (target as ClassTarget).label)] })) : [];
  },
  fixed: ({ choice }) => choice && fixedDense('MultipleChoice', 'num_choices', choice),
};
