import { fail } from '../base/index.ts';

const [N, M] = [624, 397];

/**
 * The first `count` places of `torch.randperm(n, generator=torch.Generator().manual_seed(seed))`, as PyTorch draws them on a CPU since
 * 1.0: Fisher and Yates from the front, with the words of a Mersenne twister (Matsumoto & Nishimura 1998). Time and memory grow with
 * `count` alone.
 * @throws method.config for a seed that is no whole number of 53 bits, or 2^32 / 20 places and more, which PyTorch draws otherwise
 */
export function torchPermutation(n: number, count: number, seed: number): Int32Array {
  if (!Number.isSafeInteger(seed) || seed < 0)
    fail({ code: 'method.config', subject: 'a seed', found: String(seed), expected: 'a whole number from 0 to 2^53' });
  if (n >= 0xffffffff / 20)
    fail({ code: 'method.config', subject: 'places to choose from', found: String(n), expected: 'less than 2^32 / 20' });
  const next = mersenneTwister(seed % 2 ** 32);
  /** What stands at a place where it is no longer the place itself. */
  const moved = new Map<number, number>();
  return Int32Array.from({ length: Math.min(count, n) }, (_, i) => {
    if (i === n - 1) return moved.get(i) ?? i;
    const other = i + (next() % (n - i));
    const [here, there] = [moved.get(i) ?? i, moved.get(other) ?? other];
    moved.set(other, here);
    return there;
  });
}

/** MT19937: words of 32 bits, unsigned. */
function mersenneTwister(seed: number): () => number {
  const state = new Uint32Array(N);
  state[0] = seed;
  for (let i = 1; i < N; i++) {
    const before = state[i - 1] as number;
    state[i] = Math.imul(1812433253, before ^ (before >>> 30)) + i;
  }
  let at = N;
  const twist = () => {
    for (let i = 0; i < N; i++) {
      const word = ((state[i] as number) & 0x80000000) | ((state[(i + 1) % N] as number) & 0x7fffffff);
      state[i] = (state[(i + M) % N] as number) ^ (word >>> 1) ^ (word & 1 ? 0x9908b0df : 0);
    }
    at = 0;
  };
  return () => {
    if (at === N) twist();
    let word = state[at++] as number;
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    return (word ^ (word >>> 18)) >>> 0;
  };
}
