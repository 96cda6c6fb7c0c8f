import { describe, expect, it, test } from 'vitest';
import { nodeEngine } from '../../src/session/node.ts';
import { referenceEngine } from '../../src/session/reference.ts';
import { type CompositionCases, expectPython } from './composition.ts';
import { readCases } from './forward.ts';

/** By block: how many cases there are, and which ONNX Runtime, which takes its time to compile, repeats. */
const BLOCKS: Readonly<Record<string, readonly [cases: number, repeated: readonly string[]]>> = {
  'batch-split': [45, ['seq_bn', 'lora-zero', 'prefix-zero', 'seq_bn-batch-split']],
  'multi-task': [22, ['seq_bn', 'lora-missing', 'double_seq_bn-stack']],
  parallel: [24, ['seq_bn', 'prefix', 'seq_bn-late']],
  split: [24, ['seq_bn', 'seq_bn-zero', 'split', 'batch-split']],
};

describe.each(Object.entries(BLOCKS))('%s', (block, [count, repeated]) => {
  const golden = readCases<CompositionCases>(`composition-rows/${block}.json`);
  const cases = Object.entries(golden.cases);

  test(`there are ${count} cases`, () => {
    expect(cases).toHaveLength(count);
    expect(repeated.every((name) => Object.hasOwn(golden.cases, name))).toBe(true);
  });

  it.each(cases)('gives logits and gradients of Python: %s', async (name, given) => {
    await expectPython(golden, given, referenceEngine(), true);
    if (repeated.includes(name)) await expectPython(golden, given, await nodeEngine({ threads: 1 }));
  });
});
