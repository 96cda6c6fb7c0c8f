import { describe, expect, it } from 'vitest';
import { createTokenizer } from '../../../src/text/tokenizer.ts';
import { encodeNasty, GOLDEN_TOKENIZERS, golden, goldenTokenizer, hashOf, type NastyCase } from './cases.ts';

const nasty: string[] = golden('nasty').strings;

describe('strings that tokenizers get wrong, as Python’s fast tokenizers have them', () => {
  it.each(GOLDEN_TOKENIZERS)('%s', (name) => {
    const tokenizer = goldenTokenizer(name);
    const cases: NastyCase[] = golden(`${name}.golden`).nasty;
    expect(cases).toHaveLength(550);
    expect(cases.filter(({ refused }) => refused).length).toBeGreaterThan(10);
    for (const item of cases) {
      const about = `${item.kind} ${JSON.stringify(item.strings.map((i) => nasty[i]))}`;
      if (item.refused) {
        expect(() => encodeNasty(tokenizer, nasty, item), about).toThrow(expect.objectContaining({ code: 'text.too-long' }));
        continue;
      }
      const encoding = encodeNasty(tokenizer, nasty, item);
      expect(encoding.inputIds.join(), about).toBe(item.ids.join());
      if (item.offsets) expect(encoding.offsets.join(), about).toBe(item.offsets.join());
      if (item.words) expect(encoding.wordIds.join(), about).toBe(item.words.join());
      expect(hashOf([encoding]), about).toBe(item.hash);
    }
  });

  it('every other stage: normalizers, pre-tokenizers, behaviours, byte fallback', () => {
    const { variants } = golden('variants.golden');
    expect(variants).toHaveLength(11);
    for (const { base, overrides, model, byteTokens, hashes } of variants) {
      const file = golden(`${base}.tokenizer`);
      const bytes = Array.from({ length: 256 }, (_, byte) => [`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`, -20]);
      const vocab = byteTokens ? [...file.model.vocab, ...bytes] : file.model.vocab;
      const tokenizer = createTokenizer({ ...file, ...overrides, model: { ...file.model, ...model, vocab } });
      expect(hashes).toHaveLength(nasty.length);
      nasty.forEach((text, i) => {
        expect(hashOf([tokenizer.encode(text)]), `${JSON.stringify(overrides)} ${JSON.stringify(text)}`).toBe(hashes[i]);
      });
    }
  });
});
