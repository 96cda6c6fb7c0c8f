/** What an encoder is, in one vocabulary for all families; a family may know more. Sizes are counts of elements. */
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

/** The linears of a layer that all families have, in one matrix or as parts of a wider one. */
export const LINEARS = ['query', 'key', 'value', 'attentionOutput', 'intermediate', 'output'] as const;
/** A linear at which a method may act: one of {@link LINEARS}, one outside of the layers, or one that only this family has. */
export type LinearName = (typeof LINEARS)[number] | (string & {});
/** The two sub-blocks of a layer, after each of which the residual is added. */
export type Place = 'attention' | 'output';
/** The distinct places at which modules stand beside a sub-block. */
export const PLACES: readonly Place[] = ['attention', 'output'];

/** Typed access to config.json with errors that name the field. */
export interface ConfigFields {
  integer(name: string, fallback?: number): number;
  number(name: string, fallback?: number): number;
  text(name: string, fallback?: string): string;
  flag(name: string, fallback: boolean): boolean;
  /** A list of strings, or one string with `|` between; nothing is none. */
  texts(name: string): string[];
  has(name: string): boolean;
  /** Whether it stands there as null. */
  isNull(name: string): boolean;
}
