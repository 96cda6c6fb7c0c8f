import type { Unit, UnitLogits } from '../model/data.ts';
import type { Head } from '../objectives/index.ts';
import { labelsOf } from '../objectives/index.ts';
import type { Prediction, PredictionRow, SpanRow } from '../tasks/index.ts';
import { bestSpans, type SpanCandidate } from './span.ts';

/** What a model lets one look at: for `FUSION/LAYER.PLACE` the mean attention over tokens, by adapter. */
export type Observations = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** A model's answer to one row. */
export interface Answer {
  readonly prediction: Prediction;
  /** What the head gave: numbers per output; per token for tagging (first tokens of words); absent for spans. */
  readonly logits?: readonly number[] | readonly (readonly number[])[];
  /** Spans, best first. */
  readonly spans?: readonly SpanCandidate[];
  readonly observed?: Observations;
}

/** Turns the logits of a row's units into its answer. */
export function answerOf(head: Head, row: PredictionRow, units: readonly UnitLogits[]): Answer {
  const { unit, logits } = units[0] as UnitLogits;
  const labels = labelsOf(head);
  switch (head.config.head_type) {
    case 'question_answering': {
      const spans = bestSpans((row as SpanRow).context, units);
      return { prediction: spans[0]?.text ?? '', spans };
    }
    case 'tagging':
      return tagsOf(unit, logits, labels, (row as { tokens: readonly string[] }).tokens.length);
    case 'multiple_choice':
      return { prediction: argmax(logits), logits: [...logits] };
    case 'multilabel_classification':
      return { prediction: labels.filter((_, i) => (logits[i] as number) > 0), logits: [...logits] };
    case 'classification':
      return head.config.num_labels === 1
        ? { prediction: logits[0] as number, logits: [...logits] }
        : { prediction: labels[argmax(logits)] as string, logits: [...logits] };
  }
}

/** One tag per word, read at its first token; words beyond the last token get the outside tag, or else the first label. */
function tagsOf({ encodings: [encoding] }: Unit, logits: Float32Array, labels: readonly string[], words: number): Answer {
  const outside = labels.includes('O') ? 'O' : (labels[0] as string);
  const tags = new Array<string>(words).fill(outside);
  const scores = new Array<readonly number[]>(words).fill([]);
  encoding?.wordIds.forEach((word, i) => {
    if (word < 0 || word === encoding.wordIds[i - 1]) return;
    const row = logits.subarray(i * labels.length, (i + 1) * labels.length);
    tags[word] = labels[argmax(row)] as string;
    scores[word] = [...row];
  });
  return { prediction: tags, logits: scores };
}

function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] as number) > (values[best] as number)) best = i;
  return best;
}
