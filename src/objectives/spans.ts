import { float32, int32 } from '../base/index.ts';
import { normalisedEntropy } from '../batch/index.ts';
import { add } from '../graph/index.ts';
import type { SpanRow } from '../tasks/index.ts';
import type { Encoding } from '../text/index.ts';
import { mean } from './answers.ts';
import { bestSpans } from './best-spans.ts';
import { fixedTokens, type LabelConfig, labelHead } from './dense.ts';
import type { HeadInputs, HeadKind } from './kind.ts';
import { crossEntropy, spanLogits } from './loss.ts';
import type { Target } from './unit.ts';

/** Token positions of the answer, both within it; 0 and 0 where it is not there. */
interface SpanTarget extends Target {
  readonly kind: 'span';
  readonly start: number;
  readonly end: number;
}

/** A span of a context that answers a question; long contexts become several windows. */
export const SPANS: HeadKind<LabelConfig> = {
  ...labelHead('question_answering', 'all', ['num_labels']),

  task: 'span',
  labelled: false,
  defaults: () => ({ num_labels: 2, layers: 1 }),
  columns: () => ['context', 'question'],
  usualLength: 384,
  units(row, { tokenizer, maxLength, stride }) {
    const { question, context, answers } = row as Omit<SpanRow, 'answers'> & Partial<SpanRow>;
    const windows = tokenizer.encodeWindows(question, context, { maxLength, ...(stride !== undefined && { stride }) });
    return windows.map((window) => ({ encodings: [window], target: answers?.[0] && targetOf(window, row as SpanRow) }));
  },
  windows: true,

  loss(_, logits, { input }: HeadInputs) {
    const end = (which: 'start' | 'end', column: number) =>
      crossEntropy(spanLogits(logits, column), input(`${which}Positions`, 'int32', ['B']), input(`${which}Weights`, 'float32', ['B']));
    return add(end('start', 0), end('end', 1));
  },
  targets(_, { sequences, units }, weight) {
    const [starts, ends] = [new Int32Array(sequences), new Int32Array(sequences)];
    const weights = new Float32Array(sequences);
    for (const { unit, place } of units) {
      const { start, end } = unit.target as SpanTarget;
      [starts[place], ends[place], weights[place]] = [start, end, weight / 2];
    }
    const half = float32([sequences], weights);
    return {
      startPositions: int32([sequences], starts),
      endPositions: int32([sequences], ends),
      startWeights: half,
      endWeights: half,
    };
  },

  answer(_, row, units) {
    const spans = bestSpans((row as SpanRow).context, units);
    return { prediction: spans[0]?.text ?? '', spans };
  },
  entropy: {
    single: false,
    of: (_, { length }, logits) =>
      mean([0, 1].map((column) => normalisedEntropy(Array.from({ length }, (__, i) => logits[2 * i + column] as number)))),
  },
  questions({ target, length }) {
    if (!target) return [];
    const { start, end } = target as SpanTarget;
    return Array.from({ length }, (_, token) => ({ sequence: 0, token, answers: [Number(token === start), Number(token === end)] }));
  },
  fixed: (family) => fixedTokens('QuestionAnswering', 'qa_outputs', family, 'QUESTION_ANS'),
};

/** Every token that shares a character with the first answer; 0 where the window does not hold all of it. */
function targetOf({ sequenceIds, offsets }: Encoding, { context, answers }: SpanRow): SpanTarget {
  const { text, start: from } = answers[0] as { text: string; start: number };
  // Spaces belong to no token: at the edge of an answer they would make it fall out of the window.
  const start = from + text.length - text.trimStart().length;
  const end = from + text.trimEnd().length;
  let [first, last, covered] = [-1, -1, 0];
  for (let i = 0; i < sequenceIds.length; i++) {
    if (sequenceIds[i] !== 1) continue;
    const [left, right] = [offsets[2 * i] as number, offsets[2 * i + 1] as number];
    if (right <= start || left >= end) continue;
    if (first < 0 && context.slice(start, left).trim() !== '') break;
    if (first < 0) first = i;
    last = i;
    covered = right;
  }
  const whole = first >= 0 && context.slice(covered, end).trim() === '';
  return whole ? { kind: 'span', start: first, end: last } : { kind: 'span', start: 0, end: 0 };
}
