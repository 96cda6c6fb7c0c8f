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

interface LayerPlace extends Rows {
  /** Layer from 0, and the index of the module that holds its parameters (they differ where parameters are tied). */
  readonly layer: number;
  readonly module: number;
}

/** A linear layer: x [rows, in] → y = x·Wᵀ + b [rows, out]. */
export interface LinearSite extends LayerPlace {
  readonly name: LinearName;
  readonly x: Value;
  readonly y: Value;
}

/** Where a sub-block's output h meets its residual x: stock is `normalize(h + x)`. All [rows, hidden]. */
export interface AddNormSite extends LayerPlace {
  readonly place: NormPlace;
  /** The sub-block's output after its dense layer and dropout. */
  readonly h: Value;
  /** The sub-block's input. */
  readonly x: Value;
  /** The norm here, with the encoder's own gain and bias [hidden]. */
  readonly normalize: (value: Value) => Value;
  readonly gain: Value;
  readonly bias: Value;
  readonly epsilon: number;
  /** What went into the whole layer: [batch·S, hidden], all tokens even where only first ones are computed. */
  readonly layerInput: Value;
  /** [batch, 1, 1, S]: what attention adds to its scores, 0 for real tokens and the lowest float32 for pads. */
  readonly mask: Value;
}

/** The embeddings' output after norm, dropout and projection, or the encoder's output: x [rows, hidden]. */
export interface HiddenSite extends Rows {
  readonly x: Value;
}

/** Attention before the softmax: scaled products with the mask added [batch, heads, length, S]; `length` counts the queries. */
export interface ScoresSite extends LayerPlace {
  readonly scores: Value;
}

/** A whole layer: x [batch·S, hidden] went in, h [rows, hidden] comes out. */
export interface LayerSite extends LayerPlace {
  readonly x: Value;
  readonly h: Value;
}

/**
 * What a method does at the sites it uses; absent means stock. Each returns what stands there instead. They are called in
 * the order of the computation: `embeddings`, then layer by layer `linear`, `scores`, `addNorm` and `layer`, then `output`.
 */
export interface Graft {
  embeddings?(site: HiddenSite): Value;
  linear?(site: LinearSite): Value;
  scores?(site: ScoresSite): Value;
  addNorm?(site: AddNormSite): Value;
  /** What it returns is what the next layer reads. */
  layer?(site: LayerSite): Value;
  output?(site: HiddenSite): Value;
}
