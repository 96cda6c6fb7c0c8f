import { afterEach, beforeEach, expect } from 'vitest';

/** A test that prints is a test that hides something: any console output fails it. */
const methods = ['log', 'info', 'warn', 'error', 'debug'] as const;
let printed: string[] = [];

beforeEach(() => {
  printed = [];
  for (const method of methods) console[method] = (...values: unknown[]) => void printed.push(`${method}: ${values.join(' ')}`);
});

afterEach(() => {
  expect(printed, 'console output during a test').toEqual([]);
});

/**
 * Arrays of numbers of one type are equal where each number is, as `Object.is` has it. Vitest says the same, but makes a key of
 * every index first: a hundred times the work. Whatever differs is left to it, and to its message.
 */
const ADDED = Symbol.for('multigraft tests: numbers');
// Files share a process, and what one of them adds stays.
if (!Object.hasOwn(globalThis, ADDED)) {
  Object.defineProperty(globalThis, ADDED, { value: true });
  expect.addEqualityTesters([(a, b) => (isNumbers(a) && isNumbers(b) && sameNumbers(a, b) ? true : undefined)]);
}

type Numbers = ArrayLike<number | bigint>;

function isNumbers(value: unknown): value is Numbers {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

function sameNumbers(a: Numbers, b: Numbers): boolean {
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b) || a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false;
  return true;
}
