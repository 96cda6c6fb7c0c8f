import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { float32, int32, type Tensor } from '../../src/base/tensor.ts';
import { drawEncoder, drawPooled, type Encoder, FAMILIES, loadEncoder } from '../../src/encoders/index.ts';
import { noDropout, parameters } from '../../src/nn/index.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { referenceEngine } from '../../src/session/reference.ts';
import type { Engine } from '../../src/session/session.ts';
import { goldenFiles } from './files.ts';

const FOLDER = 'test/golden/encoders';
const cases = (name: string) => JSON.parse(readFileSync(`${FOLDER}/${name}/cases.json`, 'utf8')).cases;

interface Digest {
  readonly firstToken: number[][];
  readonly tokenSums: number[][];
}

/** All hidden states and the pooled vector for one padded batch. */
async function runEncoder(
  engine: Engine,
  encoder: Encoder,
  batch: { inputIds: number[][]; attentionMask: number[][]; tokenTypeIds?: number[][] },
) {
  const { family, config } = encoder;
  const options = { family, config, parameters: parameters(() => false), dropout: noDropout, hooks: {}, read: 'all' } as const;
  const { hiddenStates, output, first } = drawEncoder(options);
  const pooled = family.pooler !== undefined ? { pooled: drawPooled(options, first) } : {};
  const outputs = { ...Object.fromEntries(hiddenStates.map((value, i) => [`hidden${i}`, value])), output, ...pooled };
  const shape = [batch.inputIds.length, (batch.inputIds[0] as number[]).length];
  const inputIds = int32(shape, batch.inputIds.flat());
  const feeds: Record<string, Tensor> = {
    inputIds,
    attentionMask: float32(shape, batch.attentionMask.flat()),
    tokenTypeIds: int32(shape, (batch.tokenTypeIds ?? batch.inputIds.map((row) => row.map(() => 0))).flat()),
    ...family.inputs(inputIds, config),
  };
  const session = await engine.compile({ outputs }, encoder.weights);
  return session.run(feeds);
}

/** Largest difference over largest value, at real tokens only. */
function relativeError(got: ArrayLike<number>, expected: readonly number[], real: (i: number) => boolean): number {
  let [difference, largest] = [0, 0];
  expect(got.length).toBe(expected.length);
  expected.forEach((value, i) => {
    if (!real(i)) return;
    difference = Math.max(difference, Math.abs(value - (got[i] as number)));
    largest = Math.max(largest, Math.abs(value));
  });
  expect(largest).toBeGreaterThan(0.1);
  return difference / largest;
}

const NAMES = [
  'bert',
  'roberta',
  'xlm-roberta',
  'distilbert',
  'electra',
  'albert',
  'albert-groups',
  'modernbert',
  'modernbert-biases',
  'mpnet',
  'deberta-v2',
  'deberta-v2-xlarge',
  'deberta-v2-plain',
  'deberta-v2-absolute',
];

describe.each(['node', 'reference'])('encoders on %s', (kind) => {
  const engine = () => (kind === 'node' ? nodeEngine({ threads: 1 }) : Promise.resolve(referenceEngine()));

  test.each(NAMES)('%s gives the hidden states and pooled vectors of transformers', async (name) => {
    const encoder = await loadEncoder(goldenFiles, `${FOLDER}/${name}`, { checkFinite: true });
    expect(encoder.notes).toEqual([]);
    const { batch } = cases(name);
    const results = await runEncoder(await engine(), encoder, batch);
    const { hidden } = encoder.config;
    const mask = batch.attentionMask.flat() as number[];
    const last = results.output?.data as Float32Array;
    expect(relativeError(last, batch.lastHiddenState.flat(2), (i) => mask[Math.floor(i / hidden)] === 1)).toBeLessThan(1e-5);
    const length = batch.inputIds[0].length;
    batch.hiddenStates.forEach(({ firstToken }: { firstToken: number[][] }, layer: number) => {
      const all = results[`hidden${layer}`]?.data as Float32Array;
      const firsts = firstToken.flatMap((_, row) => [...all.slice(row * length * hidden, (row * length + 1) * hidden)]);
      expect(relativeError(firsts, firstToken.flat(), () => true)).toBeLessThan(1e-5);
    });
    if (encoder.family.pooler)
      expect(relativeError(results.pooled?.data as Float32Array, batch.pooled.flat(), () => true)).toBeLessThan(1e-5);
  });
});

test.each(NAMES)('%s gives the last hidden states of all other batches, the longest among them', async (name) => {
  const encoder = await loadEncoder(goldenFiles, `${FOLDER}/${name}`);
  const { hidden } = encoder.config;
  const { batch: _batch, ...others } = cases(name) as Record<string, Parameters<typeof runEncoder>[2] & { lastHiddenDigest: Digest }>;
  expect(Object.keys(others)).toContain('longest');
  for (const batch of Object.values(others)) {
    const { output } = await runEncoder(await nodeEngine({ threads: 1 }), encoder, batch);
    const last = output?.data as Float32Array;
    const { firstToken, tokenSums } = batch.lastHiddenDigest;
    const width = last.length / firstToken.length;
    const firsts = firstToken.flatMap((_, row) => [...last.slice(row * width, row * width + hidden)]);
    expect(relativeError(firsts, firstToken.flat(), () => true)).toBeLessThan(1e-5);
    const mask = batch.attentionMask.flat();
    const sums = mask.map((_, token) => last.slice(token * hidden, (token + 1) * hidden).reduce((sum, x) => sum + x, 0));
    expect(relativeError(sums, tokenSums.flat(), (token) => mask[token] === 1)).toBeLessThan(1e-5);
  }
});

test('every family has golden values', () => {
  expect(FAMILIES.map((family) => family.name).every((name) => NAMES.includes(name))).toBe(true);
  expect(FAMILIES).toHaveLength(9);
});

test.each(['bert-bin', 'bert-sharded', 'bert-float16', 'bert-bfloat16'])('%s holds the same encoder as bert', async (name) => {
  const encoder = await loadEncoder(goldenFiles, `${FOLDER}/${name}`);
  const half = name.includes('16');
  expect(encoder.notes).toEqual(half ? [`${encoder.weights.size} ${name.slice(5)} tensors are expanded to float32 at load.`] : []);
  const { batch } = cases('bert');
  const results = await runEncoder(await nodeEngine({ threads: 1 }), encoder, batch);
  const tolerance = name === 'bert-bfloat16' ? 0.1 : half ? 0.01 : 1e-5;
  expect(relativeError(results.pooled?.data as Float32Array, batch.pooled.flat(), () => true)).toBeLessThan(tolerance);
});
