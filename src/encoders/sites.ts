import type { Dim, Value } from '../graph/index.ts';
import type { LinearName, NormPlace } from './config.ts';

/**
 * The places of an encoder at which a method may act. Activations are two-dimensional: one row per token, tokens of a
 * sequence together; in the last layer of a model whose head reads only the first token, one row per sequence.
 */
export interface Rows {
  readonly batch: Dim;
  /** Tokens per sequence in these rows: 'S', or 1 where only the first token is computed. */
  readonly length: Dim;
}

interface Site extends Rows {
  /** Layer from 0, and the index of the module that holds its parameters (they differ where parameters are tied). */
  readonly layer: number;
  readonly module: number;
}

/** A linear layer: x [rows, in] → y = x·Wᵀ + b [rows, out]. */
export interface LinearSite extends Site {
  readonly name: LinearName;
  readonly x: Value;
  readonly y: Value;
}

/** Where a sub-block's output h meets its residual x: stock is `normalize(h + x)`. All [rows, hidden]. */
export interface AddNormSite extends Site {
  readonly place: NormPlace;
  /** The sub-block's output after its dense layer and dropout. */
  readonly h: Value;
  /** The sub-block's input. */
  readonly x: Value;
  readonly normalize: (value: Value) => Value;
}

/** What a method does at the sites it uses; absent means stock. Each returns what stands there instead. */
export interface Graft {
  linear?(site: LinearSite): Value;
  addNorm?(site: AddNormSite): Value;
}
