import { readFileSync } from 'node:fs';
import { createTokenizer, type Encoding, type Tokenizer } from '../../../src/text/tokenizer.ts';

type Json = Record<string, unknown>;

export function golden(name: string) {
  return JSON.parse(readFileSync(new URL(`${name}.json`, import.meta.url), 'utf8'));
}

/** The tokenizers that can be made of committed files alone. */
export const GOLDEN_TOKENIZERS = ['wordpiece', 'bbpe', 'bbpe-prefixed', 'unigram', 'albert'] as const;

export function goldenTokenizer(name: (typeof GOLDEN_TOKENIZERS)[number]): Tokenizer {
  if (name === 'albert') return createTokenizer(withCharsmap(golden('unigram.tokenizer'), golden('albert.golden').overrides));
  if (name === 'bbpe-prefixed') return createTokenizer(golden('bbpe.tokenizer'), { add_prefix_space: true });
  return createTokenizer(golden(`${name}.tokenizer`));
}

interface Stages {
  readonly normalizer: { readonly normalizers: Json[] };
}

function withCharsmap(base: Json & Stages, overrides: Json & Stages): Json {
  const isPrecompiled = (stage: Json) => stage.type === 'Precompiled';
  const charsmap = base.normalizer.normalizers.find(isPrecompiled);
  const normalizers = overrides.normalizer.normalizers.map((stage) => (isPrecompiled(stage) ? charsmap : stage));
  return { ...base, ...overrides, normalizer: { type: 'Sequence', normalizers } };
}

/** FNV-1a 32 over little-endian int32, as tools/golden/text.py writes it. */
export function hashOf(encodings: readonly Encoding[]): number {
  let state = 0x811c9dc5;
  for (const { inputIds, tokenTypeIds, specialTokensMask, sequenceIds, wordIds, offsets } of encodings) {
    for (const values of [[inputIds.length], inputIds, tokenTypeIds, specialTokensMask, sequenceIds, wordIds, offsets]) {
      for (const value of values) for (let k = 0; k < 32; k += 8) state = Math.imul(state ^ ((value >>> k) & 0xff), 0x01000193);
    }
  }
  return state >>> 0;
}

/** An encoding of strings of nasty.json, as the golden files list them. */
export interface NastyCase {
  kind: 'single' | 'pair' | 'words';
  strings: number[];
  maxLength?: number;
  truncation?: 'longest_first' | 'only_first' | 'only_second';
  refused?: boolean;
  ids: number[];
  words?: number[];
  offsets?: number[];
  hash: number;
}

export function encodeNasty(tokenizer: Tokenizer, nasty: readonly string[], { kind, strings, maxLength, truncation }: NastyCase): Encoding {
  const texts = strings.map((i) => nasty[i] as string);
  const options = { ...(maxLength ? { maxLength } : {}), ...(truncation ? { truncation } : {}) };
  return kind === 'words' ? tokenizer.encodeWords(texts, options) : tokenizer.encode(texts[0] as string, texts[1], options);
}
