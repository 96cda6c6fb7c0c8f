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
