import { elementCount, float32, type Tensor } from '../base/index.ts';
import type { ModuleBank, ParameterSpec } from '../nn/index.ts';

/** The values of modules of one shape side by side, as a {@link ModuleBank} is fed: no run copies them. */
export class ModuleStore {
  readonly #shapes: readonly (readonly number[])[];
  readonly #slots = new Map<string, { readonly slot: number; readonly version: readonly unknown[] }>();
  #data: Float32Array[];
  #room = 0;

  constructor(specs: readonly Pick<ParameterSpec, 'shape'>[]) {
    this.#shapes = specs.map(({ shape }) => shape);
    this.#data = specs.map(() => new Float32Array(0));
  }

  /** The number of the module of that name, if its values are those of `version`. */
  find(name: string, version: readonly unknown[]): number | undefined {
    const known = this.#slots.get(name);
    return known?.version.length === version.length && known.version.every((part, i) => part === version[i]) ? known.slot : undefined;
  }

  /** Keeps values, one for each specification, under a name, in the place of what had that name. Returns its number. */
  put(name: string, version: readonly unknown[], values: readonly Tensor[]): number {
    const slot = this.#slots.get(name)?.slot ?? this.#slots.size;
    if (slot === this.#room) this.#grow();
    this.#slots.set(name, { slot, version });
    values.forEach((value, i) => {
      const size = elementCount(this.#shapes[i] as readonly number[]);
      (this.#data[i] as Float32Array).set(value.data as Float32Array, slot * size);
    });
    return slot;
  }

  feeds({ inputs }: Pick<ModuleBank, 'inputs'>): Record<string, Tensor> {
    const count = this.#slots.size;
    return Object.fromEntries(
      this.#shapes.map((shape, i) => {
        const data = (this.#data[i] as Float32Array).subarray(0, count * elementCount(shape));
        return [inputs[i] as string, float32([count, ...shape], data)];
      }),
    );
  }

  /** Twice the room: what is there is copied seldom. */
  #grow(): void {
    this.#room = Math.max(1, 2 * this.#room);
    this.#data = this.#data.map((before, i) => {
      const grown = new Float32Array(this.#room * elementCount(this.#shapes[i] as readonly number[]));
      grown.set(before);
      return grown;
    });
  }
}
