import { float32, type Tensor } from '../base/tensor.ts';
import { collate } from '../batch/index.ts';
import { drawEncoder, type Encoder } from '../encoders/index.ts';
import { noDropout, parameters } from '../nn/index.ts';
import type { Engine } from '../session/session.ts';
import type { Encoding, Tokenizer } from '../text/index.ts';
import { weightsOf } from './model.ts';
import { type Sample, wordTokens } from './words.ts';

/** The vectors of one sample: row 0 (key '') the mean over all its tokens, then one row per word. */
export interface WordVectors {
  readonly keys: readonly string[];
  /** [keys, width], scaled so that the numbers have about unit variance. */
  readonly vectors: Float32Array;
}

export interface Teacher {
  readonly width: number;
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
 * cost the student only.
 */
export async function createTeacher(
  engine: Engine,
  encoder: Encoder,
  tokenizer: Tokenizer,
  samples: readonly Sample[],
  maxLength: number,
): Promise<Teacher> {
  const { config, family } = encoder;
  const { output } = drawEncoder({ config, family, parameters: parameters(() => false), dropout: noDropout, graft: {}, read: 'all' });
  const session = await engine.compile({ outputs: { hidden: output } }, weightsOf(encoder));
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
    const batch = collate(encodings, { padId: config.padId });
    const { shape } = batch.inputIds;
    const mask = float32(shape, Float32Array.from(batch.attentionMask.data as Int32Array));
    const { hidden } = await session.run({ inputIds: batch.inputIds, tokenTypeIds: batch.tokenTypeIds, attentionMask: mask });
    return { encodings, data: (hidden as Tensor).data as Float32Array, length: shape[1] as number };
  }

  async function run(rows: readonly number[]): Promise<void> {
    const { encodings, data, length } = await hiddenOf(rows);
    rows.forEach(
      (row, i) =>
        void kept.set(
          row,
          pack(means(encodings[i] as Encoding, data.subarray(i * length * width, (i + 1) * length * width), width, scale), width),
        ),
    );
  }

  return {
    width,
    async words(rows) {
      const unknown = [...rows].filter((row) => !kept.has(row));
      if (unknown.length) await run(unknown);
      return Array.from(rows, (row) => unpack(kept.get(row) as Kept, width));
    },
    release: () => session.release(),
  };
}

function means(encoding: Encoding, hidden: Float32Array, width: number, scale: number): WordVectors {
  const all = Array.from(encoding.inputIds.keys());
  const groups = new Map<string, readonly number[]>([['', all], ...wordTokens(encoding)]);
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
