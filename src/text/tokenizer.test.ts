import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memoryFiles } from '../base/files.ts';
import { createTokenizer, loadTokenizer } from './tokenizer.ts';
import { truncatedLengths, windows } from './truncate.ts';
import { trainWordPiece, wordPieceTokenizerJson } from './wordpiece-trainer.ts';

const VOCABULARY = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'the', 'cat', 'sat', '##s', 'on', 'mat', '!', 'caf', '##e', '##é'];
const file = (lowercase = true) => wordPieceTokenizerJson(VOCABULARY, { lowercase }).tokenizer;
const tokenizer = createTokenizer(file());
const readGolden = (name: string) => JSON.parse(readFileSync(new URL(`../../test/golden/text/${name}.json`, import.meta.url), 'utf8'));

describe('createTokenizer', () => {
  it('encodes a pair with type ids, word numbers and offsets', () => {
    const encoding = tokenizer.encode('The cats!', 'sat');
    expect([...encoding.inputIds].map(tokenizer.tokenOf)).toEqual(['[CLS]', 'the', 'cat', '##s', '!', '[SEP]', 'sat', '[SEP]']);
    expect([...encoding.tokenTypeIds]).toEqual([0, 0, 0, 0, 0, 0, 1, 1]);
    expect([...encoding.specialTokensMask]).toEqual([1, 0, 0, 0, 0, 1, 0, 1]);
    expect([...encoding.sequenceIds]).toEqual([-1, 0, 0, 0, 0, -1, 1, -1]);
    expect([...encoding.wordIds]).toEqual([-1, 0, 1, 1, 2, -1, 0, -1]);
    expect([...encoding.offsets]).toEqual([0, 0, 0, 3, 4, 7, 7, 8, 8, 9, 0, 0, 0, 3, 0, 0]);
    expect(encoding.truncated).toBe(0);
  });

  it('gives offsets in the text as written, in UTF-16 units', () => {
    const text = '😀 CAFÉ\u0000s';
    const { offsets } = tokenizer.encode(text);
    const pieces = Array.from({ length: offsets.length / 2 }, (_, i) => text.slice(offsets[2 * i], offsets[2 * i + 1]));
    expect(pieces).toEqual(['', '😀', 'CAF', 'É', 's', '']);
  });

  it('trims the space put before an emoji by the whole emoji, as Python trims characters', () => {
    const prefixed = createTokenizer(readGolden('bbpe.tokenizer'), { add_prefix_space: true });
    const pieces = prefixed.encode('<mask>😀').offsets.subarray(2, 6);
    expect([...pieces]).toEqual([0, 6, 8, 8]);
  });

  it('takes a lone surrogate for an unknown character', () => {
    expect(tokenizer.encode('the \ud800 cat').inputIds).toEqual(tokenizer.encode('the \ufffd cat').inputIds);
  });

  it('counts what it cuts and keeps the special tokens', () => {
    const encoding = tokenizer.encode('the cat sat on the mat', 'the mat', { maxLength: 7 });
    expect([...encoding.inputIds].map(tokenizer.tokenOf)).toEqual(['[CLS]', 'the', 'cat', '[SEP]', 'the', 'mat', '[SEP]']);
    expect(encoding.truncated).toBe(4);
  });

  it('cuts on the left when the configuration says so', () => {
    const left = createTokenizer(file(), { truncation_side: 'left' });
    expect([...left.encode('the cat sat on', undefined, { maxLength: 4 }).inputIds].map(left.tokenOf)).toEqual([
      '[CLS]',
      'sat',
      'on',
      '[SEP]',
    ]);
  });

  it('numbers given words, and places offsets within each', () => {
    const { wordIds, offsets, inputIds } = tokenizer.encodeWords(['the', '', 'cats', 'mat!']);
    expect([...inputIds].map(tokenizer.tokenOf)).toEqual(['[CLS]', 'the', 'cat', '##s', 'mat', '!', '[SEP]']);
    expect([...wordIds]).toEqual([-1, 0, 2, 2, 3, 3, -1]);
    expect([...offsets].slice(2, 12)).toEqual([0, 3, 0, 3, 3, 4, 0, 3, 3, 4]);
  });

  it('slides windows over a context and never cuts the question', () => {
    const made = tokenizer.encodeWindows('the cat', 'the cat sat on the mat', { maxLength: 9, stride: 2 });
    const contexts = made.map(({ inputIds, sequenceIds }) =>
      [...inputIds]
        .filter((_, i) => sequenceIds[i] === 1)
        .map(tokenizer.tokenOf)
        .join(' '),
    );
    expect(contexts).toEqual(['the cat sat on', 'sat on the mat']);
    expect(made.map(({ truncated }) => truncated)).toEqual([2, 2]);
  });

  it('lets explicit settings of tokenizer_config.json win', () => {
    const cased = createTokenizer(file(), { do_lower_case: false, model_max_length: 77 });
    expect([...cased.encode('The').inputIds]).toEqual([2, 1, 3]);
    expect(cased.modelMaxLength).toBe(77);
    expect(tokenizer.modelMaxLength).toBe(Number.POSITIVE_INFINITY);
    const added = createTokenizer(file(), { added_tokens_decoder: { 15: { content: '<new>', special: true } } });
    expect([...added.encode('cat<new>').inputIds]).toEqual([2, 6, 15, 3]);
    expect(added.vocabularySize).toBe(16);
  });

  it('knows its special tokens', () => {
    expect(tokenizer).toMatchObject({
      padId: 0,
      unkId: 1,
      clsId: 2,
      sepId: 3,
      maskId: 4,
      padToken: '[PAD]',
      vocabularySize: VOCABULARY.length,
    });
    expect(tokenizer.specialTokens).toEqual({ single: 2, pair: 3 });
    expect(createTokenizer(readGolden('bbpe.tokenizer'))).toMatchObject({
      padId: 1,
      unkId: 3,
      clsId: 0,
      sepId: 2,
      specialTokens: { single: 2, pair: 4 },
    });
  });

  it.each([
    ['normalizer', { normalizer: { type: 'Sequence', normalizers: [{ type: 'Odd' }] } }, 'type "Odd"'],
    ['pre-tokenizer', { pre_tokenizer: { type: 'UnicodeScripts' } }, 'type "UnicodeScripts"'],
    ['model', { model: { type: 'WordLevel', vocab: {} } }, 'type "WordLevel"'],
    ['post-processor', { post_processor: { type: 'Odd' } }, 'type "Odd"'],
    ['behaviour', { pre_tokenizer: { type: 'Punctuation', behavior: 'Odd' } }, 'found "Odd"'],
    ['missing model', { model: null }, 'no model'],
    ['unknown token', { model: { type: 'WordPiece', unk_token: 'x', continuing_subword_prefix: '##', vocab: {} } }, 'no "x"'],
    ['id', { model: { type: 'WordPiece', unk_token: 'x', continuing_subword_prefix: '##', vocab: { x: 'y' } } }, 'found "y"'],
    ['merge', { model: { type: 'BPE', vocab: { a: 0 }, merges: ['a b'] } }, 'merge 0: found "a b"'],
    ['charsmap', { normalizer: { type: 'Precompiled', precompiled_charsmap: 'AAAA' } }, 'do not hold a trie'],
    ['base64', { normalizer: { type: 'Precompiled', precompiled_charsmap: '*' } }, 'not base64'],
    ['pattern', { pre_tokenizer: { type: 'Split', pattern: { Regex: '(' }, behavior: 'Isolated' } }, 'cannot be translated'],
    ['order', { pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'ByteLevel' }, { type: 'Whitespace' }] } }, 'ByteLevel before'],
  ])('names an unusable %s', (_, change, message) => {
    const broken = () => createTokenizer({ ...file(), ...change });
    expect(broken).toThrow(message);
    expect(broken).toThrow(expect.objectContaining({ code: 'text.tokenizer' }));
  });

  it('refuses lengths and strategies that cannot be', () => {
    expect(() => tokenizer.encode('cat', undefined, { maxLength: 2 })).toThrow('maxLength: found 2; expected an integer above 2');
    expect(() => tokenizer.encode('cat', undefined, { truncation: 'only_frist' as 'only_first' })).toThrow('Did you mean "only_first"?');
    expect(() => tokenizer.encode('cat', undefined, { maxLength: 3, truncation: 'only_second' })).not.toThrow();
    expect(() => tokenizer.encode('cat sat', undefined, { maxLength: 3, truncation: 'only_second' })).toThrow('a pair');
    expect(() => tokenizer.encodeWindows('the', 'the cat sat on the mat', { maxLength: 6, stride: 2 })).toThrow(
      'stride: found 2; expected 0 to 1',
    );
    expect(() => tokenizer.encodeWindows('the cat sat on', 'the', { maxLength: 7 })).toThrow(
      expect.objectContaining({ code: 'text.too-long' }),
    );
  });
});

