import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { studentTokenizer, tinyTexts } from '../../../test/pretraining.ts';
import { createRandom } from '../../base/random.ts';
import { maskTokens } from './masking.ts';

const tokenizer = studentTokenizer();
const texts = tinyTexts(64);
const encodings = texts.map((text, i) => tokenizer.encode(text, i % 3 === 0 ? texts[0] : undefined));
const config = { padId: tokenizer.padId, vocabulary: tokenizer.vocabularySize };

function masked(share: number, seed: number) {
  const { feeds, guesses } = maskTokens(encodings, tokenizer, config, share, createRandom(seed));
  return { ids: feeds.inputIds, places: [...guesses.maskedPlaces.data].map(Number), tokens: guesses.maskedTokens.data, guesses };
}

describe('masking', () => {
  it('never hides special tokens or padding, and changes nothing elsewhere', () => {
    fc.assert(
      fc.property(fc.integer(), fc.double({ min: 0.01, max: 1, noNaN: true }), (seed, share) => {
        const { ids, places, tokens, guesses } = masked(share, seed);
        // Where chance hides nothing, the one guess of weight 0 stands at the first place.
        const none = guesses.maskedWeights.data[0] === 0;
        const width = ids.shape[1] as number;
        const hidden = new Map(none ? [] : places.map((at, i) => [at, tokens[i]]));
        encodings.forEach(({ inputIds, specialTokensMask }, row) => {
          for (let i = 0; i < width; i++) {
            const at = row * width + i;
            const real = inputIds[i] ?? tokenizer.padId;
            if (hidden.has(at)) {
              expect(specialTokensMask[i]).toBe(0);
              expect(hidden.get(at)).toBe(real);
            } else expect(ids.data[at]).toBe(real);
          }
        });
      }),
      { seed: 1, numRuns: 20 },
    );
  });

  it.each([0.1, 0.15])('hides the share %f; of these 80 %% become the mask, 10 %% another token, 10 %% stay', (share) => {
    let [all, mask, same, other] = [0, 0, 0, 0];
    const runs = 200;
    for (let seed = 0; seed < runs; seed++) {
      const { ids, places, tokens } = masked(share, seed);
      all += places.length;
      places.forEach((at, i) => {
        if (ids.data[at] === tokenizer.maskId) mask++;
        else if (ids.data[at] === tokens[i]) same++;
        else other++;
      });
    }
    const words = encodings.reduce((sum, { specialTokensMask }) => sum + specialTokensMask.filter((special) => !special).length, 0);
    // Four standard deviations of a binomial; a random token is the mask, or the old one, in 1 of `vocabulary` cases each.
    const near = (count: number, p: number, of: number) => Math.abs(count - p * of) < 4 * Math.sqrt(p * (1 - p) * of);
    const accident = 0.1 / config.vocabulary;
    expect(near(all, share, words * runs)).toBe(true);
    expect(near(mask, 0.8 + accident, all)).toBe(true);
    expect(near(same, 0.1 + accident, all)).toBe(true);
    expect(near(other, 0.1 - 2 * accident, all)).toBe(true);
  });

  it('weighs guesses alike, and an empty choice nothing', () => {
    const { guesses, places } = masked(0.15, 3);
    expect(places.length).toBeGreaterThan(10);
    expect([...guesses.maskedWeights.data].reduce<number>((sum, x) => sum + Number(x), 0)).toBeCloseTo(1, 5);
    const none = masked(0, 3);
    expect([...none.guesses.maskedWeights.data]).toEqual([0]);
    expect(none.places).toEqual([0]);
  });
});
