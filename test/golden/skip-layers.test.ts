import { expect, test } from 'vitest';
import { loadAdapter } from '../../src/checkpoint/index.ts';
import { loadEncoder } from '../../src/encoders/index.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { goldenFiles } from './files.ts';
import { type Batch, forward, readCases, relativeError } from './forward.ts';

interface Case {
  readonly folder: string;
  readonly encoder: string;
  readonly skipLayers: number[];
  readonly logits64: number[][];
}

const golden = readCases<{ batches: Record<string, Batch>; cases: Case[] }>('skip-layers.json');

test('there are six cases', () => expect(golden.cases).toHaveLength(6));

test.each(golden.cases)(
  '$folder without layers $skipLayers gives the logits of Python',
  async ({ folder, encoder: family, skipLayers, logits64 }) => {
    const encoder = { ...(await loadEncoder(goldenFiles, `test/golden/encoders/${family}`)), name: `multigraft-tiny-${family}` };
    const adapter = await loadAdapter(goldenFiles, `test/golden/${folder}`, { encoder });
    const tensors = new Map([...adapter.tensors, ...(adapter.head?.tensors ?? [])]);
    for (const read of ['all', 'first'] as const) {
      const given = { ...adapter, encoder, tensors, read, skipLayers };
      const { logits } = await forward(await nodeEngine({ threads: 1 }), given, golden.batches[family] as Batch);
      expect(relativeError(logits, logits64.flat())).toBeLessThan(1e-5);
    }
  },
);
