import { invariant, type Tensor } from '../base/index.ts';
import type { ConfigFields, EncoderConfig, LinearName, Place } from './config.ts';
import type { EncoderTools, Layers } from './drawing.ts';

/** Where a linear of a layer lies, and its sizes. */
export interface LinearPlace<C extends EncoderConfig = EncoderConfig> {
  readonly name: LinearName;
  /** Path without prefix and `.weight`; modules of methods lie under it. */
  path(module: number): string;
  fanIn(config: C): number;
  out(config: C): number;
  bias?(config: C): boolean;
  /** Whether it lies outside of the layers: there is one of it, and its path knows no module. */
  readonly outside?: true;
  /** Whether it is there; it is where this is left out. */
  present?(config: C): boolean;
  /** The linears whose outputs stand in this one's side by side, each as wide. A part's modules lie under this path and its name. */
  readonly parts?: readonly LinearName[];
}

/** A family: what it reads of config.json, how it computes, and where its files and the Python libraries keep things. */
export interface EncoderFamily<C extends EncoderConfig = EncoderConfig> {
  /** The Hugging Face `model_type`. */
  readonly name: string;
  /** How class names begin in Python: `${python}Model`. */
  readonly python: string;
  /** The class that takes adapters in Python, where that is not `${python}AdapterModel`: {@link pythonClass}. */
  readonly adapted?: string;
  /** Prefix of all encoder weights in a checkpoint with a head, such as 'bert.'. */
  readonly prefix: string;
  /** Reads a Hugging Face config.json that has been checked to be an object. */
  config(fields: ConfigFields): C;
  readonly linears: readonly LinearPlace<C>[];
  /** Path of the norm after a sub-block, without prefix; undefined where none stands there. */
  normPath(place: Place, module: number): string | undefined;
  /** Where `adapters` puts modules beside a sub-block. */
  modulePath(place: Place, module: number): string;
  /** What `adapters` calls self-attention among the places of prefixes, where that is not 'self_prefix'. */
  readonly prefixLocation?: string;
  /** Path of the word table, without prefix and `.weight`. */
  readonly wordTable: string;
  /** Path of the linear that makes the pooled vector, tanh of it over the first token; absent where the family has none. */
  readonly pooler?: string;
  /** Path of the linear from the width of the embeddings to that of the layers; absent where the family has none. */
  readonly projection?: string;
  /** Whether it is there where these widths are the same. */
  readonly alwaysProjects?: true;
  /** Feeds beside ids, types and mask, for ids [B, S] int32. */
  inputs(ids: Tensor, config: C): Readonly<Record<string, Tensor>>;
  /** The longest sequence it takes. */
  mostTokens(config: C): number;
  /** Draws the computation out of tools, which call the hooks of methods. */
  draw(tools: EncoderTools, config: C): Layers;
  /** Keys of checkpoints that belong to no encoder part and are ignored: pretraining heads and buffers. */
  readonly ignored: readonly RegExp[];
  /**
   * The head of transformers' sequence classifier for this family, in the vocabulary of flexible heads; absent where that, or the one
   * for tokens, cannot be said in it.
   */
  readonly classifier?: FixedClassifier;
  /** The same of its head for multiple choice. */
  readonly choice?: FixedClassifier;
  /** Its masked language model: what `adapters` makes of it is two linears with this activation and a norm between. */
  readonly words?: FixedWords;
}

export interface FixedClassifier {
  /** Its linears, first to last. */
  readonly linears: readonly string[];
  /** Between the linears. */
  readonly activation: string | null;
  /** Whether it reads the pooled vector rather than the first token. */
  readonly pooled: boolean;
}

/** Paths without `.weight` and `.bias`. */
export interface FixedWords {
  readonly dense: string;
  readonly norm: string;
  readonly decoder: string;
  readonly activation: string;
  /** A second name of the last bias. */
  readonly bias?: string;
}

/** The class that takes adapters in Python. */
export function pythonClass({ python, adapted = `${python}AdapterModel` }: EncoderFamily): string {
  return adapted;
}

/** The names of linears outside of the layers, at which methods may act too. */
export const OUTER_LINEARS = ['projection', 'pooler'] as const;

/** The linears of a family outside of the layers, in the order of the computation. */
export function outerLinears({ projection, alwaysProjects, pooler }: EncoderFamily): LinearPlace[] {
  const place = (name: (typeof OUTER_LINEARS)[number], path: string, more: Partial<LinearPlace> = {}): LinearPlace => ({
    name,
    path: () => path,
    fanIn: ({ hidden }) => hidden,
    out: ({ hidden }) => hidden,
    outside: true,
    ...more,
  });
  const present = ({ embedding, hidden }: EncoderConfig) => alwaysProjects === true || embedding !== hidden;
  return [
    ...(projection === undefined ? [] : [place('projection', projection, { fanIn: ({ embedding }) => embedding, present })]),
    ...(pooler === undefined ? [] : [place('pooler', pooler)]),
  ];
}

/** A linear of a family by its name: its own, or the one that it is a part of. */
export function linearPlace(family: EncoderFamily, name: LinearName): LinearPlace & { readonly partOf?: LinearPlace } {
  const whole = [...family.linears, ...outerLinears(family)].find((place) => place.name === name);
  if (whole) return whole;
  const fused = family.linears.find(({ parts }) => parts?.includes(name));
  invariant(fused?.parts, `the family ${family.name} has no linear '${name}'`);
  const { parts, ...others } = fused;
  return {
    ...others,
    name,
    path: (module) => `${fused.path(module)}.${name}`,
    out: (config) => fused.out(config) / parts.length,
    partOf: fused,
  };
}

/** Full name of the matrix that a linear lies in, without `.weight`: its own, or the one that it is a part of. */
export function matrixPath(family: EncoderFamily, name: LinearName, module: number | undefined): string {
  const place = linearPlace(family, name);
  return family.prefix + pathAt(place.partOf ?? place, module);
}

/**
 * Full name of a linear, without `.weight`; `module` is undefined outside of the layers. A part of another has no weight of its own:
 * the name is that of its modules.
 */
export function linearPath(family: EncoderFamily, name: LinearName, module: number | undefined): string {
  return family.prefix + pathAt(linearPlace(family, name), module);
}

function pathAt(place: LinearPlace, module: number | undefined): string {
  invariant(module !== undefined || place.outside, `the linear '${place.name}' lies in layers`);
  return place.path(module ?? 0);
}
