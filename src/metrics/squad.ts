import { ratio, type Score } from './score.ts';

/** Share of rows whose answer equals one of the right ones after {@link normaliseAnswer} (SQuAD v1.1; here in 0…1, there in percent). */
export function exactMatch(predictions: readonly string[], references: readonly (readonly string[])[]): Score {
  return meanOfBest(predictions, references, (a, b) => (normaliseAnswer(a) === normaliseAnswer(b) ? 1 : 0));
}

/** Mean over rows of the best word-overlap F1 with one of the right answers (SQuAD v1.1; here in 0…1). */
export function squadF1(predictions: readonly string[], references: readonly (readonly string[])[]): Score {
  return meanOfBest(predictions, references, overlapF1);
}

/** Lower case, without ASCII punctuation, without the words a, an, the, and with single spaces. */
function normaliseAnswer(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[!-/:-@[-`{-~]/g, '')
    .replaceAll(/(?<![\p{L}\p{N}_])(?:a|an|the)(?![\p{L}\p{N}_])/gu, ' ')
    .split(/\s+/)
    .filter(Boolean)
    .join(' ');
}

function overlapF1(prediction: string, reference: string): number {
  const predicted = words(prediction);
  const actual = words(reference);
  const left = new Map<string, number>();
  for (const word of actual) left.set(word, (left.get(word) ?? 0) + 1);
  let shared = 0;
  for (const word of predicted) {
    const count = left.get(word) ?? 0;
    if (count > 0) shared += 1;
    left.set(word, count - 1);
  }
  if (shared === 0) return 0;
  const precision = shared / predicted.length;
  const recall = shared / actual.length;
  return (2 * precision * recall) / (precision + recall);
}

function words(text: string): string[] {
  return normaliseAnswer(text).split(' ').filter(Boolean);
}

function meanOfBest(
  predictions: readonly string[],
  references: readonly (readonly string[])[],
  score: (a: string, b: string) => number,
): Score {
  const best = references.map((answers, i) => Math.max(0, ...answers.map((answer) => score(predictions[i] ?? '', answer))));
  return ratio(
    best.reduce((sum, value) => sum + value, 0),
    best.length,
    'there are no rows',
  );
}
