import type { Dim, Value } from '../graph/index.ts';
import type { Dropout, ParameterRole } from '../nn/index.ts';
import type { LinearName, Place } from './config.ts';
import type { LayerRows, Rows } from './sites.ts';

/** What a family draws: the sequence that went into the first layer and every layer's output, in order. */
export interface Layers {
  readonly hiddenStates: readonly Value[];
  /** Rows of the last layer. */
  readonly rows: Rows;
  /** What heads read, where that is not the last layer's output. */
  readonly output?: Value;
}

/**
 * What families draw with, and the only place where hooks are called. Paths are without the family's prefix.
 */
export interface EncoderTools {
  /** Of the token ids: [batch, length]. */
  readonly tokens: Rows;
  /** Of the same: 1 for real tokens, 0 for pads. */
  readonly mask: Value;
  /** The rows of a table `path.weight` [size, width]. */
  table(path: string, size: number, width: number): Value;
  /** A weight by its whole path. */
  parameter(path: string, shape: readonly number[], role: ParameterRole): Value;
  /** x [rows, in] → [rows, out] by a linear outside of the layers; methods act at it where it is the family's `projection`. */
  linear(path: string, x: Value, out: number): Value;
  /** A layer norm outside the layers; the rows are those of all tokens unless others are given. */
  norm(path: string, x: Value, options?: { readonly bias?: boolean; readonly rows?: Rows }): Value;
  readonly dropout: Dropout;
  /** Ends the embeddings: x [rows, embedding] as methods leave it. */
  embedded(x: Value): Value;
  /** Runs all layers over x [rows, hidden]. */
  layers(x: Value, draw: (layer: Layer, x: Value) => Value): Layers;
}

/** One layer, for the tokens of its rows. */
export interface Layer extends LayerRows {
  /** The rows that are computed, out of those of all tokens. */
  pick(x: Value): Value;
  /** x [rows, in] → [rows, out]; the rows are the layer's own unless others are given. */
  linear(name: LinearName, x: Value, rows?: Rows): Value;
  /** The parts of a fused linear over all tokens: x [rows, in] → one value [rows, out] for each. */
  parts(name: LinearName, x: Value): readonly Value[];
  /** A layer norm of x [rows, width]; the rows are the layer's own unless others are given. */
  norm(path: string, x: Value, options?: { readonly bias?: boolean; readonly rows?: Rows }): Value;
  /** softmax(scale·q·kᵀ + mask)·v of query [rows, hidden] and key and value of all tokens [batch·S, hidden] → [rows, hidden]. */
  attention(given: Attention): Value;
  /**
   * The sub-block's output h plus the residual x, normed where `norm` names one. `read` is what the sub-block read, where that is
   * not the residual itself but a norm of it.
   */
  residual(place: Place, h: Value, x: Value, options?: { readonly norm?: string; readonly read?: Value }): Value;
}

export interface Attention {
  readonly query: Value;
  readonly key: Value;
  readonly value: Value;
  /** The base of rotary positions, by which queries and keys are turned; none where it is left out. */
  readonly theta?: number;
  /** What products of queries and keys are multiplied by, 1/√e where it is left out. */
  readonly scale?: number;
  /** How many places away a token may be to be read; any where it is left out. */
  readonly window?: number;
  /**
   * What is added to the scores beside the mask, as positions relative to each other are [1 or batch, 1 or heads, tokens, S]: of
   * queries [batch, heads, tokens, e] from place `from` up to `to`, and the keys of all tokens.
   */
  bias?(queries: Value, keys: Value, from: Dim, to: Dim): Value;
}
