/**
 * Seeded randomness: xoshiro128** (Blackman & Vigna 2018) seeded through splitmix32.
 * Same seed, same numbers, on every platform.
 */
export interface Random {
  /** A 32-bit unsigned integer. */
  uint32(): number;
  /** Uniform in [0, 1) with 32 bits. */
  uniform(): number;
  /** Uniform integer in [0, n), without modulo bias for n ≤ 2³². */
  below(n: number): number;
  /** Standard normal (Box–Muller; both values are used). */
  normal(): number;
  /** Fisher–Yates in place; returns its argument. */
  shuffle<T extends unknown[] | Int32Array | Uint32Array>(items: T): T;
}

export function createRandom(seed: number, ...stream: number[]): Random {
  let s = mix(seed, ...stream);
  const next = () => {
    s = (s + 0x9e3779b9) | 0;
    return scramble(s);
  };
  let [a, b, c, d] = [next(), next(), next(), next()];
  let spare: number | null = null;
  const uint32 = () => {
    const product = Math.imul(b, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = (d << 11) | (d >>> 21);
    return result;
  };
  const uniform = () => uint32() / 2 ** 32;
  const below = (n: number) => {
    const limit = 2 ** 32 - (2 ** 32 % n);
    let value = uint32();
    while (value >= limit) value = uint32();
    return value % n;
  };
  return {
    uint32,
    uniform,
    below,
    normal() {
      if (spare !== null) {
        const value = spare;
        spare = null;
        return value;
      }
      const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
      const angle = 2 * Math.PI * uniform();
      spare = radius * Math.sin(angle);
      return radius * Math.cos(angle);
    },
    shuffle(items) {
      for (let i = items.length - 1; i > 0; i--) {
        const j = below(i + 1);
        const held = items[i];
        items[i] = items[j] as never;
        items[j] = held as never;
      }
      return items;
    },
  };
}

/** A 32-bit hash of integers: the same numbers always give the same word, so streams need no shared state. */
export function mix(...values: number[]): number {
  let h = 0x811c9dc5;
  for (const value of values) h = scramble((h ^ scramble(value | 0)) + 0x9e3779b9);
  return h >>> 0;
}

function scramble(word: number): number {
  let x = word | 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}