describe('truncation', () => {
  it('keeps what fits, never more, and leaves no room unused', () => {
    fc.assert(
      fc.property(fc.nat(60), fc.nat(60), fc.integer({ min: 1, max: 80 }), (first, second, room) => {
        const [a, b] = truncatedLengths(first, second, room, 'longest_first');
        expect(a).toBeLessThanOrEqual(first);
        expect(b).toBeLessThanOrEqual(second);
        expect(a + b).toBe(Math.min(first + second, room));
      }),
      { seed: 1 },
    );
  });

  it('gives windows that cover everything and overlap by the stride', () => {
    fc.assert(
      fc.property(
        fc.nat(200),
        fc.integer({ min: 1, max: 40 }),
        fc.nat(39),
        fc.constantFrom('left', 'right'),
        (length, size, wanted, side) => {
          const stride = Math.min(wanted, size - 1);
          const made = windows(length, size, stride, side).sort((a, b) => a[0] - b[0]);
          expect(made[0]?.[0]).toBe(0);
          expect(made.at(-1)?.[1]).toBe(length);
          made.slice(1).forEach(([start], i) => {
            expect((made[i] as [number, number])[1] - start).toBeGreaterThanOrEqual(stride);
          });
          for (const [start, end] of made) expect(end - start).toBeLessThanOrEqual(size);
        },
      ),
      { seed: 1 },
    );
  });
});

