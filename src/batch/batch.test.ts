import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRandom } from '../base/random.ts';
import { collate, paddedLength } from './collate.ts';
import { createSampler, lengthBuckets, sequentialBatches } from './sampler.ts';

const row = (...ids: number[]) => ({ inputIds: Int32Array.from(ids), tokenTypeIds: Int32Array.from(ids, (_, i) => i % 2) });
const lengthList = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 700 }).map((list) => Int32Array.from(list));

/** The share of positions that are padding when these batches of rows are collated, 0 to 1. */
function paddingShare(batches: readonly Int32Array[], lengths: Int32Array): number {
  const of = (rows: Int32Array) => Array.from(rows, (row) => lengths[row] as number);
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const positions = batches.reduce((sum, rows) => sum + rows.length * paddedLength(Math.max(...of(rows))), 0);
  return 1 - tokens / positions;
}

describe('collate', () => {
  it('pads on the right to a multiple of eight and masks the padding', () => {
    const batch = collate([row(5, 6, 7), row(8)], { padId: 9 });
    expect(batch.inputIds.shape).toEqual([2, 8]);
    expect([...batch.inputIds.data]).toEqual([5, 6, 7, 9, 9, 9, 9, 9, 8, 9, 9, 9, 9, 9, 9, 9]);
    expect([...batch.tokenTypeIds.data]).toEqual([0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect([...batch.attentionMask.data]).toEqual([1, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    expect(batch.attentionMask.dtype).toBe('float32');
  });

  it('does not round above the encoder’s positions', () => {
    expect(collate([row(1, 2, 3, 4, 5, 6, 7, 8, 9)], { padId: 0, maxLength: 10 }).inputIds.shape).toEqual([1, 10]);
    expect(paddedLength(0)).toBe(8);
  });

  it('names the sequence that is too long', () => {
    expect(() => collate([row(1), row(1, 2, 3)], { padId: 0, maxLength: 2 })).toThrow(
      'sequence 2 of the batch: found 3 tokens; expected at most 2',
    );
  });

  it('refuses a tokenizer without a pad token', () => {
    expect(() => collate([row(1)], { padId: -1 })).toThrow(expect.objectContaining({ code: 'text.tokenizer' }));
  });
});

describe('batches', () => {
  it('hold every row exactly once', () => {
    fc.assert(
      fc.property(lengthList, fc.integer({ min: 1, max: 40 }), fc.integer(), (lengths, batchSize, seed) => {
        const all = Array.from(lengths, (_, i) => i);
        const plans = [lengthBuckets(lengths, batchSize, createRandom(seed)), sequentialBatches(lengths.length, batchSize)];
        for (const batches of plans) {
          expect(batches.flatMap((rows) => [...rows]).sort((a, b) => a - b)).toEqual(all);
          expect(batches.filter((rows) => rows.length !== batchSize).length).toBeLessThanOrEqual(1);
          expect(batches.length).toBe(Math.ceil(lengths.length / batchSize));
        }
      }),
      { seed: 1, numRuns: 100 },
    );
  });

  it('waste a few percent on padding for lengths as in real tasks', () => {
    const random = createRandom(3);
    const lengths = Int32Array.from({ length: 6000 }, () => Math.min(256, Math.max(4, Math.round(Math.exp(3.9 + 0.5 * random.normal())))));
    const bucketed = lengthBuckets(lengths, 16, createRandom(1));
    const roundingAlone = paddingShare(sequentialBatches(lengths.length, 1), lengths);
    expect(roundingAlone).toBeGreaterThan(0.05);
    expect(paddingShare(bucketed, lengths) - roundingAlone).toBeLessThan(0.04);
    expect(paddingShare(sequentialBatches(lengths.length, 16), lengths)).toBeGreaterThan(0.4);
  });

  it('do not go from short to long', () => {
    const lengths = Int32Array.from({ length: 3200 }, (_, i) => 1 + (i % 200));
    const firsts = lengthBuckets(lengths, 16, createRandom(5)).map((rows) => lengths[rows[0] as number] as number);
    const rises = firsts.slice(1).filter((length, i) => length > (firsts[i] as number)).length;
    expect(rises).toBeGreaterThan(60);
    expect(rises).toBeLessThan(140);
  });
});

describe('createSampler', () => {
  it('gives the same batches after being restored anywhere', () => {
    fc.assert(
      fc.property(
        lengthList,
        fc.integer({ min: 1, max: 40 }),
        fc.integer(),
        fc.boolean(),
        fc.nat(30),
        (lengths, batchSize, seed, shuffle, steps) => {
          const options = { lengths, batchSize, shuffle, seed };
          const whole = createSampler(options);
          for (let i = 0; i < steps; i++) whole.next();
          const restored = createSampler(options, JSON.parse(JSON.stringify(whole.state())));
          for (let i = 0; i < 20; i++) expect(restored.next()).toEqual(whole.next());
        },
      ),
      { seed: 1, numRuns: 60 },
    );
  });

  it('shuffles each epoch anew and covers every row in each', () => {
    const lengths = new Int32Array(50).fill(3);
    const sampler = createSampler({ lengths, batchSize: 8, shuffle: true, seed: 1 });
    const epochs = [0, 1, 2].map((epoch) =>
      Array.from({ length: sampler.batchesPerEpoch }, (_, batch) => {
        const sampled = sampler.next();
        expect(sampled).toMatchObject({ epoch, batch });
        return [...sampled.rows];
      }).flat(),
    );
    for (const rows of epochs) expect(new Set(rows).size).toBe(50);
    expect(epochs[0]).not.toEqual(epochs[1]);
    expect(epochs[1]).not.toEqual(epochs[2]);
  });

  it('keeps file order without shuffling', () => {
    const sampler = createSampler({ lengths: Int32Array.of(9, 1, 5), batchSize: 2, shuffle: false, seed: 1 });
    expect([sampler.next(), sampler.next(), sampler.next()].map(({ rows }) => [...rows])).toEqual([[0, 1], [2], [0, 1]]);
  });

  it('refuses a state of other data or settings', () => {
    const options = { lengths: Int32Array.of(1, 2, 3), batchSize: 2, shuffle: true, seed: 1 };
    const state = createSampler(options).state();
    expect(() => createSampler({ ...options, seed: 2 }, state)).toThrow('sampler, seed: found 2 now; expected 1, as in the saved run');
    expect(() => createSampler({ ...options, lengths: Int32Array.of(1) }, state)).toThrow(
      expect.objectContaining({ code: 'train.resume' }),
    );
    expect(() => createSampler(options, { ...state, batch: 2 })).toThrow(expect.objectContaining({ code: 'train.resume' }));
    expect(() => createSampler({ ...options, lengths: new Int32Array() })).toThrow(expect.objectContaining({ code: 'task.empty' }));
    expect(() => createSampler({ ...options, batchSize: 0 })).toThrow(expect.objectContaining({ code: 'usage.value' }));
  });
});
