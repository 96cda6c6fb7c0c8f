import type { Tensor } from '../base/tensor.ts';
import type { HeadPackage, HeadTraining } from '../checkpoint/index.ts';
import type { Encoder } from '../encoders/index.ts';
import type { ConfiguredMethod, FusionConfig } from '../methods/index.ts';
import type { ParameterSpec } from '../nn/index.ts';
import { type Head, headParameters } from '../objectives/index.ts';
import { ParameterStore } from '../update/index.ts';
import { type Model, trainableParameters } from './model.ts';

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

/** Values of parameters that were neither trained nor loaded are drawn from this seed. */
const UNTRAINED_SEED = 1;

/** An adapter's tensors by full name, drawn where it has none yet. */
export function adapterTensors(name: string, { method: { method, config }, tensors }: Attached, encoder: Encoder) {
  return tensors ?? drawn(method.parameters(config, { encoder: encoder.config, family: encoder.family, name }));
}

/** A head as it is saved, its tensors drawn where it has none yet. */
export function packedHead(head: AttachedHead, encoder: Encoder): HeadPackage {
  return { ...head, tensors: head.tensors ?? drawn(headParameters(head, encoder.config.hidden)) };
}

/** A tensor for every parameter of a model: the known ones, and drawn ones where there are none yet. */
export function valuesOf(model: Model, known: ReadonlyMap<string, Tensor>): ReadonlyMap<string, Tensor> {
  const specs = trainableParameters(model);
  return specs.every(({ name }) => known.has(name)) ? known : new Map([...drawn(specs), ...known]);
}

/** Each parameter has a stream of its own: what is drawn does not depend on what else is. */
export function drawn(specs: readonly ParameterSpec[]): ReadonlyMap<string, Tensor> {
  const store = new ParameterStore(specs);
  store.initialize(UNTRAINED_SEED);
  return store.values();
}
