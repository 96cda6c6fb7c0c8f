import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AutoAdapterModel } from '../../src/auto-adapter-model/index.ts';
import { nodeFiles } from '../../src/base/files-node.ts';
import { float32 } from '../../src/base/index.ts';
import { command as predict } from '../../src/cli/predict.ts';
import { formatComposition, fuse, fusionsOf, multiTask, stack } from '../../src/methods/index.ts';
import type { Answer } from '../../src/predict/answer.ts';
import { referenceEngine } from '../../src/session/reference.ts';
import { runCommand } from '../command.ts';
import { writeTinyEncoder } from '../tiny.ts';
import { type Batch, readCases, relativeError } from './forward.ts';

const golden = readCases<{
  readonly batch: Batch;
  readonly cases: Readonly<Record<string, { readonly taskIds: number[] | null; readonly logits: number[][] }>>;
}>('several-fusions/cases.json');
const FOLDER = 'test/golden/several-fusions';
const SETUPS = { stack: stack(fuse(['a', 'b']), fuse(['c', 'd'])), 'multi-task': multiTask(fuse(['a', 'b']), fuse(['c', 'd'])) };
const cases = Object.entries(SETUPS);

const folder = mkdtempSync(join(tmpdir(), 'multigraft-fusions-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let bert: string;
beforeAll(async () => {
  bert = await writeTinyEncoder(folder);
});

const rows = golden.batch.inputIds.map((ids, i) => {
  const length = (golden.batch.attentionMask[i] as number[]).filter((real) => real === 1).length;
  return { inputIds: ids.slice(0, length), tokenTypeIds: golden.batch.tokenTypeIds?.[i]?.slice(0, length) };
});
const fresh = () => AutoAdapterModel.fromPretrained(bert, { engine: referenceEngine() });

function expectLogits(answers: readonly Pick<Answer, 'logits'>[], expected: readonly (readonly number[])[]) {
  expect(answers).toHaveLength(expected.length);
  for (const [i, { logits }] of answers.entries())
    expect(relativeError(float32([3], logits as number[]), expected[i] as number[])).toBeLessThan(1e-5);
}

it.each(cases)('two fusions in one setup give the logits of Python: %s', async (name, setup) => {
  const { taskIds, logits } = golden.cases[name] as (typeof golden.cases)[string];
  const model = await fresh();
  expect(await model.loadAdapterSetup(`${FOLDER}/${name}`)).toEqual(setup);
  expect([model.fusions, model.activeHead]).toEqual([['a,b', 'c,d'], 'golden']);
  const answers = await model.predict(rows, { ...(taskIds && { taskIds }) });
  expectLogits(answers, logits);
  await model.saveAdapterSetup(join(folder, name), setup, { head: 'golden' });
  const again = await fresh();
  expect(await again.loadAdapterSetup(join(folder, name))).toEqual(setup);
  expect(await again.predict(rows, { ...(taskIds && { taskIds }) })).toEqual(answers);
});

it.each(cases)('--fusion is given several times beside a --setup: %s', async (name, setup) => {
  const { taskIds, logits } = golden.cases[name] as (typeof golden.cases)[string];
  const input = join(folder, 'rows.jsonl');
  const lines = rows.map(
    (row, i) => `${JSON.stringify({ ...row, ...(taskIds && { task: fusionsOf(setup)[taskIds[i] as number]?.name }) })}\n`,
  );
  await nodeFiles.write(input, lines.join(''));
  const at = (parts: readonly string[]) => parts.map((part) => `${FOLDER}/${name}/${part}`);
  const given = { adapter: at(['a', 'b', 'c', 'd', 'golden']), fusion: at(['a,b', 'c,d']), setup: formatComposition(setup) };
  const { out } = await runCommand(nodeFiles, predict, { model: bert, input, scores: true, threads: '1', head: 'golden', ...given });
  expectLogits(
    out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Answer),
    logits,
  );
});
