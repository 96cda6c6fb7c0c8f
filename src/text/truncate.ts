import { fail } from '../base/index.ts';

export type Truncation = 'longest_first' | 'only_first' | 'only_second' | 'none';

/**
 * How many tokens of each sequence stay, as the Rust tokenizers decide it: `longest_first` gives the shorter sequence all
 * it needs up to half of the room and the longer one the rest. (The Python-only tokenizers take tokens off the longer
 * sequence one by one, which differs when both are long.)
 * @param room Tokens for both together, special tokens already subtracted.
 */
export function truncatedLengths(first: number, second: number | null, room: number, strategy: Truncation): [number, number] {
  const total = first + (second ?? 0);
  if (strategy === 'none' || total <= room) return [first, second ?? 0];
  const excess = total - room;
  if (strategy === 'only_first') return [shortened(first, excess, strategy), second ?? 0];
  if (strategy === 'only_second') {
    if (second === null) fail({ code: 'usage.value', subject: 'truncation', found: 'only_second for a single text', expected: 'a pair' });
    return [first, shortened(second, excess, strategy)];
  }
  if (second === null) return [room, 0];
  const shorter = Math.min(first, second);
  let a = shorter;
  let b = shorter > room ? shorter : Math.max(shorter, room - shorter);
  if (a + b > room) {
    a = Math.floor(room / 2);
    b = a + (room % 2);
  }
  return first > second ? [b, a] : [a, b];
}

function shortened(length: number, excess: number, strategy: Truncation): number {
  if (length > excess) return length - excess;
  return fail({
    code: 'text.too-long',
    subject: `truncation ${strategy}`,
    found: `${excess} tokens too many, ${length} in the sequence to shorten`,
    next: 'Allow a greater length, or truncate with longest_first.',
  });
}

/** Windows [start, end) of at most `size` tokens over `length`, each sharing `stride` tokens with the one before. */
export function windows(length: number, size: number, stride: number, side: 'left' | 'right'): [start: number, end: number][] {
  if (length <= size) return [[0, length]];
  if (size < 1 || stride < 0 || stride >= size) {
    fail({ code: 'usage.value', subject: 'stride', found: `${stride}`, expected: `0 to ${size - 1}, less than the tokens of one window` });
  }
  const result: [number, number][] = [];
  for (let at = 0; ; at += size - stride) {
    const start = side === 'right' ? at : Math.max(0, length - at - size);
    const end = side === 'right' ? Math.min(length, at + size) : length - at;
    result.push([start, end]);
    if (side === 'right' ? end === length : start === 0) return result;
  }
}
