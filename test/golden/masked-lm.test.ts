import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { memoryFiles } from '../../src/base/files.ts';
import { float32, int32, type Tensor } from '../../src/base/tensor.ts';
import { HEAD_CONFIG, loadAdapter, loadHead, saveHead } from '../../src/checkpoint/index.ts';
import { type Encoder, loadEncoder } from '../../src/encoders/index.ts';
import { readTorch } from '../../src/formats/torch.ts';
import { gradients, type Value } from '../../src/graph/index.ts';
import { configureMethod } from '../../src/methods/index.ts';
import { drawModel } from '../../src/model/draw.ts';
import { drawLoss } from '../../src/model/loss.ts';
import { adapterModel, weightsOf } from '../../src/model/model.ts';
import { noDropout } from '../../src/nn/index.ts';
import { MASKED_LM } from '../../src/objectives/index.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { referenceEngine } from '../../src/session/reference.ts';
import { goldenFiles } from './files.ts';
import { type Batch, feedsOf, readCases, relativeError } from './forward.ts';

interface Case {
  readonly folder: string;
  readonly encoder: string;
  readonly hasAdapter: boolean;
  readonly keys: Readonly<Record<string, Readonly<Record<string, number[]>>>>;
  /** Of the first row: tokens × vocabulary. */
  readonly logits: number[][];
  /** Of every token, over the vocabulary. */
  readonly logitSums: number[][];
  readonly loss: number;
  readonly gradientNorms: Readonly<Record<string, number>>;
}

const golden = readCases<{ batches: Record<string, Batch>; labels: number[][]; cases: Record<string, Case> }>('masked-lm/cases.json');
const CASES = Object.entries(golden.cases);

test('there are 14 cases on five families, seven of them with an invertible adapter and another head', () => {
  expect(CASES).toHaveLength(14);
  expect(new Set(CASES.map(([, { encoder }]) => encoder)).size).toBe(5);
});

async function loaded({ folder, encoder: family, hasAdapter }: Case) {
  const encoder: Encoder = { ...(await loadEncoder(goldenFiles, `test/golden/encoders/${family}`)), name: `multigraft-tiny-${family}` };
  const head = await loadHead(goldenFiles, `test/golden/${folder}`, { encoder });
  const adapter = hasAdapter ? await loadAdapter(goldenFiles, `test/golden/${folder}`, { encoder, head: false }) : undefined;
  return { encoder, head, adapter };
}

describe.each(CASES)('%s', (_, given) => {
  test.each(['node', 'reference'] as const)('gives the logits, the loss and the gradients of Python: %s', async (which) => {
    const { encoder, head, adapter } = await loaded(given);
    expect([head.kind, ...head.notes]).toEqual([MASKED_LM]);
    const model = adapterModel(encoder, adapter?.method ?? configureMethod('head'), adapter?.name ?? '', head);
    const tensors = new Map([...head.tensors, ...(adapter?.tensors ?? [])]);
    const drawn = drawModel(model, noDropout, (name) => tensors.has(name));
    const { loss } = drawLoss(model, drawn.logits);
    const names = Object.keys(given.gradientNorms);
    const slopes = gradients(
      loss,
      names.map((name) => drawn.trainable.get(name) as Value),
    );
    const outputs = {
      logits: drawn.logits[0] as Value,
      loss,
      ...Object.fromEntries(names.map((name, i) => [name, slopes[i] as Value])),
    };
    const engine = which === 'node' ? await nodeEngine({ threads: 1 }) : referenceEngine();
    const session = await engine.compile({ outputs }, weightsOf(model));

    const labels = golden.labels.flat();
    const share = 1 / labels.filter((label) => label >= 0).length;
    const results = await session.run({
      ...feedsOf(golden.batches[given.encoder] as Batch, encoder),
      ...Object.fromEntries(tensors),
      maskedPlaces: int32([labels.length], [...labels.keys()]),
      labels: int32(
        [labels.length],
        labels.map((label) => Math.max(0, label)),
      ),
      lossWeights: float32(
        [labels.length],
        labels.map((label) => (label >= 0 ? share : 0)),
      ),
    });
    await session.release();

    const logits = results.logits as Tensor;
    const [tokens, words] = [given.logits.length, logits.shape[1] as number];
    const first = { ...logits, shape: [tokens, words], data: (logits.data as Float32Array).slice(0, tokens * words) };
    expect(relativeError(first, given.logits.flat())).toBeLessThan(1e-5);
    const numbers = Array.from(logits.data, Number);
    const sums = labels.map((__, row) => numbers.slice(row * words, (row + 1) * words).reduce((a, b) => a + b, 0));
    expect(relativeError(float32([labels.length], sums), given.logitSums.flat())).toBeLessThan(1e-4);
    expect(relativeError(results.loss, [given.loss])).toBeLessThan(1e-5);
    expect(names.length).toBeGreaterThanOrEqual(1);
    for (const name of names) {
      const norm = Math.hypot(...Array.from((results[name] as Tensor).data, Number));
      expect(Math.abs(norm / (given.gradientNorms[name] as number) - 1), name).toBeLessThan(1e-4);
    }
  });

  test('is saved as Python saved it, the word table once more in its file', async () => {
    const { encoder, head } = await loaded(given);
    const files = memoryFiles();
    await saveHead(files, 'out', head, encoder);
    const source = `test/golden/${given.folder}`;
    expect(new TextDecoder().decode(await files.read(`out/${HEAD_CONFIG}`))).toBe(readFileSync(`${source}/${HEAD_CONFIG}`, 'utf8'));
    const ours = (await readTorch(files, 'out/pytorch_model_head.bin')).tensors;
    expect(ours).toEqual((await readTorch(goldenFiles, `${source}/pytorch_model_head.bin`)).tensors);
    const shapes = Object.fromEntries([...ours].map(([key, { shape }]) => [key, [...shape]]));
    expect(shapes).toEqual(given.keys['pytorch_model_head.bin']);
  });
});

test('a head of another encoder is refused: its word table is another one', async () => {
  const { encoder } = await loaded(golden.cases.bert as Case);
  const table = `${encoder.family.prefix}${encoder.family.wordTable}.weight`;
  const words = (await encoder.weights.get(table)?.read()) as Tensor;
  const data = Float32Array.from(words.data as Float32Array, (x, i) => (i === 5 ? x + 1 : x));
  const weights = new Map([...encoder.weights]).set(table, {
    ...encoder.weights.get(table),
    read: async () => ({ ...words, data }),
  } as never);
  await expect(loadHead(goldenFiles, 'test/golden/masked-lm/bert', { encoder: { ...encoder, weights } })).rejects.toMatchObject({
    code: 'adapter.mismatch',
  });
});
