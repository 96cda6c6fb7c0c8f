import type { Tensor } from '../base/tensor.ts';
import type { EncoderTools, Layers } from './tools.ts';

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
/** A linear at which a method may act: one of {@link LINEARS}, or one that only this family has. */
export type LinearName = (typeof LINEARS)[number] | (string & {});
/** The two sub-blocks of a layer, after each of which the residual is added. */
export type Place = 'attention' | 'output';
/** The distinct places at which modules stand beside a sub-block. */
export const PLACES: readonly Place[] = ['attention', 'output'];

/** Where a linear of a layer lies, and its sizes. */
export interface LinearPlace<C extends EncoderConfig = EncoderConfig> {
  readonly name: LinearName;
  /** Path without prefix and `.weight`. */
  readonly path: (module: number) => string;
  readonly fanIn: (config: C) => number;
  readonly out: (config: C) => number;
  readonly bias?: (config: C) => boolean;
  /** The linears whose outputs stand in this one's side by side, each as wide: their own paths are this one's. */
  readonly parts?: readonly LinearName[];
}

/** A family: what it reads of config.json, how it computes, and where its files and the Python libraries keep things. */
export interface EncoderFamily<C extends EncoderConfig = EncoderConfig> {
  /** The Hugging Face `model_type`. */
  readonly name: string;
  /** Class names of the Python library: `${python}AdapterModel`. */
  readonly python: string;
  /** Prefix of all encoder weights in a checkpoint with a head, such as 'bert.'. */
  readonly prefix: string;
  /** Reads a Hugging Face config.json that has been checked to be an object. */
  config(fields: ConfigFields): C;
  readonly linears: readonly LinearPlace<C>[];
  /** Path of the norm after a sub-block, without prefix; undefined where none stands there. */
  normPath(place: Place, module: number): string | undefined;
  /** Where `adapters` puts modules beside a sub-block. */
  modulePath(place: Place, module: number): string;
  /** Path of the word table, without prefix and `.weight`. */
  readonly wordTable: string;
  /** Path of the linear that makes the pooled vector, tanh of it over the first token; absent where the family has none. */
  readonly pooler?: string;
  /** Feeds beside ids, types and mask, for ids [B, S] int32. */
  inputs(ids: Tensor, config: C): Readonly<Record<string, Tensor>>;
  /** The longest sequence it takes. */
  mostTokens(config: C): number;
  /** Draws the computation out of tools, which call the hooks of methods. */
  draw(tools: EncoderTools, config: C): Layers;
  /** Keys of checkpoints that belong to no encoder part and are ignored: pretraining heads and buffers. */
  readonly ignored: readonly RegExp[];
  /** The head of transformers' sequence classifier for this family, in the vocabulary of flexible heads. */
  readonly classifier: FixedClassifier;
}

export interface FixedClassifier {
  /** Its linears, first to last. */
  readonly linears: readonly string[];
  /** Between the linears. */
  readonly activation: string | null;
  /** Whether it reads the pooled vector rather than the first token. */
  readonly pooled: boolean;
}

/** A linear of a family by its name: its own, or the one that it is a part of. */
export function linearPlace(family: EncoderFamily, name: LinearName): LinearPlace & { readonly partOf?: LinearPlace } {
  const whole = family.linears.find((place) => place.name === name);
  if (whole) return whole;
  const fused = family.linears.find(({ parts }) => parts?.includes(name)) as LinearPlace;
  const count = fused.parts?.length ?? 1;
  return { ...fused, name, out: (config) => fused.out(config) / count, partOf: fused };
}

/** Full name of a linear of a layer, without `.weight`. */
export function linearPath(family: EncoderFamily, name: LinearName, module: number): string {
  return family.prefix + linearPlace(family, name).path(module);
}

/** Typed access to config.json with errors that name the field. */
export interface ConfigFields {
  integer(name: string, fallback?: number): number;
  number(name: string, fallback?: number): number;
  text(name: string, fallback?: string): string;
  flag(name: string, fallback: boolean): boolean;
  has(name: string): boolean;
}
