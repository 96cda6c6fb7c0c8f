import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AutoAdapterModel } from '../../src/auto-adapter-model/index.ts';
import { nodeFiles } from '../../src/base/files-node.ts';
import { referenceEngine } from '../../src/session/reference.ts';
import { world } from '../tiny-world.ts';

/** A model with an adapter merged into it, loaded by transformers and by Python's adapters. */
const python = process.env.MULTIGRAFT_PYTHON;
const ROWS = [{ text: 'bako mitu lesar' }, { text: 'sarnof bakomi' }];

describe.skipIf(python === undefined)('a merged model in Python', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'multigraft-merged-'));
    await mkdir(join(folder, 'tiny'));
    const files = world();
    for (const name of await files.list('tiny')) await writeFile(join(folder, 'tiny', name), await files.read(`tiny/${name}`));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test.each(['lora', 'dora', 'ia3', 'vera', 'bitfit', 'ln_tuning'])('%s', async (method) => {
    const model = await AutoAdapterModel.fromPretrained(join(folder, 'tiny'), { files: nodeFiles, engine: referenceEngine() });
    const lively = {
      lora: '[init_weights="bert",alpha=900]',
      dora: '[init_weights="bert",alpha=900]',
      ia3: '[init_weights="bert"]',
      vera: '[vera_b=3.0]',
    };
    model.addAdapter('a', `${method}${lively[method as keyof typeof lively] ?? ''}`);
    model.addClassificationHead('a', { numLabels: 3 });
    model.setActiveAdapters('a');
    const expected = (await model.predict(ROWS)).flatMap((answer) => answer.logits as number[]);
    await model.mergeAdapter();
    const output = join(folder, method);
    await model.saveModel(output);
    const ids = ROWS.map(({ text }) => model.tokenizer.encode(text).inputIds);
    const { stdout } = await promisify(execFile)(python as string, [
      'tools/golden/load_merged.py',
      output,
      JSON.stringify(ids.map((row) => [...row])),
    ]);
    const { logits, same } = JSON.parse(stdout) as { logits: number[][]; same: number };
    expect(same).toBe(0);
    const size = Math.max(...expected.map(Math.abs));
    for (const [i, x] of logits.flat().entries()) expect(Math.abs(x - (expected[i] as number)) / size).toBeLessThan(1e-5);
  });
});
