import { type Files, fail, joinPath, nearest, readText } from '../base/index.ts';
import { type AddedToken, readAddedToken } from './added-tokens.ts';
import {
  createSequencer,
  cutSequence,
  type Encoding,
  emptySequence,
  layOut,
  type Pipeline,
  type Sequence,
  specialCount,
} from './encoding.ts';
import { asObject, flag, type Json, listOf, optionalText, part } from './json.ts';
import { createModel } from './models.ts';
import { createNormalizer } from './normalizers.ts';
import { createPostProcessor } from './post-processor.ts';
import { createPreTokenization } from './pre-tokenizers.ts';
import { type Truncation, truncatedLengths, windows } from './truncate.ts';
import { wordPieceTokenizerJson } from './wordpiece-trainer.ts';

export type { Encoding } from './encoding.ts';
export type { Truncation } from './truncate.ts';

export interface EncodeOptions {
  /** Tokens at most, special tokens included; no limit by default. */
  readonly maxLength?: number;
  /** `longest_first` by default. With `none` an over-long text is left whole. */
  readonly truncation?: Truncation;
}

export interface WindowOptions {
  readonly maxLength: number;
  /** Context tokens that a window shares with the one before; by default a third of `maxLength`, but no more than half a window. */
  readonly stride?: number;
}

/** Text → token ids, equal to the Rust tokenizers behind `transformers` (sections "truncation" and "padding" of the file are ignored). */
export interface Tokenizer {
  /** One text or a pair. Throws `usage.value` when `maxLength` leaves no room, `text.too-long` when the chosen sequence is too short to cut. */
  encode(text: string, pair?: string, options?: EncodeOptions): Encoding;
  /** A text already split into words: `wordIds` number the given words, offsets lie within each word. */
  encodeWords(words: readonly string[], options?: EncodeOptions): Encoding;
  /** A question with as many windows over its context as it takes; the question is never cut. */
  encodeWindows(question: string, context: string, options: WindowOptions): Encoding[];
  /** Token of an id, `undefined` when there is none. */
  tokenOf(id: number): string | undefined;
  /** Id of a token as the vocabulary writes it. */
  idOf(token: string): number | undefined;
  /** Ids, one past the largest. */
  readonly vocabularySize: number;
  /** From tokenizer_config.json; Infinity when it has none. */
  readonly modelMaxLength: number;
  /** Ids of the special tokens; −1 when the tokenizer has no such token. */
  readonly padId: number;
  readonly clsId: number;
  readonly sepId: number;
  readonly maskId: number;
  readonly unkId: number;
  readonly padToken: string | undefined;
  /** Special tokens a single text and a pair get. */
  readonly specialTokens: { readonly single: number; readonly pair: number };
}

/** The files that {@link loadTokenizer} reads, as far as a folder has them. */
export const TOKENIZER_FILES: readonly string[] = ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'vocab.txt'];

export async function copyTokenizer(files: Files, from: string, to: string): Promise<void> {
  for (const name of TOKENIZER_FILES)
    if ((await files.kind(joinPath(from, name))) === 'file') await files.write(joinPath(to, name), await files.read(joinPath(from, name)));
}

/**
 * The tokenizer of a Hugging Face folder: tokenizer.json with tokenizer_config.json and special_tokens_map.json beside it,
 * or vocab.txt of a BERT. Throws `text.tokenizer`, `file.missing`, `file.syntax`.
 */
export async function loadTokenizer(files: Files, folder: string): Promise<Tokenizer> {
  const readJson = async (name: string): Promise<Json | null> => {
    const path = joinPath(folder, name);
    if ((await files.kind(path)) !== 'file') return null;
    const content = await readText(files, path);
    try {
      return asObject(JSON.parse(content), name);
    } catch (cause) {
      return fail({ code: 'file.syntax', subject: path, found: 'text that is not a JSON object', cause });
    }
  };
  const config = { ...(await readJson('special_tokens_map.json')), ...(await readJson('tokenizer_config.json')) };
  const tokenizer = await readJson('tokenizer.json');
  if (tokenizer !== null) return createTokenizer(tokenizer, config);
  const vocabulary = joinPath(folder, 'vocab.txt');
  if ((await files.kind(vocabulary)) === 'file') {
    const tokens = (await readText(files, vocabulary)).replace(/\r?\n$/, '').split(/\r?\n/);
    return createTokenizer(wordPieceTokenizerJson(tokens, { lowercase: flag(config, 'do_lower_case', true) }).tokenizer, config);
  }
  return fail({
    code: 'text.tokenizer',
    subject: folder,
    found: 'no tokenizer.json and no vocab.txt',
    expected: 'a tokenizer in the format of the tokenizers library',
    next: 'For folders with vocab.json and merges.txt or a sentencepiece model: in Python, AutoTokenizer.from_pretrained(folder).save_pretrained(folder) writes tokenizer.json.',
  });
}

