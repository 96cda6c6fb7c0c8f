/** What an encoder is, in one vocabulary for all families. Sizes are counts of elements. */
export interface EncoderConfig {
  /** The Hugging Face `model_type`. */
  readonly family: string;
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly intermediate: number;
  readonly vocabulary: number;
  readonly positions: number;
  /** 0 where the family has no token types. */
  readonly types: number;
  /** Width of the embedding tables; a projection follows where it differs from `hidden`. */
  readonly embedding: number;
  readonly epsilon: number;
  readonly activation: string;
  readonly hiddenDropout: number;
  readonly attentionDropout: number;
  readonly classifierDropout: number | undefined;
  readonly padId: number;
  /** Distinct layers: `layers` but where parameters are tied across depth (ALBERT). */
  readonly groups: number;
}

/** The distinct layer whose parameters layer `index` uses. */
export function layerModule({ layers, groups }: EncoderConfig, index: number): number {
  return Math.floor(index / (layers / groups));
}

/** The linears of a layer, at which a method may act. */
export const LINEARS = ['query', 'key', 'value', 'attentionOutput', 'intermediate', 'output'] as const;
export type LinearName = (typeof LINEARS)[number];
/** The two places where a sub-block's output meets its residual. */
export type NormPlace = 'attention' | 'output';

/** A family: defaults, and where its files and the Python libraries keep things. Nothing else. */
export interface EncoderFamily {
  readonly name: string;
  /** Reads a Hugging Face config.json that has been checked to be an object. */
  readonly config: (fields: ConfigFields) => EncoderConfig;
  /** Prefix of all encoder weights in a checkpoint with a head, such as 'bert'. */
  readonly prefix: string;
  readonly names: WeightNames;
  /** Where `adapters` puts modules: `layer` is a module index. */
  readonly adapterSites: Readonly<Record<NormPlace, (layer: number) => string>>;
  /**
   * The Python library hands adapters after attention the sub-block's input as its output and the other way round: what
   * trained there only works so.
   */
  readonly swapsAttentionResidual?: true;
  /** Positions are counted over real tokens from padId+1 (RoBERTa) instead of from 0. */
  readonly positionsAfterPad: boolean;
  /** How a pooled vector is made: 'tanh' of a linear over the first token, or not at all. */
  readonly pooler: boolean;
  /** Keys of checkpoints that belong to no encoder part and are ignored: pretraining heads and buffers. */
  readonly ignored: readonly RegExp[];
  /** The head of transformers' sequence classifier for this family, in the vocabulary of flexible heads. */
  readonly classifier: FixedClassifier;
  /** Class names of the Python library: `${python}AdapterModel`. */
  readonly python: string;
}

export interface FixedClassifier {
  /** Its linears, first to last. */
  readonly linears: readonly string[];
  /** Between the linears. */
  readonly activation: string | null;
  /** Whether it reads the pooled vector rather than the first token. */
  readonly pooled: boolean;
}

/** Names of weights relative to the prefix, without `.weight`/`.bias`. */
export interface WeightNames {
  readonly word: string;
  readonly position: string;
  readonly type?: string;
  readonly embeddingNorm: string;
  readonly projection?: string;
  readonly linear: (layer: number, name: LinearName) => string;
  readonly norm: (layer: number, place: NormPlace) => string;
  readonly pooler?: string;
}

/** Typed access to config.json with errors that name the field. */
export interface ConfigFields {
  integer(name: string, fallback?: number): number;
  number(name: string, fallback?: number): number;
  text(name: string, fallback?: string): string;
  has(name: string): boolean;
}
