import { fail } from '../base/index.ts';
import { createStretcher } from './added-tokens.ts';
import { createHeap } from './heap.ts';
import type { Json } from './json.ts';
import { createNormalizer } from './normalizers.ts';
import { createPreTokenization } from './pre-tokenizers.ts';

export interface WordPieceTraining {
  /** Tokens of the vocabulary at most, special tokens included. */
  readonly vocabularySize: number;
  /** Also strips accents, as BERT's uncased tokenizers do. */
  readonly lowercase: boolean;
  /** Characters in the vocabulary at most, the most frequent ones; 400 by default. */
  readonly alphabetSize?: number;
}

/** Pairs seen less often are never merged. */
const MERGED_FROM = 2;

/**
 * A WordPiece vocabulary by byte-pair merging of word pieces (the most frequent adjacent pair becomes a token until the
 * size is reached), in the order: special tokens, characters, merged tokens. The same lines give the same vocabulary.
 */
export function trainWordPiece(lines: Iterable<string>, options: WordPieceTraining): string[] {
  const { vocabularySize, alphabetSize = 400 } = options;
  const words = countWords(lines, options.lowercase);
  const vocabulary = [...SPECIAL_TOKENS, ...alphabetOf(words, alphabetSize)];
  if (vocabulary.length > vocabularySize) {
    fail({
      code: 'usage.value',
      subject: 'vocabulary size',
      found: `${vocabularySize}`,
      expected: `at least ${vocabulary.length}, the special tokens and the characters of the text`,
      next: 'Ask for a larger vocabulary or a smaller alphabet.',
    });
  }
  const ids = new Map(vocabulary.map((token, id) => [token, id]));
  const corpus = splitWords(words, ids);
  const pairs = countPairs(corpus);
  const queue = createHeap<Pair>((a, b) => a.count > b.count || (a.count === b.count && a.key < b.key));
  for (const [key, { count }] of pairs) queue.push({ key, count });

  while (vocabulary.length < vocabularySize) {
    const top = queue.pop();
    if (top === undefined || top.count < MERGED_FROM) break;
    const found = pairs.get(top.key);
    if (found === undefined || found.count === 0) continue;
    if (found.count !== top.count) {
      queue.push({ key: top.key, count: found.count });
      continue;
    }
    const left = Math.floor(top.key / KEY_BASE);
    const right = top.key % KEY_BASE;
    const token = (vocabulary[left] as string) + (vocabulary[right] as string).slice(PREFIX.length);
    const known = ids.get(token);
    const merged = known ?? vocabulary.push(token) - 1;
    ids.set(token, merged);
    pairs.delete(top.key);
    const grown = new Set<number>();
    for (const index of found.words) mergeInWord(corpus[index] as Word, index, left, right, merged, pairs, grown);
    for (const key of grown) {
      const pair = pairs.get(key);
      if (pair !== undefined && pair.count > 0) queue.push({ key, count: pair.count });
    }
  }
  return vocabulary;
}

const SPECIAL_TOKENS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'] as const;

/** tokenizer.json and tokenizer_config.json of a BERT with this vocabulary; a token's id is its place. */
export function wordPieceTokenizerJson(
  vocabulary: readonly string[],
  { lowercase, modelMaxLength }: { readonly lowercase: boolean; readonly modelMaxLength?: number },
): { readonly tokenizer: Json; readonly config: Json } {
  const vocab: Record<string, number> = Object.fromEntries(vocabulary.map((token, id) => [token, id]));
  for (const token of ['[UNK]', '[CLS]', '[SEP]']) {
    if (!(token in vocab))
      fail({
        code: 'text.tokenizer',
        subject: 'the WordPiece vocabulary',
        found: `no "${token}"`,
        expected: 'the special tokens of a BERT',
      });
  }
  const special = (token: string, typeId: number) => ({ SpecialToken: { id: token, type_id: typeId } });
  const sequence = (id: 'A' | 'B', typeId: number) => ({ Sequence: { id, type_id: typeId } });
  const single = [special('[CLS]', 0), sequence('A', 0), special('[SEP]', 0)];
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: SPECIAL_TOKENS.filter((token) => token in vocab).map((content) => ({ id: vocab[content], content, ...flags })),
    normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single,
      pair: [...single, sequence('B', 1), special('[SEP]', 1)],
      special_tokens: Object.fromEntries(['[CLS]', '[SEP]'].map((id) => [id, { id, ids: [vocab[id]], tokens: [id] }])),
    },
    decoder: { type: 'WordPiece', prefix: PREFIX, cleanup: true },
    model: { type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: PREFIX, max_input_chars_per_word: 100, vocab },
  };
  const config = {
    tokenizer_class: 'BertTokenizer',
    do_lower_case: lowercase,
    strip_accents: null,
    tokenize_chinese_chars: true,
    ...(modelMaxLength === undefined ? {} : { model_max_length: modelMaxLength }),
    unk_token: '[UNK]',
    sep_token: '[SEP]',
    pad_token: '[PAD]',
    cls_token: '[CLS]',
    mask_token: '[MASK]',
  };
  return { tokenizer, config };
}