/** @param tokenizerJson Parsed tokenizer.json. @param configJson Parsed tokenizer_config.json; its explicit settings win, as in `transformers`. */
export function createTokenizer(tokenizerJson: Json, configJson: Json = {}): Tokenizer {
  const pipeline = createPipeline(tokenizerJson, configJson);
  const { postProcessor, model, preTokenization } = pipeline;
  const append = createSequencer(pipeline);
  const appendWord = preTokenization.byteLevel
    ? createSequencer(createPipeline(tokenizerJson, { ...configJson, add_prefix_space: true }))
    : append;
  const wordPostProcessor = { ...postProcessor, prefixed: true };
  const ids = new Map([...model.vocabulary, ...pipeline.addedTokens.map((token) => [token.content, token.id] as const)]);
  const tokens = new Map(Array.from(ids, ([token, id]) => [id, token]));
  const special = (name: string) => specialToken(configJson, name);
  const idOfSpecial = (name: string, ...usual: string[]) =>
    [special(name), ...usual].map((token) => (token === undefined ? undefined : ids.get(token))).find((id) => id !== undefined) ?? -1;
  const counts = { single: specialCount(postProcessor.single), pair: specialCount(postProcessor.pair) };

  const sequenceOf = (text: string): Sequence => {
    const sequence = emptySequence();
    append(text, sequence, null);
    return sequence;
  };
  const side = configJson.truncation_side === 'left' ? 'left' : 'right';
  const kept = (sequence: Sequence, length: number, processor = postProcessor) => {
    const from = side === 'left' ? sequence.ids.length - length : 0;
    return cutSequence(sequence, from, from + length, processor);
  };
  const assemble = (first: Sequence, second: Sequence | null, options: EncodeOptions, processor = postProcessor): Encoding => {
    const [a, b] = lengthsWithin(first, second, options, counts);
    const sequences = second === null ? [kept(first, a, processor)] : [kept(first, a, processor), kept(second, b, processor)];
    const truncated = first.ids.length + (second?.ids.length ?? 0) - a - b;
    return layOut(second === null ? postProcessor.single : postProcessor.pair, sequences, truncated);
  };

  return {
    encode: (text, pair, options = {}) => assemble(sequenceOf(text), pair === undefined ? null : sequenceOf(pair), options),
    encodeWords(words, options = {}) {
      const sequence = emptySequence();
      words.forEach((word, i) => {
        appendWord(word, sequence, i);
      });
      return assemble(sequence, null, options, wordPostProcessor);
    },
    encodeWindows(question, context, { maxLength, stride }) {
      const first = sequenceOf(question);
      const second = sequenceOf(context);
      const total = first.ids.length + second.ids.length;
      const [, size] = lengthsWithin(first, second, { maxLength, truncation: 'only_second' }, counts);
      return windows(second.ids.length, size, stride ?? Math.min(Math.floor(maxLength / 3), Math.floor(size / 2)), side).map(
        ([from, to]) => {
          const sequences = [kept(first, first.ids.length), cutSequence(second, from, to, postProcessor)];
          return layOut(postProcessor.pair, sequences, total - first.ids.length - (to - from));
        },
      );
    },
    tokenOf: (id) => tokens.get(id),
    idOf: (token) => ids.get(token),
    vocabularySize: [...tokens.keys()].reduce((largest, id) => Math.max(largest, id + 1), 0),
    modelMaxLength:
      typeof configJson.model_max_length === 'number' && configJson.model_max_length < 1e9
        ? configJson.model_max_length
        : Number.POSITIVE_INFINITY,
    padId: idOfSpecial('pad_token', '[PAD]', '<pad>'),
    clsId: idOfSpecial('cls_token', '[CLS]', '<s>'),
    sepId: idOfSpecial('sep_token', '[SEP]', '</s>'),
    maskId: idOfSpecial('mask_token', '[MASK]', '<mask>'),
    unkId: idOfSpecial('unk_token', ...(model.unknownToken === null ? [] : [model.unknownToken]), '[UNK]', '<unk>'),
    padToken: special('pad_token') ?? ['[PAD]', '<pad>'].find((token) => ids.has(token)),
    specialTokens: counts,
  };
}

