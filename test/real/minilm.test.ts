import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { nodeFiles } from '../../src/base/files-node.ts';
import { float32, int32, type Tensor } from '../../src/base/tensor.ts';
import { drawEncoder, drawPooled, loadEncoder } from '../../src/encoders/index.ts';
import { noDropout, parameters } from '../../src/nn/index.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { loadTokenizer } from '../../src/text/index.ts';

const FOLDER = '../shared/models/minilm';
const golden = JSON.parse(readFileSync('test/golden/encoders/minilm.json', 'utf8')) as {
  inputIds: number[][];
  sentences: string[];
  layers: { rowSums: number[]; rowAbsSums: number[] }[];
  firstToken: number[][];
  lastToken: number[][];
  pooled: number[][];
  maxAbs: number[];
};

describe.skipIf(!existsSync(FOLDER))(`the real MiniLM of ${FOLDER} (skipped when that folder is absent)`, () => {
  test('16 padded rows give the numbers of transformers', async () => {
    const encoder = await loadEncoder(nodeFiles, FOLDER, { checkFinite: true });
    expect(encoder.notes).toEqual([]);
    const { family, config } = encoder;
    const options = { family, config, parameters: parameters(() => false), dropout: noDropout, hooks: {}, read: 'all' } as const;
    const { hiddenStates, first } = drawEncoder(options);
    const outputs = {
      ...Object.fromEntries(hiddenStates.map((value, i) => [`hidden${i}`, value])),
      pooled: drawPooled(options, first),
    };
    const session = await (await nodeEngine({ threads: 1 })).compile({ outputs }, encoder.weights);
    const length = Math.max(...golden.inputIds.map((ids) => ids.length));
    const shape = [golden.inputIds.length, length];
    const padded = golden.inputIds.flatMap((ids) => [...ids, ...new Array<number>(length - ids.length).fill(0)]);
    const results = await session.run({
      inputIds: int32(shape, padded),
      tokenTypeIds: int32(shape, new Int32Array(padded.length)),
      attentionMask: float32(
        shape,
        golden.inputIds.flatMap((ids) => Array.from({ length }, (_, i) => Number(i < ids.length))),
      ),
    });
    await session.release();

    const { hidden, layers } = config;
    const last = results[`hidden${layers}`]?.data as Float32Array;
    golden.inputIds.forEach((ids, row) => {
      const vector = (position: number) => {
        const start = (row * length + position) * hidden;
        return [...last.slice(start, start + 8), ...last.slice(start + hidden - 8, start + hidden)];
      };
      const pooled = results.pooled?.data as Float32Array;
      const close = (got: number[], expected: readonly number[], largest: number) => {
        expect(got).toHaveLength(expected.length);
        for (const [i, value] of got.entries()) expect(Math.abs(value - (expected[i] as number))).toBeLessThanOrEqual(1e-5 * largest);
      };
      close(vector(0), golden.firstToken[row] as number[], golden.maxAbs[row] as number);
      close(vector(ids.length - 1), golden.lastToken[row] as number[], golden.maxAbs[row] as number);
      close(
        [...pooled.slice(row * hidden, row * hidden + 8), ...pooled.slice((row + 1) * hidden - 8, (row + 1) * hidden)],
        golden.pooled[row] as number[],
        1,
      );
      golden.layers.forEach(({ rowSums, rowAbsSums }, layer) => {
        const { data } = results[`hidden${layer}`] as Tensor;
        const states = (data as Float32Array).subarray(row * length * hidden, (row * length + ids.length) * hidden);
        const absolute = states.reduce((sum, x) => sum + Math.abs(x), 0);
        expect(Math.abs(absolute / (rowAbsSums[row] as number) - 1)).toBeLessThan(1e-5);
        expect(Math.abs(states.reduce((sum, x) => sum + x, 0) - (rowSums[row] as number))).toBeLessThan(1e-5 * absolute);
      });
    });
  });

  test('our sentences have the ids of its fast tokenizer', async () => {
    const tokenizer = await loadTokenizer(nodeFiles, FOLDER);
    expect(golden.sentences).toHaveLength(8);
    const encoded = golden.sentences.map((sentence) => [...tokenizer.encode(sentence).inputIds]);
    const known = golden.inputIds.map(String);
    for (const ids of encoded) expect(known).toContain(String(ids));
  });
});
