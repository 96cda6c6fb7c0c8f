import type { UnitLogits } from './unit.ts';

/** A piece of the context with its score, the sum of its start and end logits. */
export interface SpanCandidate {
  readonly text: string;
  /** [start, end) in UTF-16 units of the context. */
  readonly start: number;
  readonly end: number;
  readonly score: number;
}

const STARTS = 20;
const ANSWER_TOKENS = 30;
const KEPT = 5;

/**
 * The best spans over all windows of a row: pairs of the highest start and end logits within the context, the end not
 * before the start and at most {@link ANSWER_TOKENS} tokens on, as the usual SQuAD post-processing does.
 */
export function bestSpans(context: string, windows: readonly UnitLogits[]): SpanCandidate[] {
  const found = new Map<string, SpanCandidate>();
  for (const { unit, logits } of windows) {
    const encoding = unit.encodings[0];
    if (!encoding) continue;
    const { sequenceIds, offsets } = encoding;
    const inside = Array.from(sequenceIds.keys()).filter((i) => sequenceIds[i] === 1);
    const score = (i: number, column: 0 | 1) => logits[2 * i + column] as number;
    const highest = (column: 0 | 1) => inside.toSorted((a, b) => score(b, column) - score(a, column)).slice(0, STARTS);
    const ends = highest(1);
    for (const first of highest(0))
      for (const last of ends) {
        if (last < first || last - first >= ANSWER_TOKENS) continue;
        const [start, end] = [offsets[2 * first] as number, offsets[2 * last + 1] as number];
        const candidate = { text: context.slice(start, end), start, end, score: score(first, 0) + score(last, 1) };
        const known = found.get(`${start}:${end}`);
        if (!known || known.score < candidate.score) found.set(`${start}:${end}`, candidate);
      }
  }
  return [...found.values()].sort((a, b) => b.score - a.score || a.start - b.start).slice(0, KEPT);
}
