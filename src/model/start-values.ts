import type { Tensor } from '../base/tensor.ts';
import type { EncoderWeight } from '../encoders/index.ts';
import type { Initializer, ParameterSpec } from '../nn/index.ts';
import { ParameterStore } from '../update/index.ts';
import { type Model, trainableParameters } from './model.ts';

/**
 * A store of what trains with its first values, and the values of what does not train and is not the checkpoint's. What is
 * neither in the checkpoint, nor a copy of something there, nor in `initial` is drawn from `seed`.
 */
export async function startStore(
  model: Model,
  seed: number,
  { initial = new Map(), more = [] }: { readonly initial?: ReadonlyMap<string, Tensor>; readonly more?: readonly ParameterSpec[] } = {},
): Promise<{ readonly store: ParameterStore; readonly fixed: ReadonlyMap<string, Tensor> }> {
  const { weights } = model.encoder;
  const { anew = new Map<string, Initializer>(), copies = new Map<string, string>(), frozen = [] } = model.attachment.start ?? {};
  const store = new ParameterStore([...trainableParameters(model), ...more]);
  const untrained = [...anew].filter(([name]) => !store.values().has(name));
  const shapeOf = (name: string) => (weights.get(name) as EncoderWeight).shape;
  const rest = new ParameterStore([...frozen, ...untrained.map(([name, init]) => ({ name, shape: shapeOf(name), init, decay: false }))]);
  for (const part of [store, rest]) {
    part.initialize(seed);
    for (const { name } of part.specs) {
      const source = copies.get(name) ?? (anew.has(name) ? undefined : name);
      const value = initial.get(name) ?? (source === undefined ? undefined : await weights.get(source)?.read());
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
