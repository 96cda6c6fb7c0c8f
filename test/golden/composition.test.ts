import { describe, expect, it, test } from 'vitest';
import { nodeEngine } from '../../src/session/node.ts';
import { referenceEngine } from '../../src/session/reference.ts';
import { type CompositionCase, type CompositionCases, expectPython } from './composition.ts';
import { readCases } from './forward.ts';

interface Case extends CompositionCase {
  /** Last hidden state summed over its width, rows x tokens. */
  readonly tokenSums: number[][];
}

const golden = readCases<
  CompositionCases<Case> & {
    readonly refused: Readonly<Record<string, { readonly setup: string; readonly adapters: Readonly<Record<string, string>> }>>;
  }
>('composition/cases.json');
const CASES = Object.entries(golden.cases);

/** ONNX Runtime takes its time to compile: one case for each kind of drawing. */
const REPEATED = ['lora-stack', 'average-stack', 'lora-average-stack', 'ia3-average-stack', 'par_bn-stack', 'stack-prefix'];

test('there are 63 cases over all families', () => {
  expect(CASES).toHaveLength(63);
  expect(REPEATED.every((name) => Object.hasOwn(golden.cases, name))).toBe(true);
  expect(new Set(CASES.map(([, { encoder }]) => encoder)).size).toBe(6);
});

describe.each(CASES)('%s', (name, given) => {
  it.each(REPEATED.includes(name) ? ['reference', 'node'] : ['reference'])('gives logits and gradients of Python: %s', async (which) => {
    const engine = which === 'node' ? await nodeEngine({ threads: 1 }) : referenceEngine();
    await expectPython(golden, given, engine, which === 'reference');
  });
});
