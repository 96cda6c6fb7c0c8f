import { describe, expect, it } from 'vitest';
import type { PredictionRow } from '../tasks/index.ts';
import type { Encoding } from '../text/index.ts';
import { bestSpans } from './best-spans.ts';
import { createHead, type Head, type UnitLogits } from './index.ts';

function encoding(more: { words?: readonly number[]; sequences?: readonly number[]; offsets?: readonly number[] }): Encoding {
  const { words = [], sequences = [], offsets = [] } = more;
  const n = Math.max(words.length, sequences.length);
  return {
    inputIds: new Int32Array(n),
    tokenTypeIds: new Int32Array(n),
    specialTokensMask: new Uint8Array(n),
    truncated: 0,
    wordIds: Int32Array.from(words),
    sequenceIds: Int8Array.from(sequences),
    offsets: Int32Array.from(offsets),
  };
}

const unit = (one: Encoding, logits: readonly number[]): UnitLogits => ({
  unit: { row: 0, encodings: [one], length: one.inputIds.length, target: undefined },
  logits: Float32Array.from(logits),
});

function head(type: string, labels: readonly string[], more: Readonly<Record<string, unknown>> = {}): Head {
  const label2id = Object.fromEntries(labels.map((label, i) => [label, i]));
  return createHead('h', { head_type: type, num_labels: labels.length, layers: 1, activation_function: null, label2id, ...more });
}

const answerOf = (one: Head, row: PredictionRow, units: readonly UnitLogits[]) => one.kind.answer(one, row, units);

describe('answers', () => {
  const none = encoding({ words: [-1] });

  it('classification, regression, multilabel, choice', () => {
    const row = { kind: 'classification', text: 'a' } as const;
    expect(answerOf(head('classification', ['x', 'y', 'z']), row, [unit(none, [0.5, 2, -1])])).toEqual({
      prediction: 'y',
      logits: [0.5, 2, -1],
    });
    expect(
      answerOf(head('classification', [], { num_labels: 1, label2id: null }), { kind: 'regression', text: 'a' }, [unit(none, [-3.5])]),
    ).toEqual({ prediction: -3.5, logits: [-3.5] });
    expect(
      answerOf(head('multilabel_classification', ['x', 'y', 'z']), { kind: 'multilabel', text: 'a' }, [unit(none, [0.25, 0, -1])])
        .prediction,
    ).toEqual(['x']);
    expect(
      answerOf(head('multiple_choice', [], { num_choices: 3 }), { kind: 'choice', text: 'a', choices: ['p', 'q', 'r'] }, [
        unit(none, [0, 1, 1]),
      ]).prediction,
    ).toBe(1);
  });

  it('labels go by their number, whatever the order of the file', () => {
    const swapped = head('classification', ['x', 'y'], { label2id: { y: 1, x: 0 } });
    expect(answerOf(swapped, { kind: 'classification', text: 'a' }, [unit(none, [3, 1])]).prediction).toBe('x');
  });

  it('tags: one per given word, read at its first token, the outside tag where no token is left', () => {
    // Word 1 has no token, word 3 was cut off.
    const one = encoding({ words: [-1, 0, 0, 2, -1] });
    const logits = [9, 0, /**/ 0, 1, /**/ 9, 0, /**/ 0, 2, /**/ 0, 9];
    const answer = answerOf(head('tagging', ['O', 'P']), { kind: 'tagging', tokens: ['a', 'b', 'c', 'd'] }, [unit(one, logits)]);
    expect(answer).toEqual({ prediction: ['P', 'O', 'P', 'O'], logits: [[0, 1], [], [0, 2], []] });
    expect(
      answerOf(head('tagging', ['P', 'Q']), { kind: 'tagging', tokens: ['a', 'b', 'c', 'd'] }, [unit(one, logits)]).prediction,
    ).toEqual(['Q', 'P', 'Q', 'P']);
  });
});

describe('bestSpans', () => {
  const context = 'one two three';
  // question token, special token, three context tokens, special token
  const whole = encoding({ sequences: [0, -1, 1, 1, 1, -1], offsets: [0, 1, 0, 0, 0, 3, 4, 7, 8, 13, 0, 0] });

  it('gives pairs within the context, the end not before the start, best first', () => {
    //                               q      [SEP]  one   two   three  [SEP]
    const starts = [50, 50, 1, 3, 2, 50];
    const ends = [50, 50, 5, 0, 1, 50];
    const found = bestSpans(context, [
      unit(
        whole,
        starts.flatMap((start, i) => [start, ends[i] as number]),
      ),
    ]);
    expect(found).toEqual([
      { text: 'one', start: 0, end: 3, score: 6 },
      { text: 'two three', start: 4, end: 13, score: 4 },
      { text: 'two', start: 4, end: 7, score: 3 },
      { text: 'three', start: 8, end: 13, score: 3 },
      { text: 'one two three', start: 0, end: 13, score: 2 },
    ]);
  });

  it('takes each span once over all windows, with its best score', () => {
    const second = encoding({ sequences: [-1, 1, 1], offsets: [0, 0, 4, 7, 8, 13] });
    const found = bestSpans(context, [unit(whole, new Array(12).fill(0)), unit(second, [9, 9, 0, 0, 4, 3])]);
    expect(found[0]).toEqual({ text: 'three', start: 8, end: 13, score: 7 });
    expect(found.filter(({ start, end }) => start === 8 && end === 13)).toHaveLength(1);
    expect(found).toHaveLength(5);
  });

  it('knows no span longer than 30 tokens', () => {
    const n = 40;
    const long = encoding({ sequences: new Array(n).fill(1), offsets: Array.from({ length: 2 * n }, (_, i) => Math.ceil(i / 2)) });
    const logits = new Array<number>(2 * n).fill(0);
    logits[0] = 10;
    logits[2 * (n - 1) + 1] = 10;
    const [first] = bestSpans('x'.repeat(n), [unit(long, logits)]);
    expect(first?.score).toBe(10);
    expect((first?.end ?? 99) - (first?.start ?? 0)).toBeLessThanOrEqual(30);
  });

  it('of a context without tokens is nothing: the answer is empty', () => {
    const empty = unit(encoding({ sequences: [-1, 0, -1], offsets: [0, 0, 0, 1, 0, 0] }), [1, 1, 1, 1, 1, 1]);
    expect(bestSpans('', [empty])).toEqual([]);
    expect(
      answerOf(head('question_answering', [], { num_labels: 2, label2id: null }), { kind: 'span', question: 'q', context: '' }, [empty]),
    ).toEqual({ prediction: '', spans: [] });
  });
});
