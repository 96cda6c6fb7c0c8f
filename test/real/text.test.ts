import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createTokenizer, type Encoding, type Tokenizer } from '../../src/text/tokenizer.ts';
import { encodeNasty, GOLDEN_TOKENIZERS, golden, goldenTokenizer, hashOf, type NastyCase } from '../golden/text/cases.ts';

type Json = Record<string, unknown>;

interface RealPart {
  kind: 'single' | 'pair' | 'words' | 'windows';
  task: string;
  split: string;
  fields: string[];
  options: { maxLengths?: number[]; truncation?: 'only_second'; swap?: boolean; stride?: number };
  firstIds: number[][][];
  hashes: number[];
}

const shared = new URL('../../../shared/', import.meta.url);
const present = existsSync(new URL('data', shared)) && existsSync(new URL('models/minilm', shared));
const read = (url: URL) => readFileSync(url, 'utf8');
const minilm = (name: string) => JSON.parse(read(new URL(`models/minilm/${name}.json`, shared)));

describe.skipIf(!present)(
  'real lines, as Python’s fast tokenizers encode them (skipped: no ../shared/data and ../shared/models/minilm)',
  () => {
    const loadMinilm = () => createTokenizer(minilm('tokenizer'), minilm('tokenizer_config'));

    it.each(['minilm', ...GOLDEN_TOKENIZERS] as const)('%s', (name) => {
      const tokenizer = name === 'minilm' ? loadMinilm() : goldenTokenizer(name);
      const parts: RealPart[] = golden(`${name}.golden`).real;
      const counts = { single: 0, pair: 0, words: 0, windows: 0 };
      for (const part of parts) {
        const rows = read(new URL(`data/${part.task}/${part.split}.jsonl`, shared)).split('\n');
        part.hashes.forEach((hash, line) => {
          const encodings = run(tokenizer, part, JSON.parse(rows[line] as string), line);
          const ids = part.firstIds[line];
          if (ids) expect(encodings.map(({ inputIds }) => [...inputIds])).toEqual(ids);
          expect(hashOf(encodings), `${part.task}/${part.split}.jsonl:${line + 1}, ${part.kind}`).toBe(hash);
          counts[part.kind]++;
        });
      }
      expect(counts).toEqual({ single: 2201, pair: 1037, words: 1000, windows: 120 });
    });

    it('minilm on strings that tokenizers get wrong', () => {
      const tokenizer = loadMinilm();
      const cases: NastyCase[] = golden('minilm.golden').nasty.filter(({ refused }: NastyCase) => !refused);
      expect(cases.length).toBeGreaterThan(500);
      for (const item of cases)
        expect(hashOf([encodeNasty(tokenizer, golden('nasty').strings, item)]), `${item.kind} ${item.strings}`).toBe(item.hash);
    });
  },
);

function run(tokenizer: Tokenizer, { kind, fields, options }: RealPart, row: Json, line: number): Encoding[] {
  const { maxLengths, truncation, swap, stride = 0 } = options;
  const maxLength = maxLengths?.[line % maxLengths.length];
  const limits = { ...(maxLength ? { maxLength } : {}), ...(truncation ? { truncation } : {}) };
  const values = fields.map((field) => row[field]);
  if (kind === 'words') return [tokenizer.encodeWords(values[0] as string[], limits)];
  let [first, second] = values as [string, string | undefined];
  if (swap && second !== undefined && characters(second) < characters(first)) [first, second] = [second, first];
  if (kind === 'windows') return tokenizer.encodeWindows(first, second as string, { maxLength: maxLength as number, stride });
  return [tokenizer.encode(first, second, limits)];
}

function characters(text: string): number {
  return Array.from(text).length;
}
