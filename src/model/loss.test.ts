import { expect, test } from 'vitest';
import { nodeFiles } from '../base/files-node.ts';
import { createRandom } from '../base/random.ts';
import { float32, type Tensor } from '../base/tensor.ts';
import { loadEncoder } from '../encoders/index.ts';
import { gradients, input, type Value } from '../graph/index.ts';
import {
  createHead,
  DISTILLATION,
  type Head,
  LABELS,
  logitRows,
  MASKED_LM,
  type Objective,
  realRows,
  type Target,
  type Unit,
} from '../objectives/index.ts';
import { referenceEngine } from '../session/reference.ts';
import type { Encoding } from '../text/index.ts';
import { batchTerms, feedsOf, headBatches } from './feeds.ts';
import { drawLoss } from './loss.ts';

const encoder = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');
const random = createRandom(4);
const numbers = (count: number) => Array.from({ length: count }, () => random.normal());

const LENGTH = 5;
function encoding(): Encoding {
  const none = new Int32Array(LENGTH);
  return {
    inputIds: Int32Array.from({ length: LENGTH }, () => 5 + random.below(50)),
    tokenTypeIds: none,
    specialTokensMask: new Uint8Array(LENGTH),
    sequenceIds: new Int8Array(LENGTH),
    wordIds: none,
    offsets: new Int32Array(2 * LENGTH),
    truncated: 0,
  };
}

/** By head: its configuration, how many units it has in the batch, and a target for each. */
const HEADS: readonly (readonly [Readonly<Record<string, unknown>>, number, () => Target & Record<string, unknown>])[] = [
  [{ head_type: 'classification', num_labels: 3 }, 3, () => ({ kind: 'class', label: random.below(3) })],
  [{ head_type: 'classification', num_labels: 1 }, 2, () => ({ kind: 'number', value: random.normal() })],
  [{ head_type: 'multilabel_classification', num_labels: 2 }, 1, () => ({ kind: 'classes', values: Float32Array.of(1, 0) })],
  [{ head_type: 'multilabel_classification', num_labels: 3 }, 2, () => ({ kind: 'classes', values: Float32Array.of(0, 1, 1) })],
  // The first token of every row is ignored.
  [
    { head_type: 'tagging', num_labels: 5 },
    2,
    () => ({ kind: 'tokens', labels: Int32Array.from({ length: LENGTH }, (_, i) => (i === 0 ? -1 : random.below(5))) }),
  ],
  [{ head_type: 'question_answering', num_labels: 2 }, 2, () => ({ kind: 'span', start: random.below(LENGTH), end: random.below(LENGTH) })],
  [{ head_type: 'multiple_choice', num_choices: 2 }, 2, () => ({ kind: 'class', label: random.below(2) })],
  // Two places are asked for, one of which has no label.
  [{ head_type: 'masked_lm', vocab_size: 7, embedding_size: 4 }, 2, () => ({ kind: 'masked', labels: Int32Array.of(random.below(7), -1) })],
  [{ head_type: 'classification', num_labels: 2 }, 0, () => ({ kind: 'class', label: 0 })],
  [{ head_type: 'masked_lm', vocab_size: 5, embedding_size: 4 }, 0, () => ({ kind: 'masked', labels: Int32Array.of(0) })],
  [{ head_type: 'multiple_choice', num_choices: 3 }, 0, () => ({ kind: 'class', label: 0 })],
];
const heads = HEADS.map(([config], i) => createHead(`head ${i}`, config));

/** Units of all heads, the first of each before the second of each. */
function unitsFor(objective: Objective): Unit[] {
  const all = HEADS.flatMap(([, count, targetOf], task) =>
    Array.from({ length: count }, (_, i): Unit & { order: number } => {
      const { kind, config } = heads[task] as Head;
      const encodings = Array.from({ length: kind.sequences?.(config) ?? 1 }, encoding);
      const places = kind === MASKED_LM ? { places: Int32Array.of(1, 3) } : {};
      const unit = { row: i, encodings, length: LENGTH, target: targetOf(), task, order: i, ...places };
      if (objective === LABELS) return unit;
      const values = Float32Array.from(numbers(realRows(heads[task] as Head, unit) * kind.outputs(config)));
      return { ...unit, target: { kind: 'logits', values } as Target };
    }),
  );
  return all.sort((a, b) => a.order - b.order || (b.task as number) - (a.task as number));
}

