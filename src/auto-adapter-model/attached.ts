import type { Tensor } from '../base/tensor.ts';
import type { HeadPackage, HeadTraining } from '../checkpoint/index.ts';
import type { Encoder } from '../encoders/index.ts';
import type { ConfiguredMethod, FusionConfig } from '../methods/index.ts';
import { drawn } from '../model/start-values.ts';
import { type Head, headParameters } from '../objectives/index.ts';

export interface Attached {
  readonly method: ConfiguredMethod;
  /** Absent until trained or loaded. */
  readonly tensors?: ReadonlyMap<string, Tensor>;
}

export interface AttachedFusion {
  /** What it was made for, in order. */
  readonly adapters: readonly string[];
  readonly config: FusionConfig;
  /** Absent until trained or loaded. */
  readonly tensors?: ReadonlyMap<string, Tensor>;
  /** How many steps it was trained. */
  readonly steps?: number;
}

export interface AttachedHead extends Head {
  readonly tensors?: ReadonlyMap<string, Tensor>;
  readonly training?: HeadTraining;
}

/** An adapter's tensors by full name, drawn where it has none yet. */
export function adapterTensors(name: string, { method: { method, config }, tensors }: Attached, encoder: Encoder) {
  return tensors ?? drawn(method.parameters(config, { encoder: encoder.config, family: encoder.family, name }));
}

/** A head as it is saved, its tensors drawn where it has none yet. */
export function packedHead(head: AttachedHead, encoder: Encoder): HeadPackage {
  return { ...head, tensors: head.tensors ?? drawn(headParameters(head, encoder.config)) };
}
