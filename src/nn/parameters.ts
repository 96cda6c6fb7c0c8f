import type { Random, Tensor } from '../base/index.ts';
import { input, type Value, weight } from '../graph/index.ts';

/** What a parameter is to its layer: a table is looked up in, a gain scales what was normalised. */
export type ParameterRole = 'matrix' | 'bias' | 'gain' | 'table';

/** What is known of a parameter where it is asked for; `part` is the piece of the encoder that it belongs to. */
export interface ParameterFacts {
  readonly role: ParameterRole;
  readonly part?: string | number;
}

/** Hands out the value of a named parameter, frozen or trainable: layers do not know which. */
export type Parameters = (name: string, shape: readonly number[], facts?: ParameterFacts) => Value;

/** How a fresh parameter is filled; bounds and deviations as in the libraries we interoperate with. */
export type Initializer =
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'normal'; readonly deviation: number }
  /** U(−1/√in, 1/√in): Kaiming-uniform with a = √5, PyTorch's default for linears. */
  | { readonly kind: 'fan-in-uniform'; readonly fanIn: number }
  /** Normal with deviation σ, redrawn beyond ±`limit`. */
  | { readonly kind: 'truncated-normal'; readonly deviation: number; readonly limit: number }
  /** A square matrix: 1 on the diagonal, `off` elsewhere. */
  | { readonly kind: 'near-identity'; readonly off: number }
  /** Computed from weights of the encoder, which `reads` names in full, and from a stream of random numbers of its own. */
  | {
      readonly kind: 'derived';
      readonly reads: readonly string[];
      readonly make: (weights: readonly Tensor[], random: Random) => Float32Array;
    };

/** Biases, gains, and weights as BERT draws them. */
export const ZERO: Initializer = { kind: 'constant', value: 0 };
export const ONE: Initializer = { kind: 'constant', value: 1 };
export const NORMAL: Initializer = { kind: 'normal', deviation: 0.02 };

/** Begins as a weight of the encoder, by its full name. */
export function copyOf(weight: string): Initializer {
  return { kind: 'derived', reads: [weight], make: ([value]) => Float32Array.from((value as Tensor).data as Float32Array) };
}

/** All that is to be known of a parameter that a method, a head or an encoder brings. */
export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly init: Initializer;
  /** Whether weight decay applies. */
  readonly decay: boolean;
  /** False for a tensor that keeps its first value. */
  readonly trains?: false;
  /** Whether all tasks of one model have the same tensor, where each has a module of its method. */
  readonly shared?: true;
  /** Other full names under which the Python library stores the same tensor: written beside it, and dropped when read. */
  readonly aliases?: readonly string[];
}

/** First values and decay of a parameter by its role, as BERT has them. */
export function byRole(role: ParameterRole): Pick<ParameterSpec, 'init' | 'decay'> {
  switch (role) {
    case 'bias':
      return { init: ZERO, decay: false };
    case 'gain':
      return { init: ONE, decay: false };
    default:
      return { init: NORMAL, decay: true };
  }
}

/** A resolver that makes `trainable` names inputs of the program and all others frozen weights; equal names give equal values. */
export function parameters(trainable: (name: string) => boolean): Parameters {
  const values = new Map<string, Value>();
  return (name, shape) => {
    const before = values.get(name);
    if (before) return before;
    const value = trainable(name) ? input(name, 'float32', shape) : weight(name, 'float32', shape);
    values.set(name, value);
    return value;
  };
}

/** As {@link parameters}, keeping the trainable values that were asked for: those that a program reads. */
export function recordedParameters(trainable: (name: string) => boolean): {
  readonly get: Parameters;
  readonly read: ReadonlyMap<string, Value>;
} {
  const resolve = parameters(trainable);
  const read = new Map<string, Value>();
  const get: Parameters = (name, shape) => {
    const value = resolve(name, shape);
    if (trainable(name)) read.set(name, value);
    return value;
  };
  return { get, read };
}
