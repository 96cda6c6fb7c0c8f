import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AutoAdapterModel } from '../../src/auto-adapter-model/index.ts';
import { nodeFiles } from '../../src/base/files-node.ts';
import { float32 } from '../../src/base/index.ts';
import { loadAdapter } from '../../src/checkpoint/index.ts';
import { command as convert } from '../../src/cli/convert.ts';
import { referenceEngine } from '../../src/session/reference.ts';
import { runCommand } from '../command.ts';
import { writeTinyEncoder } from '../tiny.ts';
import { type Batch, readCases, relativeError } from './forward.ts';

interface Ejected extends Batch {
  readonly cases: Readonly<Record<string, { readonly prefix: readonly number[]; readonly logits: readonly (readonly number[])[] }>>;
}

const golden = readCases<Ejected>('ejected/cases.json');
const PREFIX = 'bert.prefix_tuning.prefix_tunings.x.self_prefix.control_trans';

let bert: string;
const folder = mkdtempSync(join(tmpdir(), 'multigraft-ejected-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeAll(async () => {
  bert = await writeTinyEncoder(folder);
});

const rows = golden.inputIds.map((inputIds, i) => ({ inputIds, tokenTypeIds: golden.tokenTypeIds?.[i] }));

async function open(path: string) {
  const model = await AutoAdapterModel.fromPretrained(bert, { engine: referenceEngine() });
  await model.loadAdapter(path);
  const logits = async () =>
    float32(
      [rows.length, 3],
      (await model.predict(rows)).flatMap((answer) => answer.logits as number[]),
    );
  return { model, logits };
}

it('has three cases', () => {
  expect(Object.keys(golden.cases)).toEqual(['prefix', 'gated', 'union']);
});

it.each(Object.entries(golden.cases))('%s: the flat prefix and the logits are those of Python', async (name, want) => {
  const { model, logits } = await open(`test/golden/ejected/${name}`);
  expect(relativeError(await logits(), want.logits.flat())).toBeLessThan(1e-5);
  await model.ejectPrefixTuning('x');
  expect(relativeError(await logits(), want.logits.flat())).toBeLessThan(1e-5);
  await expect(model.ejectPrefixTuning('x')).rejects.toThrow('expected a prefix that a network computes');
  await model.saveAdapter(join(folder, name), 'x');
  const { tensors } = await loadAdapter(nodeFiles, join(folder, name), { encoder: model.encoder });
  expect([...tensors.keys()].filter((key) => /wte|control_trans\./.test(key))).toEqual([]);
  expect(relativeError(tensors.get(PREFIX), want.prefix)).toBeLessThan(1e-6);
  const again = await open(join(folder, name));
  expect(relativeError(await again.logits(), want.logits.flat())).toBeLessThan(1e-5);
});

it('convert --to flat writes it', async () => {
  const output = join(folder, 'flat');
  await runCommand(nodeFiles, convert, { model: bert, adapter: 'test/golden/ejected/union', to: 'flat', output });
  const { logits } = await open(output);
  expect(relativeError(await logits(), golden.cases.union?.logits.flat() as number[])).toBeLessThan(1e-5);
});
