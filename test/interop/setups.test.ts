import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { saveAttachedSetup } from '../../src/auto-adapter-model/saved.ts';
import { memoryFiles } from '../../src/base/files.ts';
import { loadSetup } from '../../src/checkpoint/index.ts';
import { loadEncoder } from '../../src/encoders/index.ts';
import { bindAdapter, configureMethod, encoderFacts } from '../../src/methods/index.ts';
import { createHead, headParameters } from '../../src/objectives/index.ts';
import type { CompositionCases } from '../golden/composition.ts';
import { goldenFiles } from '../golden/files.ts';
import { readCases } from '../golden/forward.ts';
import { draw } from '../golden/fusion.ts';
import { askPython, emptyState, python, record } from './python.ts';

/** Setups of every block that this package writes, loaded by Python's adapters: those of the golden tests, whose logits are known. */
const GOLDEN = [
  'composition/cases',
  'composition-rows/batch-split',
  'composition-rows/multi-task',
  'composition-rows/parallel',
  'composition-rows/split',
];
const COUNT = 178;
const HEAD = { head_type: 'classification', num_labels: 3, layers: 1, dropout_prob: 0 };

describe.skipIf(!python)(
  'setups that this package writes, read by Python (skipped: MULTIGRAFT_PYTHON names no Python with adapters)',
  () => {
    let folder: string;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'multigraft-setups-'));
    });
    afterAll(() => rm(folder, { recursive: true, force: true }));

    test('give the same logits, with no tensor missing', async () => {
      const cases: object[] = [];
      for (const path of GOLDEN) {
        const golden = readCases<CompositionCases>(`${path}.json`);
        for (const name of Object.keys(golden.cases)) {
          const where = join(folder, String(cases.length));
          cases.push({ name: `${path} ${name}`, ...(await written(golden, name, where, cases.length % 2 ? 'safetensors' : 'bin')) });
        }
      }
      expect(cases).toHaveLength(COUNT);
      const manifest = join(folder, 'manifest.json');
      await writeFile(manifest, JSON.stringify({ tolerance: 1e-5, cases }));
      const results = await askPython('load_setups.py', manifest);
      expect(results.filter(({ ok }) => !ok)).toEqual([]);
      expect(results).toHaveLength(COUNT);
      await record('setups', 'test/interop/setups.test.ts', 'setups with adapters and heads', results);
    });
  },
);

async function written(golden: CompositionCases, name: string, folder: string, format: 'bin' | 'safetensors') {
  const { encoder: family, adapters, block, taskIds, logits } = golden.cases[name] as CompositionCases['cases'][string];
  const encoder = await loadEncoder(goldenFiles, `test/golden/encoders/${family}`);
  const state = emptyState(encoder);
  for (const [adapter, text] of Object.entries(adapters)) {
    const method = configureMethod(text);
    const { parameters } = bindAdapter(method, { ...encoderFacts(encoder), name: adapter });
    state.adapters.set(adapter, { method, tensors: new Map(parameters.map(({ name: key, shape }) => [key, draw(golden, key, shape)])) });
  }
  const head = createHead('golden', { ...HEAD, label2id: { no: 0, perhaps: 1, yes: 2 } });
  const tensors = headParameters(head, encoder.config).map(({ name: key, shape }) => [key, draw(golden, key, shape)] as const);
  state.heads.set('golden', { ...head, tensors: new Map(tensors) });
  const files = memoryFiles();
  await files.write('s/adapter_setup.json', JSON.stringify({ adapter_setup: block, head_setup: null, version: 'adapters.1.3.0' }));
  const { composition } = await loadSetup(files, 's');
  await saveAttachedSetup(state, folder, composition, { format, head: 'golden' });
  const batch = golden.batches[family] as CompositionCases['batches'][string];
  return { encoder: resolve(encoder.folder), setup: folder, ...batch, ...(taskIds && { taskIds }), logits };
}
