import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createTokenizer, type Encoding, type Tokenizer } from './tokenizer.ts';

type Json = Record<string, unknown>;

interface NastyCase {
  kind: 'single' | 'pair' | 'words';
  strings: number[];
  maxLength?: number;
  truncation?: 'longest_first' | 'only_first' | 'only_second';
  refused?: boolean;
  ids?: number[];
  words?: number[];
  offsets?: number[];
  hash: number;
}

const golden = (name: string) => JSON.parse(readFileSync(new URL(`../../test/golden/text/${name}.json`, import.meta.url), 'utf8'));
const nasty: string[] = golden('nasty').strings;

describe('strings that tokenizers get wrong, as Python’s fast tokenizers have them', () => {
  it.each([
    ['wordpiece', 'wordpiece', {}],
    ['bbpe', 'bbpe', {}],
    ['bbpe-prefixed', 'bbpe', { add_prefix_space: true }],
    ['unigram', 'unigram', {}],
    ['albert', 'unigram', {}],
  ])('%s', (name, base, config) => {
    const { nasty: cases, overrides } = golden(`${name}.golden`) as { nasty: NastyCase[]; overrides: Json };
    const tokenizer = createTokenizer(withCharsmap({ ...golden(`${base}.tokenizer`), ...overrides }, golden(`${base}.tokenizer`)), config);
    expect(cases).toHaveLength(550);
    expect(cases.filter(({ refused }) => refused).length).toBeGreaterThan(0);
    for (const item of cases) {
      const about = `${item.kind} ${JSON.stringify(item.strings.map((i) => nasty[i]))}`;
      if (item.refused) {
        expect(() => run(tokenizer, item), about).toThrow(expect.objectContaining({ code: 'text.too-long' }));
        continue;
      }
      const encoding = run(tokenizer, item);
      expect([...encoding.inputIds], about).toEqual(item.ids);
      if (item.offsets) expect([...encoding.offsets], about).toEqual(item.offsets);
      if (item.words) expect([...encoding.wordIds], about).toEqual(item.words);
      expect(hashOf(encoding), about).toBe(item.hash);
    }
  });

  it('every other stage: normalizers, pre-tokenizers, behaviours, byte fallback', () => {
    const { variants } = golden('variants.golden') as {
      variants: { base: string; overrides: Json; model: Json; byteTokens: boolean; hashes: number[] }[];
    };
    expect(variants).toHaveLength(11);
    for (const { base, overrides, model, byteTokens, hashes } of variants) {
      const file = golden(`${base}.tokenizer`);
      const bytes = Array.from({ length: 256 }, (_, byte) => [`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`, -20]);
      const vocab = byteTokens ? [...file.model.vocab, ...bytes] : file.model.vocab;
      const tokenizer = createTokenizer({ ...file, ...overrides, model: { ...file.model, ...model, vocab } });
      expect(hashes).toHaveLength(nasty.length);
      nasty.forEach((text, i) => {
        expect(hashOf(tokenizer.encode(text)), `${JSON.stringify(overrides)} ${JSON.stringify(text)}`).toBe(hashes[i]);
      });
    }
  });
});

function run(tokenizer: Tokenizer, { kind, strings, maxLength, truncation }: NastyCase): Encoding {
  const [first, second] = strings.map((i) => nasty[i] as string) as [string, string];
  const options = { ...(maxLength ? { maxLength } : {}), ...(truncation ? { truncation } : {}) };
  if (kind === 'words')
    return tokenizer.encodeWords(
      strings.map((i) => nasty[i] as string),
      options,
    );
  return kind === 'pair' ? tokenizer.encode(first, second, options) : tokenizer.encode(first, undefined, options);
}

function withCharsmap(tokenizer: Json, base: Json): Json {
  const find = (stages: { type: string }[]) => stages.find(({ type }) => type === 'Precompiled');
  const normalizers = (json: Json) => (json.normalizer as { normalizers?: { type: string }[] } | null)?.normalizers ?? [];
  if (!find(normalizers(tokenizer))) return tokenizer;
  const stages = normalizers(tokenizer).map((stage) => (stage.type === 'Precompiled' ? find(normalizers(base)) : stage));
  return { ...tokenizer, normalizer: { type: 'Sequence', normalizers: stages } };
}

/** FNV-1a 32 over little-endian int32, as tools/golden/text.py writes it. */
function hashOf(encoding: Encoding): number {
  const { inputIds, tokenTypeIds, specialTokensMask, sequenceIds, wordIds, offsets } = encoding;
  let state = 0x811c9dc5;
  for (const values of [[inputIds.length], inputIds, tokenTypeIds, specialTokensMask, sequenceIds, wordIds, offsets]) {
    for (const value of values) for (let k = 0; k < 32; k += 8) state = Math.imul(state ^ ((value >>> k) & 0xff), 0x01000193);
  }
  return state >>> 0;
}
