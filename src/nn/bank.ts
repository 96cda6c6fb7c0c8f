import { int32, type Tensor } from '../base/index.ts';
import { type Dim, gather, input, type Many, type ModuleAxis, nameOf, type Value } from '../graph/index.ts';
import type { ParameterSpec, Parameters } from './parameters.ts';

/**
 * Modules of one shape, drawn once: what the drawing reads is that of one of them, and the program's inputs hold those of all side by
 * side. Which item has which is an input too, so that one module more needs no other program.
 */
export interface ModuleBank {
  /** Of each input that holds a parameter, in the order of the specifications: its name. */
  readonly inputs: readonly string[];
  /** Hands out parameters as a drawing for one item reads them; names that are no parameter's are `others`' own. */
  parameters(others: Parameters): Parameters;
  /** What values of such a drawing are for many; `context` tells these items from others that read the same bank. */
  leaf(value: Value, context: string, items: Dim): Many | undefined;
  /** Says which module each item of a context has, by its number in the bank; of all contexts `used` are the same. */
  feeds(context: string, slots: readonly number[], used?: readonly number[]): Record<string, Tensor>;
}

/** A bank whose inputs begin with `name`; `symbol` stands for how many modules there are. */
export function moduleBank(name: string, symbol: string, specs: readonly Pick<ParameterSpec, 'name' | 'shape'>[]): ModuleBank {
  const inputs = specs.map((_, i) => `${name}.${i}`);
  const places = new Map(specs.map((spec, i) => [spec.name, i]));
  const drawn = new Map<string, Value>();
  const once = (key: string, draw: () => Value): Value => {
    const value = drawn.get(key) ?? draw();
    drawn.set(key, value);
    return value;
  };
  const indices = (key: string, count: Dim) => once(key, () => input(key, 'int32', [count]));
  const [slotsOf, placesOf] = [(context: string) => `${context}.slots`, (context: string) => `${context}.places`];
  const whole = (place: number) => {
    const key = inputs[place] as string;
    return once(key, () => input(key, 'float32', [symbol, ...(specs[place]?.shape ?? [])]));
  };
  const axes = new Map<string, ModuleAxis>();
  const axisOf = (context: string, items: Dim): ModuleAxis => {
    const axis = axes.get(context) ?? { toItems: (value) => gather(value, indices(placesOf(context), items)) };
    axes.set(context, axis);
    return axis;
  };
  return {
    inputs,
    parameters: (others) => (one, shape, facts) =>
      places.has(one) ? once(`one ${one}`, () => input(one, 'float32', shape)) : others(one, shape, facts),
    leaf(value, context, items) {
      const own = nameOf(value);
      const place = own === undefined ? undefined : places.get(own);
      if (place === undefined) return undefined;
      const ofModules = once(`used ${place}`, () => gather(whole(place), indices(`${name}.used`, `${symbol}_used`)));
      return {
        value: ofModules,
        axis: axisOf(context, items),
        ofItems: () => once(`${context} ${place}`, () => gather(whole(place), indices(slotsOf(context), items))),
      };
    },
    feeds(context, slots, used = [...new Set(slots)]) {
      const places = new Map(used.map((slot, place) => [slot, place]));
      const ints = (values: readonly number[]) => int32([values.length], Int32Array.from(values));
      return {
        [`${name}.used`]: ints(used),
        [slotsOf(context)]: ints(slots),
        [placesOf(context)]: ints(slots.map((slot) => places.get(slot) as number)),
      };
    },
  };
}
