import { describe, expect, it } from 'vitest';
import { studentTokenizer, tinyTexts } from '../../../test/pretraining.ts';
import { TINY_ENCODER, tinyTokenizer } from '../../../test/tiny.ts';
import { nodeFiles } from '../../base/files-node.ts';
import type { Tensor } from '../../base/tensor.ts';
import { drawEncoder, loadEncoder } from '../../encoders/index.ts';
import { encoderFeeds } from '../../model/encoder-inputs.ts';
import { noDropout, parameters } from '../../nn/index.ts';
import { nodeEngine } from '../../session/index.ts';
import type { Encoding } from '../../text/index.ts';
import { createTeacher, wordTargets } from './teacher.ts';
import { type Sample, wordTokens } from './words.ts';

const encoder = await loadEncoder(nodeFiles, TINY_ENCODER);
const [large, small] = [tinyTokenizer(), studentTokenizer(40)];
const engine = await nodeEngine({ threads: 1 });
const samples: Sample[] = tinyTexts(12).map((text, i, all) => (i % 3 === 1 ? [text, all[i - 1] as string] : [text]));
const WIDTH = 32;

/** The encoder's own hidden states [S, 32] of one text. */
async function hiddenOf(encoding: Encoding): Promise<Float32Array> {
  const { family, config } = encoder;
  const { output } = drawEncoder({ family, config, parameters: parameters(() => false), dropout: noDropout, hooks: {}, read: 'all' });
  const session = await engine.compile({ outputs: { output } }, encoder.weights);
  const results = await session.run(encoderFeeds([encoding], encoder));
  await session.release();
  return (results.output as Tensor).data as Float32Array;
}

const encode = ([text, pair]: Sample, maxLength = 40) => large.encode(text, pair, { maxLength });

describe('the words of a teacher', () => {
  it('are the means of its token vectors, kept within 1 % of the largest', async () => {
    const teacher = await createTeacher(engine, encoder, large, samples, 40);
    const [said] = await teacher.words(Int32Array.of(1));
    const encoding = encode(samples[1] as Sample);
    const hidden = await hiddenOf(encoding);
    const words = wordTokens(encoding, samples[1] as Sample);
    expect(said?.keys).toEqual(['', ...words.keys()]);
    const groups = [Array.from(encoding.inputIds.keys()), ...words.values()];
    expect(Math.max(...groups.slice(1).map((tokens) => tokens.length))).toBeGreaterThan(1);
    const means = groups.map((tokens) =>
      Array.from(
        { length: WIDTH },
        (_, i) => tokens.reduce((sum, token) => sum + (hidden[token * WIDTH + i] as number), 0) / tokens.length,
      ),
    );
    const given = means.map((_, row) => Array.from(said?.vectors.subarray(row * WIDTH, (row + 1) * WIDTH) ?? []));
    // The scale is whatever makes the first samples' numbers about 1: one number fits all.
    const top = (vector: readonly number[]) => Math.max(...vector.map(Math.abs));
    const scale = top(given[0] as number[]) / top(means[0] as number[]);
    means.forEach((mean, row) => {
      mean.forEach(
        (value, i) => void expect(Math.abs(value * scale - (given[row]?.[i] as number)) / (top(mean) * scale)).toBeLessThan(0.01),
      );
    });
    const all = given.slice(1).flat();
    expect(all.reduce((sum, x) => sum + x * x, 0) / all.length).toBeGreaterThan(0.2);
    expect(all.reduce((sum, x) => sum + x * x, 0) / all.length).toBeLessThan(5);
    await teacher.release();
  });

  it('are the same bytes whatever was asked before, and in whatever company', async () => {
    const [one, other] = [
      await createTeacher(engine, encoder, large, samples, 40),
      await createTeacher(engine, encoder, large, samples, 40),
    ];
    const together = await one.words(Int32Array.from(samples.keys()));
    await other.words(Int32Array.of(4, 2));
    for (const row of samples.keys()) expect((await other.words(Int32Array.of(row)))[0]).toEqual(together[row]);
    await one.release();
    await other.release();
  });
});

