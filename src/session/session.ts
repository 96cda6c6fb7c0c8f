import { type DType, fail, type Tensor } from '../base/index.ts';
import { bindShape, nameOf, type Program, type Value } from '../graph/index.ts';

/** A tensor that lies in a file: `byteLength` little-endian bytes at `offset`. */
export interface FileWeight {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** A path whose symbolic links are resolved. */
  readonly file: string;
  readonly offset: number;
  readonly byteLength: number;
  /** Whether those bytes are float32 in row-major order, so that an engine may use them where they are. */
  readonly inPlace: boolean;
  /** The tensor, expanded to float32 where the file holds a narrower type. */
  read(): Promise<Tensor>;
}

/** The frozen tensors of programs, by name. */
export type Weights = ReadonlyMap<string, Tensor | FileWeight>;

export type Feeds = Readonly<Record<string, Tensor>>;

/** A compiled program. Symbolic dimensions are taken from the feeds of each run. */
export interface Session {
  /**
   * Runs the program. The results are the caller's, who may change them; outputs of one value may be one tensor. Throws
   * `session.run` when the engine fails.
   */
  run(feeds: Feeds): Promise<Record<string, Tensor>>;
  release(): Promise<void>;
}

export interface Engine {
  readonly name: string;
  /** How many programs were compiled so far: a steady state compiles nothing. */
  readonly compilations: number;
  /** Bytes that this machine, or the container around it, has in all; absent where that is not known. */
  readonly memory?: number;
  compile(program: Program, weights: Weights): Promise<Session>;
}

/**
 * Holds feeds against the inputs of a program and returns what its symbols stand for; `wide` lets float64 stand for float32.
 * Throws `session.run` for a missing input or another element type, `graph.shape` for a shape that does not fit.
 */
export function bindFeeds(inputs: readonly Value[], feeds: Feeds, wide = false): Map<string, number> {
  const bindings = new Map<string, number>();
  for (const value of inputs) {
    const subject = `input '${nameOf(value)}'`;
    const fed = feeds[nameOf(value) as string];
    if (fed === undefined) return fail({ code: 'session.run', subject, found: 'nothing', expected: `${value.dtype}[${value.shape}]` });
    if (fed.dtype !== value.dtype && !(wide && value.dtype === 'float32' && fed.dtype === 'float64'))
      fail({ code: 'session.run', subject, found: fed.dtype, expected: value.dtype });
    bindShape(subject, value.shape, fed.shape, bindings);
  }
  // Once more: an input may come before the one that fixes its symbols.
  for (const value of inputs)
    bindShape(`input '${nameOf(value)}'`, value.shape, (feeds[nameOf(value) as string] as Tensor).shape, bindings);
  return bindings;
}

export function isFileWeight(weight: Tensor | FileWeight): weight is FileWeight {
  return 'file' in weight;
}