/** Losses by head, the whole, and the slope of the whole by the logits of each head. */
async function lossesOf(
  model: { heads: readonly Head[]; objective: Objective },
  units: readonly Unit[],
  logits: readonly (readonly number[])[],
  weights?: readonly number[],
) {
  const outputs = model.heads.map((head) => head.kind.outputs(head.config));
  const values = model.heads.map((head, i) => {
    const rows = head.kind.gathers ? (model.heads.length > 1 ? `R${i}` : 'R') : head.kind.reads === 'all' ? 'B*S' : 'B';
    return input(`logits ${i}`, 'float32', [rows, outputs[i] as number]);
  });
  const { loss, losses } = drawLoss(model, values);
  const slopes = gradients(loss, values);
  const named = (name: string, all: readonly Value[]) => all.map((value, i) => [`${name} ${i}`, value] as const);
  const mask = input('attentionMask', 'float32', ['B', 'S']);
  const program = { outputs: Object.fromEntries([['loss', loss], ['mask', mask], ...named('loss', losses), ...named('slope', slopes)]) };
  const terms = batchTerms(model, units);
  const feeds = feedsOf(units, { encoder, attachment: {}, ...model }, { ...terms, ...(weights && { weights }) });
  const given = logits.map(
    (data, i) => [`logits ${i}`, float32([data.length / (outputs[i] as number), outputs[i] as number], data)] as const,
  );
  const results = await (await referenceEngine().compile(program, new Map())).run({ ...feeds, ...Object.fromEntries(given) });
  return {
    loss: Number(results.loss?.data[0]),
    losses: model.heads.map((_, i) => Number(results[`loss ${i}`]?.data[0])),
    slopes: model.heads.map((_, i) => Array.from((results[`slope ${i}`] as Tensor).data as Float64Array)),
  };
}

test.each([
  ['labels', LABELS],
  ['a teacher’s logits', DISTILLATION],
] as const)(
  'in a batch of every kind each head has the loss that its units have alone, held against %s; absent heads have none',
  async (_, objective) => {
    const units = unitsFor(objective);
    const shape = [units.flatMap(({ encodings }) => encodings).length, 8] as const;
    const rows = headBatches(units, { heads }, shape).map((batch, i) => logitRows(heads[i] as Head, batch));
    const logits = rows.map(({ count }, i) => numbers(count * (heads[i] as Head).kind.outputs((heads[i] as Head).config)));
    const weights = numbers(heads.length);
    const together = await lossesOf({ heads, objective }, units, logits, weights);

    let total = 0;
    for (const [task, head] of heads.entries()) {
      const outputs = head.kind.outputs(head.config);
      const mine = units.filter((unit) => unit.task === task);
      if (mine.length === 0) {
        expect(together.losses[task]).toBe(0);
        expect(new Set(together.slopes[task])).toEqual(new Set([0]));
        continue;
      }
      const picked =
        rows[task]?.units.map(({ from, rows: count }) => (logits[task] as number[]).slice(from * outputs, (from + count) * outputs)) ?? [];
      const alone = await lossesOf(
        { heads: [head], objective },
        mine.map((unit) => ({ ...unit, task: 0 })),
        [picked.flat()],
      );
      expect(together.losses[task], head.name).toBeCloseTo(alone.loss, 6);
      expect(together.losses[task]).not.toBe(0);
      total += (weights[task] as number) * (together.losses[task] as number);
      // Nothing is learnt from units of other heads.
      const own = new Set(
        rows[task]?.units.flatMap(({ from, rows: count }) => Array.from({ length: count * outputs }, (__, k) => from * outputs + k)),
      );
      const slopes = together.slopes[task] as number[];
      expect(
        slopes.every((slope, i) => own.has(i) || slope === 0),
        head.name,
      ).toBe(true);
      expect(slopes.some((slope) => slope !== 0)).toBe(true);
    }
    expect(together.loss).toBeCloseTo(total, 6);
  },
);
