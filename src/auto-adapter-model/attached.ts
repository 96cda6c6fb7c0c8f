import type { Tensor } from '../base/index.ts';
import type { HeadPackage, HeadTraining } from '../checkpoint/index.ts';
import type { Encoder } from '../encoders/index.ts';
import { bindAdapter, type ConfiguredMethod, encoderFacts, type FusionConfig } from '../methods/index.ts';
import { untrainedValues } from '../model/start-values.ts';
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

/** An adapter's tensors by full name: first values where it has none yet. */
export async function adapterTensors(name: string, { method, tensors }: Attached, encoder: Encoder): Promise<ReadonlyMap<string, Tensor>> {
  return tensors ?? untrainedValues(bindAdapter(method, { ...encoderFacts(encoder), name }).parameters, encoder);
}

/** A head as it is saved: with first values where it has none yet. */
export async function packedHead(head: AttachedHead, encoder: Encoder): Promise<HeadPackage> {
  return { ...head, tensors: head.tensors ?? (await untrainedValues(headParameters(head, encoder.config), encoder)) };
}
