import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { nodeFiles } from '../../src/base/files-node.ts';
import { createRandom } from '../../src/base/random.ts';
import { float32 } from '../../src/base/tensor.ts';
import { loadAdapter, saveAdapter } from '../../src/checkpoint/index.ts';
import { loadEncoder } from '../../src/encoders/index.ts';
import { bindAdapter, encoderFacts } from '../../src/methods/index.ts';
import { referenceEngine } from '../../src/session/reference.ts';
import { type Batch, forward } from '../golden/forward.ts';
import { PEFT_LINEARS } from '../golden/peft-linears.ts';
import { askPython, python, record } from './python.ts';

/**
 * Adapters at linears that this package writes in PEFT's layout, loaded by PEFT: the variants of test/golden/peft-linears with other
 * values. Runs where the environment variable MULTIGRAFT_PYTHON names a Python that has peft.
 */
test.skipIf(!python)(
  'what this package writes in the layout of PEFT, read by PEFT (skipped: MULTIGRAFT_PYTHON names no Python)',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'multigraft-peft-'));
    try {
      const cases: object[] = [];
      for (const [group, { variants, batches }] of PEFT_LINEARS)
        for (const [variant, { encoder: name, folder: from }] of Object.entries(variants)) {
          const encoder = await loadEncoder(nodeFiles, `test/golden/encoders/${name}`);
          const adapter = await loadAdapter(nodeFiles, `test/golden/${from}`, { encoder });
          const random = createRandom(17, cases.length);
          const { parameters } = bindAdapter(adapter.method, { ...encoderFacts(encoder), name: adapter.name });
          const frozen = new Set(parameters.filter(({ trains }) => trains === false).map((spec) => spec.name));
          const moved = [...adapter.tensors].map(([key, value]) => {
            if (frozen.has(key)) return [key, value] as const;
            return [
              key,
              float32(
                value.shape,
                (value.data as Float32Array).map((x) => 0.7 * x + 0.1 * random.normal()),
              ),
            ] as const;
          });
          const changed = { ...adapter, tensors: new Map(moved) };
          const where = join(folder, `${group}-${variant}`);
          await saveAdapter(nodeFiles, where, changed, { format: cases.length % 2 ? 'bin' : 'safetensors' });
          const batch = batches[name] as Batch;
          const tensors = new Map([...changed.tensors, ...(adapter.head?.tensors ?? [])]);
          const results = await forward(referenceEngine(), { ...changed, encoder, tensors }, batch);
          const width = adapter.head ? 3 : encoder.config.hidden;
          const flat = Array.from((adapter.head ? results.logits : results.hidden)?.data as Float32Array);
          const rows = Array.from({ length: flat.length / width }, (_, i) => flat.slice(i * width, (i + 1) * width));
          const length = (batch.inputIds[0] as number[]).length;
          const output = adapter.head
            ? { logits: rows }
            : { lastHiddenState: batch.inputIds.map((_, i) => rows.slice(i * length, (i + 1) * length)) };
          cases.push({
            name: `${group} ${variant}`,
            format: 'peft',
            encoder: resolve(encoder.folder),
            adapter: where,
            ...batch,
            ...output,
          });
        }
      await writeFile(join(folder, 'manifest.json'), JSON.stringify({ tolerance: 1e-5, cases }));
      const results = await askPython('check_ours.py', join(folder, 'manifest.json'));
      expect(results).toHaveLength(cases.length);
      expect(results.filter(({ ok }) => !ok)).toEqual([]);
      await record('peft-linears', 'test/interop/peft-linears.test.ts', 'adapters at linears in the layout of PEFT', results);
    } finally {
      await rm(folder, { recursive: true });
    }
  },
);

test('there are adapters to write', () => {
  expect(PEFT_LINEARS.length).toBeGreaterThan(0);
});
