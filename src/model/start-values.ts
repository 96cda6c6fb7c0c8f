import type { Tensor } from '../base/tensor.ts';
import { encoderSpecs } from '../encoders/index.ts';
import type { Initializer, ParameterSpec } from '../nn/index.ts';
import { ParameterStore } from '../update/index.ts';
import { fillStore } from './first-values.ts';
import { type Model, trainableParameters } from './model.ts';

/**
 * A store of what trains with its first values, and the values of what does not train and is neither the checkpoint's nor the
 * model's. What is neither in the checkpoint, nor made of something there, nor in `initial` is drawn from `seed`. `more` trains
 * beside the model.
 */
export async function startStore(
  model: Model,
  seed: number,
  { initial = new Map(), more = [] }: { readonly initial?: ReadonlyMap<string, Tensor>; readonly more?: readonly ParameterSpec[] } = {},
): Promise<{ readonly store: ParameterStore; readonly fixed: ReadonlyMap<string, Tensor> }> {
  const { encoder, attachment } = model;
  const { anew = new Map<string, Initializer>() } = attachment;
  const drawnAnew = <S extends ParameterSpec>(spec: S): S => ({ ...spec, init: anew.get(spec.name) ?? spec.init });
  const store = new ParameterStore([...trainableParameters(model).map(drawnAnew), ...more]);
  const untrained = encoderSpecs(encoder.family, encoder.config).filter(({ name }) => anew.has(name) && !store.values().has(name));
  // What the model holds stays what it is: the adapters under a fusion.
  const frozen = attachment.parameters.filter(({ name, trains }) => trains === false && !model.frozen?.has(name));
  const rest = new ParameterStore([...frozen, ...untrained].map(drawnAnew));
  for (const part of [store, rest]) {
    await fillStore(part, encoder, { seed, anew });
    for (const { name } of part.specs) {
      const value = initial.get(name);
      if (value) part.set(name, value.data as Float32Array);
    }
  }
  const others = [...initial].filter(([name]) => !store.values().has(name));
  return { store, fixed: new Map([...rest.values(), ...others]) };
}

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