const PREFIX = '##';
const KEY_BASE = 2 ** 24;

interface Word {
  pieces: number[];
  readonly count: number;
}

interface Pair {
  readonly key: number;
  readonly count: number;
}

type Pairs = Map<number, { count: number; readonly words: Set<number> }>;

function countWords(lines: Iterable<string>, lowercase: boolean): Map<string, number> {
  const normalizer = createNormalizer({ type: 'BertNormalizer', lowercase });
  const stretch = createStretcher([], normalizer);
  const { split } = createPreTokenization({ type: 'BertPreTokenizer' });
  const counts = new Map<string, number>();
  for (const line of lines) {
    for (const { piece } of stretch(line)) split(piece, ({ text }) => counts.set(text, (counts.get(text) ?? 0) + 1));
  }
  return counts;
}

/** Characters as first and as inner pieces, sorted; rare characters beyond `size` are left out. */
function alphabetOf(words: ReadonlyMap<string, number>, size: number): string[] {
  const counts = new Map<string, number>();
  for (const [word, count] of words) for (const character of word) counts.set(character, (counts.get(character) ?? 0) + count);
  const frequent = [...counts].sort((a, b) => b[1] - a[1] || compare(a[0], b[0])).slice(0, size);
  const kept = new Set(frequent.map(([character]) => character));
  const pieces = new Set<string>();
  for (const word of words.keys()) {
    let at = 0;
    for (const character of word)
      if (kept.has(character)) pieces.add(at++ === 0 ? character : PREFIX + character);
      else at++;
  }
  return [...pieces].sort(compare);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function splitWords(words: ReadonlyMap<string, number>, ids: ReadonlyMap<string, number>): Word[] {
  const result: Word[] = [];
  for (const [word, count] of words) {
    const pieces = Array.from(word, (character, i) => ids.get(i === 0 ? character : PREFIX + character));
    if (pieces.every((piece) => piece !== undefined)) result.push({ pieces, count });
  }
  return result;
}

function countPairs(corpus: readonly Word[]): Pairs {
  const pairs: Pairs = new Map();
  corpus.forEach(({ pieces, count }, index) => {
    for (let i = 0; i + 1 < pieces.length; i++) change(pairs, pieces[i] as number, pieces[i + 1] as number, count, index);
  });
  return pairs;
}

function change(pairs: Pairs, left: number, right: number, by: number, word: number): number {
  const key = left * KEY_BASE + right;
  let pair = pairs.get(key);
  if (pair === undefined) {
    pair = { count: 0, words: new Set() };
    pairs.set(key, pair);
  }
  pair.count += by;
  if (by > 0) pair.words.add(word);
  return key;
}

function mergeInWord(word: Word, index: number, left: number, right: number, merged: number, pairs: Pairs, grown: Set<number>): void {
  const { pieces, count } = word;
  const result: number[] = [];
  for (let i = 0; i < pieces.length; i++) {
    if (pieces[i] === left && pieces[i + 1] === right) {
      result.push(merged);
      i++;
    } else result.push(pieces[i] as number);
  }
  if (result.length === pieces.length) return;
  for (let i = 0; i + 1 < pieces.length; i++) {
    if (pieces[i] !== left || pieces[i + 1] !== right) change(pairs, pieces[i] as number, pieces[i + 1] as number, -count, index);
  }
  for (let i = 0; i + 1 < result.length; i++) {
    grown.add(change(pairs, result[i] as number, result[i + 1] as number, count, index));
  }
  word.pieces = result;
}
