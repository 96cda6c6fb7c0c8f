import type { Encoding } from '../../text/index.ts';

/** A text or a pair of texts to learn from. */
export type Sample = readonly [string] | readonly [string, string];

/**
 * Token positions of each word, keyed by its sequence and characters: two tokenizers agree on a key only where they split
 * the text alike and neither has cut the word off.
 */
export function wordTokens({ sequenceIds, wordIds, offsets }: Encoding, sample: Sample): Map<string, number[]> {
  const words = new Map<string, number[]>();
  wordIds.forEach((word, i) => {
    if (word < 0) return;
    const id = `${sequenceIds[i]}:${word}`;
    const tokens = words.get(id);
    if (tokens) tokens.push(i);
    else words.set(id, [i]);
  });
  const keyed = new Map<string, number[]>();
  for (const tokens of words.values()) {
    const sequence = sequenceIds[tokens[0] as number] as number;
    const range = trimmed(
      sample[sequence] as string,
      offsets[2 * (tokens[0] as number)] as number,
      offsets[2 * (tokens.at(-1) as number) + 1] as number,
    );
    const key = `${sequence}:${range}`;
    keyed.set(key, [...(keyed.get(key) ?? []), ...tokens]);
  }
  return keyed;
}

/** Some tokenizers count the space before a word to it. */
function trimmed(text: string, start: number, end: number): string {
  let first = start;
  let last = end;
  while (first < last && /\s/.test(text[first] as string)) first++;
  while (first < last && /\s/.test(text[last - 1] as string)) last--;
  return `${first}-${last}`;
}
