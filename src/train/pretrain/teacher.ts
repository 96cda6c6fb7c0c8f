import { float32, type Tensor } from '../../base/index.ts';
import { drawEncoder, type Encoder } from '../../encoders/index.ts';
import { encoderFeeds } from '../../model/encoder-inputs.ts';
import { weightsOf } from '../../model/model.ts';
import { noDropout, parameters } from '../../nn/index.ts';
import type { Engine, Feeds } from '../../session/session.ts';
import type { Encoding, Tokenizer } from '../../text/index.ts';
import { type Sample, wordTokens } from './words.ts';

/** The vectors of one sample: row 0 (key '') the mean over all its tokens, then one row per word. */
interface WordVectors {
  readonly keys: readonly string[];
  /** [keys, width], scaled so that the numbers have about unit variance. */
  readonly vectors: Float32Array;
}

export interface Teacher {
  readonly width: number;
  /** What it says of samples, by their numbers; the same whatever was asked before. */
  words(rows: Int32Array): Promise<readonly WordVectors[]>;
  release(): Promise<void>;
}

const SCALE_SAMPLES = 32;

/** Kept vectors: bytes with one scale per row of 8-bit numbers. A quarter of float32, and exact to half a percent. */
interface Kept {
  readonly keys: readonly string[];
  readonly bytes: Int8Array;
  readonly scales: Float32Array;
}

/**
 * Runs a larger encoder over samples. What it said of a sample is kept in memory (8 bits a number), so that later epochs
 * cost the student only. Throws `text.too-long` when it takes fewer than `maxLength` tokens.
 */
export async function createTeacher(
  engine: Engine,
  encoder: Encoder,
  tokenizer: Tokenizer,
  samples: readonly Sample[],
  maxLength: number,
): Promise<Teacher> {
  const { config, family } = encoder;
  const { output } = drawEncoder({ config, family, parameters: parameters(() => false), dropout: noDropout, hooks: {}, read: 'all' });
  const session = await engine.compile({ outputs: { hidden: output } }, weightsOf({ encoder }));
  const width = config.hidden;
  const kept = new Map<number, Kept>();
  // Fixed by the first samples, whatever batch comes first: another scale would be another objective.
  const scale = await unitScale();

  async function unitScale(): Promise<number> {
    const { data } = await hiddenOf(Array.from(samples.keys()).slice(0, SCALE_SAMPLES));
    return 1 / Math.sqrt(data.reduce((sum, x) => sum + x * x, 0) / data.length);
  }

  async function hiddenOf(rows: readonly number[]): Promise<{ encodings: Encoding[]; data: Float32Array; length: number }> {
    const encodings = rows.map((row) => {
      const [text, pair] = samples[row] as Sample;
      return tokenizer.encode(text, pair, { maxLength });
    });
    const feeds = encoderFeeds(encodings, encoder);
    const { hidden } = await session.run(feeds);
    return { encodings, data: (hidden as Tensor).data as Float32Array, length: (feeds.inputIds as Tensor).shape[1] as number };
  }

  async function learn(rows: readonly number[]): Promise<void> {
    const { encodings, data, length } = await hiddenOf(rows);
    rows.forEach((row, i) => {
      const words = new Map([
        ['', Array.from((encodings[i] as Encoding).inputIds.keys())],
        ...wordTokens(encodings[i] as Encoding, samples[row] as Sample),
      ]);
      kept.set(row, pack(means(words, data.subarray(i * length * width, (i + 1) * length * width), width, scale), width));
    });
  }

  return {
    width,
    async words(rows) {
      const unknown = Array.from(rows).filter((row) => !kept.has(row));
      if (unknown.length > 0) await learn(unknown);
      return Array.from(rows, (row) => unpack(kept.get(row) as Kept, width));
    },
    release: () => session.release(),
  };
}

/** The mean vector of each group of tokens. */
function means(groups: ReadonlyMap<string, readonly number[]>, hidden: Float32Array, width: number, scale: number): WordVectors {
  const vectors = new Float32Array(groups.size * width);
  let row = 0;
  for (const tokens of groups.values()) {
    for (const token of tokens)
      for (let i = 0; i < width; i++)
        vectors[row * width + i] = (vectors[row * width + i] as number) + ((hidden[token * width + i] as number) * scale) / tokens.length;
    row++;
  }
  return { keys: [...groups.keys()], vectors };
}

function pack({ keys, vectors }: WordVectors, width: number): Kept {
  const bytes = new Int8Array(vectors.length);
  const scales = new Float32Array(keys.length);
  for (let row = 0; row < keys.length; row++) {
    let largest = 1e-12;
    for (let i = row * width; i < (row + 1) * width; i++) largest = Math.max(largest, Math.abs(vectors[i] as number));
    scales[row] = largest / 127;
    for (let i = row * width; i < (row + 1) * width; i++) bytes[i] = Math.round(((vectors[i] as number) / largest) * 127);
  }
  return { keys, bytes, scales };
}

function unpack({ keys, bytes, scales }: Kept, width: number): WordVectors {
  const vectors = new Float32Array(bytes.length);
  for (let row = 0; row < keys.length; row++)
    for (let i = row * width; i < (row + 1) * width; i++) vectors[i] = (bytes[i] as number) * (scales[row] as number);
  return { keys, vectors };
}

/** The weight of a whole text's vector against one word's. */
const TEXT_WEIGHT = 4;

/**
 * What a student of `length` padded tokens is to learn of a batch: wordTokens [B, W, S] averages its token vectors into
 * words, teacherWords [B·W, width] are their targets, wordWeights [B·W] add up to 1. Word 0 is the whole text, which the
 * student's first token answers for; words that the student has not weigh nothing.
 */
export function wordTargets(
  teacher: readonly WordVectors[],
  student: readonly ReadonlyMap<string, readonly number[]>[],
  length: number,
  width: number,
): Feeds {
  const batch = teacher.length;
  const most = Math.max(...teacher.map(({ keys }) => keys.length));
  const tokens = new Float32Array(batch * most * length);
  const vectors = new Float32Array(batch * most * width);
  const weights = new Float32Array(batch * most);
  let total = 0;
  teacher.forEach(({ keys, vectors: ofTeacher }, b) => {
    keys.forEach((key, w) => {
      const at = key === '' ? [0] : student[b]?.get(key);
      if (!at) return;
      const row = b * most + w;
      for (const token of at) tokens[row * length + token] = 1 / at.length;
      vectors.set(ofTeacher.subarray(w * width, (w + 1) * width), row * width);
      weights[row] = key === '' ? TEXT_WEIGHT : 1;
      total += weights[row] as number;
    });
  });
  return {
    wordTokens: float32([batch, most, length], tokens),
    teacherWords: float32([batch * most, width], vectors),
    wordWeights: float32(
      [batch * most],
      weights.map((weight) => weight / total),
    ),
  };
}