it.each(['albert', 'distilbert', 'electra', 'roberta', 'xlm-roberta'])('%s can be a teacher', async (family) => {
  const other = await loadEncoder(nodeFiles, `test/golden/encoders/${family}`);
  // Not every family has a second token type.
  const singles = samples.filter(([, pair]) => pair === undefined);
  const teacher = await createTeacher(engine, other, large, singles, 32);
  const said = await teacher.words(Int32Array.of(0, 1));
  expect(said.map(({ keys }) => keys.length)).toEqual([0, 1].map((row) => 1 + (singles[row] as Sample)[0].split(' ').length));
  for (const { keys, vectors } of said) {
    expect(vectors).toHaveLength(keys.length * teacher.width);
    expect(vectors.every((x) => Number.isFinite(x) && Math.abs(x) < 50)).toBe(true);
    expect(vectors.some((x) => Math.abs(x) > 0.1)).toBe(true);
  }
  await teacher.release();
});

describe('alignment of words', () => {
  it('is by characters: both tokenizers know the same words, cut into other tokens', () => {
    let differently = 0;
    for (const sample of samples) {
      const [a, b] = [wordTokens(encode(sample), sample), wordTokens(small.encode(...(sample as [string, string])), sample)];
      expect([...a.keys()]).toEqual([...b.keys()]);
      expect(a.size).toBe(sample.join(' ').split(' ').length);
      for (const [key, tokens] of a) if (tokens.length !== b.get(key)?.length) differently++;
    }
    expect(differently).toBeGreaterThan(10);
  });

  it('leaves out words that either has cut off', () => {
    const sample: Sample = ['bako komi tulele'];
    const whole = small.encode(sample[0]);
    const words = [...wordTokens(whole, sample)];
    expect(words.map(([key]) => key)).toEqual(['0:0-4', '0:5-9', '0:10-16']);
    const last = words[2]?.[1] as number[];
    expect(last.length).toBeGreaterThan(1);
    const cut = small.encode(sample[0], undefined, { maxLength: (last.at(-1) as number) + 1 });
    expect(cut.truncated).toBeGreaterThan(0);
    const known = [...wordTokens(cut, sample).keys()];
    expect(known.slice(0, 2)).toEqual(['0:0-4', '0:5-9']);
    expect(known).not.toContain('0:10-16');
  });

  it('counts no space to a word', () => {
    const ids = Int32Array.of(1, 2);
    const encoding: Encoding = {
      inputIds: ids,
      tokenTypeIds: Int32Array.of(0, 0),
      specialTokensMask: Uint8Array.of(0, 0),
      sequenceIds: Int8Array.of(0, 0),
      wordIds: Int32Array.of(0, 1),
      offsets: Int32Array.of(0, 2, 2, 5),
      truncated: 0,
    };
    expect([...wordTokens(encoding, ['ba ko'])]).toEqual([
      ['0:0-2', [0]],
      ['0:3-5', [1]],
    ]);
  });
});

it('targets: weights add up to 1, unknown words weigh nothing, tokens of a word share it', () => {
  const known = [
    { keys: ['', '0:0-2', '0:3-5'], vectors: Float32Array.of(1, 2, 3, 4, 5, 6) },
    { keys: ['', '0:0-9'], vectors: Float32Array.of(7, 8, 9, 10) },
  ];
  const own = [new Map([['0:3-5', [2, 3]]]), new Map([['0:0-9', [1]]])];
  const { wordTokens: tokens, teacherWords, wordWeights } = wordTargets(known, own, 4, 2);
  expect(tokens?.shape).toEqual([2, 3, 4]);
  const rows = Array.from({ length: 6 }, (_, i) => Array.from(tokens?.data.slice(i * 4, i * 4 + 4) ?? [], Number));
  const nothing = [0, 0, 0, 0];
  expect(rows).toEqual([[1, 0, 0, 0], nothing, [0, 0, 0.5, 0.5], [1, 0, 0, 0], [0, 1, 0, 0], nothing]);
  expect([...(teacherWords?.data ?? [])]).toEqual([1, 2, 0, 0, 5, 6, 7, 8, 9, 10, 0, 0]);
  expect([...(wordWeights?.data ?? [])].map((weight) => Number(weight).toFixed(3))).toEqual([
    '0.400',
    '0.000',
    '0.100',
    '0.400',
    '0.100',
    '0.000',
  ]);
});
