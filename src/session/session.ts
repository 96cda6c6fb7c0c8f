import type { DType, Tensor } from '../base/tensor.ts';
import type { Program } from '../graph/index.ts';

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
   * Runs the program. Tensors given in `into` are filled in place (their shapes must be exact) and returned;
   * they must not be among the feeds. Throws `session.run` when the engine fails.
   */
  run(feeds: Feeds, into?: Feeds): Promise<Record<string, Tensor>>;
  release(): Promise<void>;
}

export interface Engine {
  readonly name: string;
  /** How many programs were compiled so far: a steady state compiles nothing. */
  readonly compilations: number;
  compile(program: Program, weights: Weights): Promise<Session>;
}

export function isFileWeight(weight: Tensor | FileWeight): weight is FileWeight {
  return 'file' in weight;
}
