import type { Encoding } from '../text/index.ts';

/** A text or a pair of texts to learn from. */
export type Sample = readonly [string] | readonly [string, string];

/** Token positions of each word, keyed by sequence and word number. */
export function wordTokens({ sequenceIds, wordIds }: Encoding): Map<string, number[]> {
  const words = new Map<string, number[]>();
  wordIds.forEach((word, i) => {
    if (word < 0) return;
    const key = `${sequenceIds[i]}:${word}`;
    const known = words.get(key);
    if (known) known.push(i);
    else words.set(key, [i]);
  });
  return words;
}
