import type { Tensor } from '../base/index.ts';
import { type Encoder, encoderSpecs } from '../encoders/index.ts';
import type { Initializer, ParameterSpec } from '../nn/index.ts';
import { ParameterStore } from '../update/index.ts';
import { fillStore, firstValues } from './first-values.ts';
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
  const rest = new ParameterStore([...frozenParameters(model), ...untrained].map(drawnAnew));
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

/** A tensor for all that a model adds to its encoder: the known ones, and first values where there are none yet. */
export async function valuesOf(model: Model, known: ReadonlyMap<string, Tensor>): Promise<ReadonlyMap<string, Tensor>> {
  const missing = [...trainableParameters(model), ...frozenParameters(model)].filter(({ name }) => !known.has(name));
  return missing.length === 0 ? known : new Map([...(await untrainedValues(missing, model.encoder)), ...known]);
}

/** First values of what is attached to an encoder and was neither trained nor loaded. */
export function untrainedValues(specs: readonly ParameterSpec[], encoder: Pick<Encoder, 'weights'>): Promise<ReadonlyMap<string, Tensor>> {
  return firstValues(specs, encoder, { seed: UNTRAINED_SEED });
}

/** What an attachment adds that does not train, but for what the model holds already: the adapters under a fusion. */
function frozenParameters({ attachment, frozen }: Model): ParameterSpec[] {
  return attachment.parameters.filter(({ name, trains }) => trains === false && !frozen?.has(name));
}
