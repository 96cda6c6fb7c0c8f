import { describe, expect, test } from 'vitest';
import { memoryFiles } from '../../src/base/files.ts';
import { nodeFiles } from '../../src/base/files-node.ts';
import { int32, type Tensor } from '../../src/base/tensor.ts';
import { loadHead, saveHead } from '../../src/checkpoint/index.ts';
import { type Encoder, loadEncoder } from '../../src/encoders/index.ts';
import type { ConfiguredMethod } from '../../src/methods/index.ts';
import { withLabels } from '../../src/model/head-task.ts';
import { type Head, labelsOf, MASKED_LM } from '../../src/objectives/index.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { type Batch, forward, readCases, relativeError } from './forward.ts';

type Numbers = readonly (number | Numbers)[];

interface Case {
  readonly group: string;
  readonly encoder: string;
  readonly batch: string;
  readonly adapter?: string;
  readonly head?: string;
  /** Rows of a masked language model are those of the first sequence. */
  readonly logits64?: Numbers;
  readonly hidden64?: Numbers;
}

const golden = readCases<{ batches: Record<string, Batch>; cases: Record<string, Case> }>('folders/folders.json');
const casesOf = (group: string) => Object.entries(golden.cases).filter(([, one]) => one.group === group);

async function encoderOf({ encoder, batch }: Case): Promise<Encoder> {
  return { ...(await loadEncoder(nodeFiles, `test/golden/${encoder}`)), name: `multigraft-tiny-${batch}` };
}

interface Loaded {
  readonly name?: string;
  readonly method?: ConfiguredMethod;
  readonly head?: Head & { readonly tensors: ReadonlyMap<string, Tensor> };
  readonly tensors: ReadonlyMap<string, Tensor>;
}

async function compare(given: Case, encoder: Encoder, { name = '', method, head, tensors }: Loaded) {
  const batch = golden.batches[given.batch] as Batch;
  const width = batch.inputIds[0]?.length ?? 0;
  const places =
    head?.kind === MASKED_LM
      ? {
          maskedPlaces: int32(
            [width],
            Array.from({ length: width }, (_, i) => i),
          ),
        }
      : {};
  const all = new Map([...tensors, ...(head?.tensors ?? [])]);
  const results = await forward(
    await nodeEngine({ threads: 1 }),
    { encoder, name, tensors: all, ...(method && { method }), ...(head && { head }), feeds: places },
    batch,
  );
  const [got, wanted] = given.logits64 ? [results.logits, given.logits64] : [results.hidden, given.hidden64];
  expect(relativeError(got, (wanted as Numbers).flat(9) as number[])).toBeLessThan(1e-5);
}

describe.each(casesOf('encoders'))('%s', (_, given) => {
  test('has a projection of its embeddings where Python has one', async () => {
    const encoder = await encoderOf(given);
    expect([...encoder.weights.keys()].some((name) => /embeddings_project|embedding_hidden_mapping_in/.test(name))).toBe(
      given.batch === 'albert',
    );
    await compare(given, encoder, { tensors: new Map() });
  });
});

describe.each(casesOf('heads'))('%s', (name, given) => {
  test('gives the logits of Python, and again when saved', async () => {
    const encoder = await encoderOf(given);
    const head = await loadHead(nodeFiles, `test/golden/${given.head}`, { encoder });
    expect(head.notes).toEqual([]);
    const files = memoryFiles();
    await saveHead(files, 'again', head, encoder);
    for (const one of [head, await loadHead(files, 'again', { encoder })]) await compare(given, encoder, { head: one, tensors: new Map() });
    if (name.endsWith('gap')) expect(labelsOf(withLabels(head))).toEqual(['alpha', '1', 'gamma']);
  });
});
