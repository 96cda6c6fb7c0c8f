import type { Tensor } from '../base/index.ts';
import type { AdapterLayout, ConfiguredMethod, Method } from '../methods/index.ts';
import type { HeadKind } from '../objectives/index.ts';
import type { ModelFacts } from './facts.ts';
import type { HeadPackage } from './head.ts';
import type { WeightFormat } from './weights.ts';

/** One adapter, with the head that was trained with it. */
export interface AdapterPackage {
  readonly name: string;
  readonly method: ConfiguredMethod;
  /** By full name, the adapter's own name inside it. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly head?: HeadPackage;
  readonly model: ModelFacts;
}

export interface LoadedAdapter extends AdapterPackage {
  readonly layout: AdapterLayout;
  /** What a user should know: other weights than trained with, unknown keys, expanded types, numbers that are not finite. */
  readonly notes: readonly string[];
}

export interface SavingOptions {
  readonly format?: WeightFormat;
  /** The method's usual one when left out. */
  readonly layout?: AdapterLayout;
}

export interface LoadingOptions {
  readonly encoder: ModelFacts;
  /** Another name for the adapter and its head. */
  readonly as?: string;
  /** false leaves the head unread. */
  readonly head?: boolean;
  /** Layers to be without the adapter, beside those that its configuration leaves out. */
  readonly leaveOut?: readonly number[];
  /** Where methods from outside this package take part. */
  readonly methods?: readonly Method[];
  /** Where kinds of heads from outside this package take part. */
  readonly headKinds?: readonly HeadKind[];
}
