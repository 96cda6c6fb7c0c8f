import type { Dim, Value } from '../graph/index.ts';
import type { NormParameters } from '../nn/index.ts';
import type { LinearName, Place } from './config.ts';

/**
 * The places of an encoder at which a method may act. Activations are two-dimensional: one row per token, tokens of a
 * sequence together; in the last layer of a model whose head reads only the first token, one row per sequence.
 */
export interface Rows {
  readonly batch: Dim;
  /** Tokens per sequence in these rows: 'S', or 1 where only the first token is computed. */
  readonly length: Dim;
  /** How often the encoder's own batch stands in this one, one after another; once where it is left out. */
  readonly times?: number;
  /** Where the token stands whose output is that of the sequence, for heads that read one token; 0 for the first of all. */
  readonly first: number;
}

/** The embeddings' output after norm and dropout, before any projection: x [rows, embedding]. Methods may lengthen it. */
export interface EmbeddedSite extends Rows {
  readonly x: Value;
  /** [batch, length]: 1 for real tokens, 0 for pads. */
  readonly mask: Value;
  /** How many tokens were put in that are none of the text, and before which place they stand. */
  readonly added: number;
  readonly at: number;
  /** Where that differs from sequence to sequence: takes the text out, [batch·length, d] → [batch·S, d]. */
  readonly text?: (x: Value) => Value;
}

/** What the first layer reads, or the encoder's output: x [rows, hidden]. */
export interface HiddenSite extends Rows {
  readonly x: Value;
}

/** What every site of a layer knows of it. */
export interface LayerRows extends Rows {
  /** Layer from 0, and the index of the module that holds its parameters (they differ where parameters are tied). */
  readonly layer: number;
  readonly module: number;
  /** What went into the whole layer: [batch·S, hidden], all tokens even where only first ones are computed. */
  readonly input: Value;
  /** The rows of `input`. */
  readonly all: Rows;
  /** [batch, 1, 1 or length, S]: what attention adds to its scores, 0 for what may be read and the lowest float32 for pads. */
  readonly mask: Value;
  /** [batch, S]: 1 for a sequence's own tokens, those that methods put in among them, and 0 for pads. */
  readonly own: Value;
}

/** A linear: x [rows, in] → y = x·Wᵀ + b [rows, out], with W [out, in] and b [out] where it has one. */
export interface LinearSite extends Rows {
  readonly name: LinearName;
  /** As those of {@link LayerRows}; undefined outside of the layers. */
  readonly layer: number | undefined;
  readonly module: number | undefined;
  /** As in {@link LayerRows}; absent where it is one token of each sequence that the linear reads. */
  readonly own?: Value | undefined;
  readonly x: Value;
  readonly y: Value;
  readonly weight: Value;
  readonly bias: Value | undefined;
}

/**
 * What attention reads: key and value [batch, heads, S, e], and what is added to its scores: the mask, and a bias of the family's where
 * it has one, [1 or batch, 1 or heads, 1 or length, S]. Methods may lengthen S of all three.
 */
export interface KeysAndValues {
  readonly key: Value;
  readonly value: Value;
  readonly mask: Value;
}

/** Where keys, values and mask meet. */
export interface AttentionSite extends LayerRows, KeysAndValues {}

/** Attention before the softmax: scaled products with the mask added [batch, heads, length, S]; `length` counts the queries. */
export interface ScoresSite extends LayerRows {
  readonly scores: Value;
}

/** Where a sub-block's output h meets its residual: stock is `join(h)`. All [rows, hidden]. */
export interface ResidualSite extends LayerRows {
  readonly place: Place;
  /** The sub-block's output after its dense layer and dropout. */
  readonly h: Value;
  /** The sub-block's input as its linears read it: the residual, or a norm of it where the family norms before the sub-block. */
  readonly x: Value;
  /** What `join` adds. */
  readonly residual: Value;
  /** The encoder's norm after the sub-block, of a sum; the sum itself where the family has none there. */
  readonly norm: (sum: Value) => Value;
  /** h plus the residual, and the norm of that: norm(h + x) but where the family norms before the sub-block. */
  readonly join: (h: Value) => Value;
}

/** A layer norm: x [rows, width], with the encoder's own gain and bias. */
export interface NormSite extends Rows, NormParameters {
  /** Full name of the norm, without `.weight`. */
  readonly path: string;
  /** Undefined outside the layers. */
  readonly layer: number | undefined;
  readonly place: Place | undefined;
  readonly x: Value;
  readonly epsilon: number;
  /** What the encoder's own norm makes of x. */
  readonly y: Value;
}

/** A whole layer: h [rows, hidden] comes out of what went in. */
export interface LayerSite extends LayerRows {
  readonly h: Value;
}

/** The sites by their names, in the order of the computation; `word` is what the word table is read with, [n, embedding]. */
export interface Sites {
  readonly embedded: EmbeddedSite;
  readonly input: HiddenSite;
  readonly linear: LinearSite;
  readonly attention: AttentionSite;
  readonly scores: ScoresSite;
  readonly residual: ResidualSite;
  readonly norm: NormSite;
  readonly layer: LayerSite;
  readonly output: HiddenSite;
  readonly word: { readonly x: Value };
}
export type SiteName = keyof Sites;

/** What stands at a site in place of the stock computation. */
export interface SiteResults {
  readonly embedded: EmbeddedSite;
  readonly input: Value;
  readonly linear: Value;
  readonly attention: KeysAndValues;
  readonly scores: Value;
  readonly residual: Value;
  readonly norm: Value;
  readonly layer: Value;
  readonly output: Value;
  readonly word: Value;
}

/** Functions that are called at the sites while the encoder is drawn; absent means stock. */
export type Hooks = { readonly [Name in SiteName]?: (site: Sites[Name]) => SiteResults[Name] };
