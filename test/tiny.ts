import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createRandom, type Random } from '../src/base/random.ts';
import type { TaskKind } from '../src/tasks/index.ts';
import { createTokenizer, type Tokenizer, trainWordPiece, wordPieceTokenizerJson } from '../src/text/index.ts';

/**
 * Tasks in an invented language, easy enough for the random encoder of test/golden/encoders/bert, whose 120 ids a
 * WordPiece vocabulary made of its sentences fills. Everything is drawn from fixed seeds.
 */
export const TINY_ENCODER = 'test/golden/encoders/bert';

const SYLLABLES = ['ba', 'ko', 'mi', 'tu', 'le', 'sar', 'nof', 'pi'];
/** Words of two syllables; those of the first three are the ones that answers depend on. */
const WORDS = SYLLABLES.flatMap((first) => SYLLABLES.map((second) => first + second));
const TOPICS = [WORDS.slice(0, 8), WORDS.slice(8, 16), WORDS.slice(16, 24)] as const;
const FILLER = WORDS.slice(24);
const LABELS = ['sea', 'land', 'sky'] as const;

export type TinyTask = TaskKind | 'pair';
export const TINY_TASKS: readonly TinyTask[] = ['classification', 'pair', 'regression', 'multilabel', 'tagging', 'choice', 'span'];

export interface TinyData {
  readonly card: Readonly<Record<string, unknown>>;
  readonly rows: Readonly<Record<'train' | 'validation' | 'test', readonly Readonly<Record<string, unknown>>[]>>;
}

export function tinyTask(
  name: TinyTask,
  sizes: { train: number; validation: number; test: number } = { train: 192, validation: 48, test: 48 },
): TinyData {
  const random = createRandom(11, TINY_TASKS.indexOf(name));
  const { draw, ...card } = MAKERS[name];
  const split = (count: number) => Array.from({ length: count }, () => draw(random));
  return {
    card: { name: `tiny-${name}`, ...card },
    rows: { train: split(sizes.train), validation: split(sizes.validation), test: split(sizes.test) },
  };
}

interface Maker {
  readonly kind: TaskKind;
  readonly labels?: readonly string[];
  readonly draw: (random: Random) => Record<string, unknown>;
}

const MAKERS: Readonly<Record<TinyTask, Maker>> = {
  classification: {
    kind: 'classification',
    labels: LABELS,
    draw(random) {
      const topic = random.below(3);
      return { text: sentence(random, [topic, topic]), label: LABELS[topic] };
    },
  },
  pair: {
    kind: 'classification',
    labels: ['no', 'yes'],
    draw(random) {
      const yes = random.below(2);
      return { text: sentence(random, []), textPair: sentence(random, [yes, yes]), label: ['no', 'yes'][yes] };
    },
  },
  regression: {
    kind: 'regression',
    draw(random) {
      const count = random.below(5);
      return { text: sentence(random, new Array<number>(count).fill(0)), label: count / 4 };
    },
  },
  multilabel: {
    kind: 'multilabel',
    labels: LABELS,
    draw(random) {
      const topics = [0, 1, 2].filter(() => random.below(2) === 1);
      return { text: sentence(random, [...topics, ...topics]), label: topics.map((topic) => LABELS[topic]) };
    },
  },
  tagging: {
    kind: 'tagging',
    labels: ['O', 'B-sea', 'B-land'],
    draw(random) {
      const tokens = sentence(random, [random.below(2), random.below(2)]).split(' ');
      return { tokens, tags: tokens.map((word) => (TOPICS[0].includes(word) ? 'B-sea' : TOPICS[1].includes(word) ? 'B-land' : 'O')) };
    },
  },
  choice: {
    kind: 'choice',
    draw(random) {
      const label = random.below(3);
      return { text: sentence(random, []), choices: [0, 1, 2].map((i) => sentence(random, i === label ? [0, 0] : [1, 1])), label };
    },
  },
  span: {
    kind: 'span',
    draw(random) {
      const context = sentence(random, [0], 12);
      const text = context.split(' ').find((word) => TOPICS[0].includes(word)) as string;
      return { question: pick(random, FILLER), context, answers: [{ text, start: context.indexOf(text) }] };
    },
  },
};

/** Filler words with one word of each given topic, in random order. */
function sentence(random: Random, topics: readonly number[], filler = 2 + random.below(5)): string {
  const words = Array.from({ length: filler }, () => pick(random, FILLER));
  for (const topic of topics) words.push(pick(random, TOPICS[topic] as readonly string[]));
  return random.shuffle(words).join(' ');
}

function pick<T>(random: Random, items: readonly T[]): T {
  return items[random.below(items.length)] as T;
}

export function tinyTokenizer(): Tokenizer {
  const { tokenizer, config } = tokenizerJson();
  return createTokenizer(tokenizer, config);
}

function tokenizerJson() {
  const random = createRandom(5);
  const lines = Array.from({ length: 400 }, () => sentence(random, [0, 1, 2]));
  return wordPieceTokenizerJson(trainWordPiece(lines, { vocabularySize: 90, lowercase: true }), { lowercase: true, modelMaxLength: 40 });
}

/** Writes the encoder with its tokenizer to `folder`/encoder. Returns that path. */
export async function writeTinyEncoder(folder: string, encoder = TINY_ENCODER): Promise<string> {
  const path = join(folder, 'encoder');
  const { tokenizer, config } = tokenizerJson();
  await mkdir(path, { recursive: true });
  for (const name of ['config.json', 'model.safetensors']) await writeFile(join(path, name), await readFile(join(encoder, name)));
  await writeFile(join(path, 'tokenizer.json'), JSON.stringify(tokenizer));
  await writeFile(join(path, 'tokenizer_config.json'), JSON.stringify(config));
  return path;
}

/** Writes a task folder, `folder`/tiny-NAME. Returns its path. */
export async function writeTinyTask(
  folder: string,
  name: TinyTask,
  sizes?: { train: number; validation: number; test: number },
): Promise<string> {
  const { card, rows } = tinyTask(name, sizes);
  const path = join(folder, String(card.name));
  await mkdir(path, { recursive: true });
  await writeFile(join(path, 'card.json'), JSON.stringify(card));
  for (const [split, all] of Object.entries(rows))
    await writeFile(join(path, `${split}.jsonl`), all.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return path;
}
