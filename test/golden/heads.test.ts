import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { memoryFiles } from '../../src/base/files.ts';
import { float32, int32, type Tensor } from '../../src/base/tensor.ts';
import { HEAD_CONFIG, loadHead, saveHead } from '../../src/checkpoint/index.ts';
import { type Encoder, loadEncoder } from '../../src/encoders/index.ts';
import { readTorch } from '../../src/formats/torch.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { referenceEngine } from '../../src/session/reference.ts';
import { goldenFiles } from './files.ts';
import { type Batch, forward, readCases, relativeError } from './forward.ts';

interface Variant {
  readonly headType: string;
  readonly batch: 'batch' | 'choiceBatch';
  readonly keys: Record<string, number[]>;
  readonly labels?: number[] | number[][];
  readonly startPositions?: number[];
  readonly endPositions?: number[];
  readonly logits?: (number | number[])[][];
  readonly startLogits?: number[][];
  readonly endLogits?: number[][];
  readonly loss64: number;
}

const golden = readCases<{ batch: Batch; choiceBatch: Batch; variants: Record<string, Variant> }>('heads/heads.json');
const VARIANTS = Object.entries(golden.variants);
const encoderOf = async (): Promise<Encoder> => ({
  ...(await loadEncoder(goldenFiles, 'test/golden/encoders/bert')),
  name: 'multigraft-tiny-bert',
});

/** Labels below 0 or at the width do not count; the others share the weight `total` equally. */
function weighted(labels: readonly number[], counts: (label: number, i: number) => boolean, total = 1) {
  const kept = labels.map(counts);
  const share = total / kept.filter(Boolean).length;
  return {
    labels: int32(
      [labels.length],
      labels.map((label, i) => (kept[i] ? label : 0)),
    ),
    weights: float32(
      [labels.length],
      kept.map((one) => (one ? share : 0)),
    ),
  };
}

function targetsOf(
  { headType, labels = [], startPositions, endPositions }: Variant,
  outputs: number,
  batch: Batch,
): Record<string, Tensor> {
  if (startPositions && endPositions) {
    const width = (batch.inputIds[0] as number[]).length;
    const start = weighted(startPositions, (at) => at < width, 0.5);
    const end = weighted(endPositions, (at) => at < width, 0.5);
    return { startPositions: start.labels, startWeights: start.weights, endPositions: end.labels, endWeights: end.weights };
  }
  const rows = labels.length;
  const flat = labels.flat();
  if (headType === 'multilabel_classification' || outputs === 1) {
    const shape = headType === 'multilabel_classification' ? [rows, outputs] : [rows];
    return { labels: float32(shape, flat), lossWeights: float32([rows], new Float32Array(rows).fill(1 / rows)) };
  }
  const mask = headType === 'tagging' ? batch.attentionMask.flat() : flat.map(() => 1);
  const { labels: wanted, weights } = weighted(flat, (label, i) => label >= 0 && mask[i] === 1);
  return { labels: wanted, lossWeights: weights };
}

/** Python's logits in the order of ours: one row per token, start and end side by side. */
function logitsOf({ logits, startLogits, endLogits }: Variant): number[] {
  if (startLogits && endLogits) return startLogits.flat().flatMap((value, i) => [value, endLogits.flat()[i] as number]);
  return (logits as number[][]).flat(2);
}

test('there are 20 variants of all five types', () => {
  expect(VARIANTS).toHaveLength(20);
  expect(new Set(VARIANTS.map(([, { headType }]) => headType)).size).toBe(5);
});

describe.each(VARIANTS)('%s', (name, variant) => {
  test('gives the logits and the loss of Python', async () => {
    const encoder = await encoderOf();
    const head = await loadHead(goldenFiles, `test/golden/heads/${name}`, { encoder });
    expect(head.notes).toEqual([]);
    expect(head.config.head_type).toBe(variant.headType);
    const batch = golden[variant.batch];
    const targets = targetsOf(variant, (head.config.num_labels ?? 0) as number, batch);
    const expected = logitsOf(variant);
    const base = { encoder, name, head, tensors: head.tensors, targets };
    for (const read of head.kind.reads === 'all' ? (['all'] as const) : (['all', 'first'] as const)) {
      const { logits, loss } = await forward(await nodeEngine({ threads: 1 }), { ...base, read }, batch);
      expect(relativeError(logits, expected)).toBeLessThan(1e-5);
      expect(relativeError(loss, [variant.loss64])).toBeLessThan(1e-5);
    }
    if (!/-2$|-pooler$|ignored/.test(name)) return;
    const { logits, loss } = await forward(referenceEngine(), base, batch);
    expect(relativeError(logits, expected)).toBeLessThan(1e-5);
    expect(relativeError(loss, [variant.loss64])).toBeLessThan(1e-6);
  });

  test('is saved as Python saved it', async () => {
    const encoder = await encoderOf();
    const source = `test/golden/heads/${name}`;
    const head = await loadHead(goldenFiles, source, { encoder });
    const files = memoryFiles();
    await saveHead(files, 'out', head, encoder);
    expect(new TextDecoder().decode(await files.read(`out/${HEAD_CONFIG}`))).toBe(readFileSync(`${source}/${HEAD_CONFIG}`, 'utf8'));
    const ours = (await readTorch(files, 'out/pytorch_model_head.bin')).tensors;
    expect(ours).toEqual((await readTorch(goldenFiles, `${source}/pytorch_model_head.bin`)).tensors);
    expect(Object.fromEntries([...ours].map(([key, { shape }]) => [key, [...shape]]))).toEqual(variant.keys);
    await saveHead(files, 'safe', head, encoder, { format: 'safetensors' });
    expect((await loadHead(files, 'safe', { encoder, as: 'other' })).tensors).toEqual(
      new Map([...head.tensors].map(([key, value]) => [key.replace(`heads.${name}.`, 'heads.other.'), value])),
    );
  });
});
