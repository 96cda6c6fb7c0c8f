import { expect, test } from 'vitest';
import { loadAdapter } from '../../src/checkpoint/index.ts';
import { loadEncoder } from '../../src/encoders/index.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { goldenFiles } from './files.ts';
import { type Batch, forward, readCases, relativeError } from './forward.ts';

interface Variant {
  readonly encoder: string;
  readonly folder: string;
  readonly logits64: number[][];
}

const golden = readCases<{ batches: Record<string, Batch>; variants: Record<string, Variant> }>('peft/relative.json');
const VARIANTS = Object.entries(golden.variants);

test.each(VARIANTS)('%s: what PEFT trained gives what PEFT gives', async (_name, { encoder: family, folder, logits64 }) => {
  const encoder = { ...(await loadEncoder(goldenFiles, `test/golden/encoders/${family}`)), name: `multigraft-tiny-${family}` };
  const adapter = await loadAdapter(goldenFiles, `test/golden/${folder}`, { encoder });
  expect(adapter.notes).toEqual([]);
  const tensors = new Map([...adapter.tensors, ...(adapter.head?.tensors ?? [])]);
  const { logits } = await forward(await nodeEngine({ threads: 1 }), { ...adapter, encoder, tensors }, golden.batches[family] as Batch);
  expect(relativeError(logits, logits64.flat())).toBeLessThan(1e-5);
});
