import type { Tensor } from '../base/tensor.ts';
import type { ParameterSpec } from '../nn/index.ts';
import { ParameterStore } from '../update/index.ts';
import { type Model, trainableParameters } from './model.ts';

/** Values of parameters that were neither trained nor loaded are drawn from this seed. */
const UNTRAINED_SEED = 1;

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