describe('loadTokenizer', () => {
  const config = JSON.stringify({ do_lower_case: false, pad_token: { content: '[MASK]' } });

  it('reads tokenizer.json with the settings beside it', async () => {
    const files = memoryFiles({ 'm/tokenizer.json': JSON.stringify(file()), 'm/tokenizer_config.json': config });
    const loaded = await loadTokenizer(files, 'm');
    expect(loaded.padId).toBe(4);
    expect([...loaded.encode('The cat').inputIds]).toEqual([2, 1, 6, 3]);
  });

  it('makes a BERT tokenizer from vocab.txt', async () => {
    const loaded = await loadTokenizer(memoryFiles({ 'm/vocab.txt': `${VOCABULARY.join('\n')}\n` }), 'm');
    expect(loaded.vocabularySize).toBe(VOCABULARY.length);
    expect(loaded.encode('The cats', 'sat')).toEqual(tokenizer.encode('The cats', 'sat'));
  });

  it('says what to do with other vocabularies', async () => {
    const files = memoryFiles({ 'm/vocab.json': '{}', 'm/merges.txt': '' });
    await expect(loadTokenizer(files, 'm')).rejects.toThrow('writes tokenizer.json');
    await expect(loadTokenizer(memoryFiles({ 'm/tokenizer.json': '[' }), 'm')).rejects.toMatchObject({ code: 'file.syntax' });
    await expect(loadTokenizer(memoryFiles({ 'm/vocab.txt': 'a\nb' }), 'm')).rejects.toThrow('no "[UNK]"');
  });
});

describe('trainWordPiece', () => {
  const lines = ['low low low lower lower', 'newest newest newest widest widest', 'Größe größer'];

  it('merges the most frequent pairs first, the same way every time', () => {
    const vocabulary = trainWordPiece(lines, { vocabularySize: 40, lowercase: true });
    expect(vocabulary.slice(0, 5)).toEqual(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']);
    const characters = vocabulary.filter((token) => token.replace('##', '').length === 1);
    expect(vocabulary.slice(5, 5 + characters.length)).toEqual([...characters].sort());
    const merged = vocabulary.slice(5 + characters.length);
    expect(merged.slice(0, 2)).toEqual(['##es', '##ow']);
    expect(merged).toEqual(expect.arrayContaining(['##est', 'low', 'newest']));
    expect(trainWordPiece(lines, { vocabularySize: 40, lowercase: true })).toEqual(vocabulary);
    expect(new Set(vocabulary).size).toBe(vocabulary.length);
  });

  it('covers its own text', () => {
    const vocabulary = trainWordPiece(lines, { vocabularySize: 60, lowercase: true });
    const trained = createTokenizer(wordPieceTokenizerJson(vocabulary, { lowercase: true }).tokenizer);
    for (const line of lines) expect([...trained.encode(line).inputIds]).not.toContain(trained.unkId);
    expect([...trained.encode('newest').inputIds].map(trained.tokenOf)).toEqual(['[CLS]', 'newest', '[SEP]']);
  });

  it('leaves rare characters out and refuses a size below its alphabet', () => {
    const few = trainWordPiece(lines, { vocabularySize: 40, lowercase: false, alphabetSize: 4 });
    expect(new Set(few.slice(5).join('').replaceAll('#', '')).size).toBe(4);
    expect(() => trainWordPiece(lines, { vocabularySize: 9, lowercase: false })).toThrow(expect.objectContaining({ code: 'usage.value' }));
  });
});
