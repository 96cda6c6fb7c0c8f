import { expect, it } from 'vitest';
import { deviation } from '../../model/label-scales.ts';
import { createHead, type Head } from '../../objectives/index.ts';
import { comparable, entropyOf, hasEntropy } from './uncertainty.ts';

const head = (values: object): Head => createHead('one', values, 'test');
const unit = (length: number, labels?: number[]) => ({
  length,
  target: labels && { kind: 'tokens' as const, labels: Int32Array.from(labels) },
});

it('the mean over labels, over the words that carry a tag, over the two ends of a span', () => {
  const sure = 40;
  const half = Math.log(2) / (Math.log(2) + 1e-5);
  const several = head({ head_type: 'multilabel_classification', num_labels: 4 });
  expect(entropyOf(several, unit(9), Float32Array.of(0, sure, -sure, 0))).toBeCloseTo(half / 2, 6);
  const tagging = head({ head_type: 'tagging', num_labels: 2 });
  // Of four tokens the second and the third carry a label.
  const logits = Float32Array.of(0, 0, 0, 0, sure, 0, 0, 0);
  expect(entropyOf(tagging, unit(4, [-1, 1, 0, -1]), logits)).toBeCloseTo(half / 2, 6);
  expect(entropyOf(tagging, unit(4, [-1, -1, -1, -1]), logits)).toBe(0);
  const span = head({ head_type: 'question_answering', num_labels: 2 });
  // Starts are equal over three real tokens, ends are sure; what lies in the padding does not count.
  expect(entropyOf(span, unit(3), Float32Array.of(0, 0, 0, sure, 0, 0, 90, 90))).toBeCloseTo(0.5, 4);
  const choice = head({ head_type: 'multiple_choice', num_choices: 3 });
  expect(entropyOf(choice, unit(3), Float32Array.of(1, 1, 1))).toBeCloseTo(1, 4);
});

it('entropies of one choice compare with each other; means over words, labels and places of a span only where there are no others', () => {
  const one = head({ head_type: 'classification', num_labels: 3 });
  const number = head({ head_type: 'classification', num_labels: 1 });
  const choice = head({ head_type: 'multiple_choice', num_choices: 3 });
  const tagging = head({ head_type: 'tagging', num_labels: 2 });
  const span = head({ head_type: 'question_answering', num_labels: 2 });
  const several = head({ head_type: 'multilabel_classification', num_labels: 4 });
  expect(comparable([one, number, choice, tagging, span, several])).toEqual([true, false, true, false, false, false]);
  expect(comparable([tagging, number, span])).toEqual([true, false, true]);
});

it('numbers have no entropy, but a deviation', () => {
  expect(hasEntropy(head({ head_type: 'classification', num_labels: 1 }))).toBe(false);
  expect(hasEntropy(head({ head_type: 'classification', num_labels: 2 }))).toBe(true);
  expect(deviation([1, 3])).toBe(1);
  expect(deviation([])).toBe(0);
});
