import { input, type Value, weight } from '../graph/index.ts';

/** Hands out the value of a named parameter, frozen or trainable: layers do not know which. */
export type Parameters = (name: string, shape: readonly number[]) => Value;

/** How a fresh parameter is filled; bounds and deviations as in the libraries we interoperate with. */
export type Initializer =
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'normal'; readonly deviation: number }
  /** U(−1/√in, 1/√in): Kaiming-uniform with a = √5, PyTorch's default for linears. */
  | { readonly kind: 'fan-in-uniform'; readonly fanIn: number }
  /** Normal with deviation σ, redrawn beyond ±`limit`. */
  | { readonly kind: 'truncated-normal'; readonly deviation: number; readonly limit: number }
  /** A square matrix: 1 on the diagonal, `off` elsewhere. */
  | { readonly kind: 'near-identity'; readonly off: number };

/** Biases, gains, and weights as BERT draws them. */
export const ZERO: Initializer = { kind: 'constant', value: 0 };
export const ONE: Initializer = { kind: 'constant', value: 1 };
export const NORMAL: Initializer = { kind: 'normal', deviation: 0.02 };

/** A parameter that a method or head brings: its name, shape, first value, and whether weight decay applies. */
export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly init: Initializer;
  readonly decay: boolean;
  /** Other full names under which the Python library stores the same tensor: written beside it, and dropped when read. */
  readonly aliases?: readonly string[];
}

/** A resolver that makes `trainable` names inputs of the program and all others frozen weights; equal names give equal values. */
export function parameters(trainable: (name: string) => boolean): Parameters {
  const known = new Map<string, Value>();
  return (name, shape) => {
    const before = known.get(name);
    if (before) return before;
    const value = trainable(name) ? input(name, 'float32', shape) : weight(name, 'float32', shape);
    known.set(name, value);
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
