import { expect } from 'vitest';
import { ERROR_CODES, type ErrorCode, MultigraftError } from '../../src/base/errors.ts';
import { createRandom, type Random } from '../../src/base/random.ts';

/** One random change of the bytes: what broken copies, flipped bits and malice do to files. */
export function mutate(bytes: Uint8Array, random: Random): Uint8Array {
  const at = random.below(Math.max(bytes.length, 1));
  const length = 1 + random.below(8);
  const edits = [
    () => bytes.slice(0, at),
    () => patch(bytes, at, [(bytes[at] ?? 0) ^ (1 << random.below(8))]),
    () =>
      patch(
        bytes,
        at,
        Array.from({ length }, () => random.below(256)),
      ),
    () => patch(bytes, at, LIES[random.below(LIES.length)] as number[]),
    () => splice(bytes, at, length, new Uint8Array()),
    () =>
      splice(
        bytes,
        at,
        0,
        Uint8Array.from({ length }, () => random.below(256)),
      ),
    () => splice(bytes, at, 0, bytes.slice(at, at + 4 * length)),
    () => splice(bytes, bytes.length, 0, new Uint8Array(length)),
    () => patch(bytes, at, [random.below(3) * 5]),
  ];
  return (edits[random.below(edits.length)] as () => Uint8Array)();
}

/** Lengths and counts that files lie with, little-endian. */
const LIES = [
  [0xff, 0xff, 0xff, 0xff],
  [0xff, 0xff, 0xff, 0x7f],
  [0, 0, 0, 0],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0, 0, 0, 0, 0, 0, 0, 0x80],
  [0, 0, 0, 0x40],
];

export function patch(bytes: Uint8Array, at: number, values: ArrayLike<number>): Uint8Array {
  const changed = bytes.slice();
  for (let i = 0; i < values.length && at + i < changed.length; i++) changed[at + i] = values[i] as number;
  return changed;
}

export function splice(bytes: Uint8Array, at: number, remove: number, insert: Uint8Array): Uint8Array {
  const after = bytes.subarray(Math.min(at + remove, bytes.length));
  const changed = new Uint8Array(at + insert.length + after.length);
  changed.set(bytes.subarray(0, at));
  changed.set(insert, at);
  changed.set(after, at + insert.length);
  return changed;
}

export interface Tally {
  readonly tried: number;
  readonly refused: number;
  readonly codes: ReadonlySet<ErrorCode>;
}

/** A hang is anything slower than this; the usual is below 5 ms. */
const SLOWEST_MS = 5_000;

/**
 * Reads `count` mutations of the sources in turn. Each outcome must be a typed error about the file, or a value that
 * `check` accepts as a reading of the mutated bytes.
 */
export async function attack<T>(
  sources: readonly Uint8Array[],
  count: number,
  seed: number,
  read: (bytes: Uint8Array, source: number) => Promise<T>,
  check: (value: T, bytes: Uint8Array, source: number) => unknown,
): Promise<Tally> {
  const random = createRandom(seed);
  const codes = new Set<ErrorCode>();
  let refused = 0;
  let tried = 0;
  for (; tried < count; tried++) {
    const source = tried % sources.length;
    let bytes = mutate(sources[source] as Uint8Array, random);
    if (random.below(4) === 0) bytes = mutate(bytes, random);
    const start = performance.now();
    try {
      await check(await read(bytes, source), bytes, source);
    } catch (error) {
      codes.add(fileError(error, `mutation ${tried} of source ${source}, seed ${seed}`));
      refused++;
    }
    expect(performance.now() - start).toBeLessThan(SLOWEST_MS);
  }
  return { tried, refused, codes };
}

/** The code of a typed error about a file; anything else fails the test with its own stack. */
export function fileError(error: unknown, what: string): ErrorCode {
  if (!(error instanceof MultigraftError)) throw new Error(`${what} did not end in a typed error`, { cause: error });
  expect(error.code in ERROR_CODES && error.code.startsWith('file.'), `${what}: ${error.message}`).toBe(true);
  expect(error.message.length).toBeLessThan(2_000);
  return error.code;
}

/** Files made to reach one code each; returns the codes. */
export async function refuseAll(
  cases: readonly (readonly [name: string, code: ErrorCode, read: () => unknown])[],
): Promise<Set<ErrorCode>> {
  const codes = new Set<ErrorCode>();
  for (const [name, code, read] of cases) {
    const found = await Promise.resolve()
      .then(read)
      .then(
        () => 'no error',
        (error) => fileError(error, name),
      );
    expect(found, name).toBe(code);
    codes.add(code);
  }
  return codes;
}