function createPipeline(tokenizerJson: Json, config: Json): Pipeline {
  const normalizer = part(tokenizerJson, 'normalizer');
  const preTokenizer = part(tokenizerJson, 'pre_tokenizer');
  const preTokenization = createPreTokenization(preTokenizer && withPrefixSpace(preTokenizer, config));
  const postProcessor = part(tokenizerJson, 'post_processor');
  const model = part(tokenizerJson, 'model');
  if (model === null)
    return fail({ code: 'text.tokenizer', subject: 'tokenizer.json', found: 'no model', expected: 'WordPiece, BPE or Unigram' });
  return {
    addedTokens: addedTokens(tokenizerJson, config),
    normalizer: createNormalizer(normalizer && withBertSettings(normalizer, config)),
    preTokenization,
    model: createModel(model, preTokenization.byteLevel),
    postProcessor: createPostProcessor(postProcessor && withPrefixSpace(postProcessor, config)),
  };
}

function addedTokens(tokenizerJson: Json, config: Json): AddedToken[] {
  const inFile = 'added_tokens' in tokenizerJson ? listOf(tokenizerJson, 'added_tokens').map((token) => readAddedToken(token)) : [];
  const byId = new Map(inFile.map((token) => [token.id, token]));
  for (const [id, token] of Object.entries(part(config, 'added_tokens_decoder') ?? {})) {
    if (!byId.has(Number(id))) byId.set(Number(id), readAddedToken(asObject(token, 'added_tokens_decoder'), Number(id)));
  }
  return [...byId.values()];
}

function withBertSettings(normalizer: Json, config: Json): Json {
  if (normalizer.type !== 'BertNormalizer') return normalizer;
  const changes: Record<string, unknown> = {};
  if (typeof config.do_lower_case === 'boolean') changes.lowercase = config.do_lower_case;
  if ('strip_accents' in config) changes.strip_accents = config.strip_accents;
  if (typeof config.tokenize_chinese_chars === 'boolean') changes.handle_chinese_chars = config.tokenize_chinese_chars;
  return { ...normalizer, ...changes };
}

function withPrefixSpace(stage: Json, config: Json): Json {
  const type = stage.type;
  if (typeof config.add_prefix_space !== 'boolean' || (type !== 'ByteLevel' && type !== 'RobertaProcessing')) return stage;
  return { ...stage, add_prefix_space: config.add_prefix_space };
}

function specialToken(config: Json, name: string): string | undefined {
  const value = config[name];
  if (typeof value === 'string') return value;
  return typeof value === 'object' && value !== null ? (optionalText(value as Json, 'content') ?? undefined) : undefined;
}

const STRATEGIES: readonly Truncation[] = ['longest_first', 'only_first', 'only_second', 'none'];

function lengthsWithin(
  first: Sequence,
  second: Sequence | null,
  { maxLength = Number.POSITIVE_INFINITY, truncation = 'longest_first' }: EncodeOptions,
  counts: Tokenizer['specialTokens'],
): [number, number] {
  if (!STRATEGIES.includes(truncation)) {
    const meant = nearest(String(truncation), STRATEGIES);
    fail({
      code: 'usage.value',
      subject: 'truncation',
      found: `"${truncation}"`,
      expected: STRATEGIES.join(', '),
      ...(meant ? { next: `Did you mean "${meant}"?` } : {}),
    });
  }
  const specials = second === null ? counts.single : counts.pair;
  if (!(maxLength > specials) || (maxLength !== Number.POSITIVE_INFINITY && !Number.isInteger(maxLength))) {
    fail({
      code: 'usage.value',
      subject: 'maxLength',
      found: String(maxLength),
      expected: `an integer above ${specials}, the special tokens of one input`,
    });
  }
  return truncatedLengths(first.ids.length, second?.ids.length ?? null, maxLength - specials, truncation);
}
