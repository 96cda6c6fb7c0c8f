import { invariant } from '../base/errors.ts';
import { createRandom, mix } from '../base/random.ts';
import { elementCount, type Tensor } from '../base/tensor.ts';
import type { Initializer, ParameterSpec } from '../nn/index.ts';

type Part = 'value' | 'moment1' | 'moment2';
const PARTS: readonly Part[] = ['value', 'moment1', 'moment2'];

/**
 * Trainable parameters with their moments, in two generations used in turn: a step reads one and writes the other, so
 * nothing is allocated per step and a failed step leaves the last good one untouched.
 */
export class ParameterStore {
  readonly specs: readonly ParameterSpec[];
  readonly size: number;
  readonly #generations: readonly [Generation, Generation];
  #current: 0 | 1 = 0;

  constructor(specs: readonly ParameterSpec[]) {
    const names = new Set<string>();
    for (const { name } of specs) {
      invariant(!names.has(name), `two parameters named '${name}'`);
      names.add(name);
    }
    this.specs = specs;
    this.size = specs.reduce((sum, { shape }) => sum + elementCount(shape), 0);
    this.#generations = [createGeneration(specs, this.size), createGeneration(specs, this.size)];
  }

  /** Fills every parameter by its initialiser; each has a stream of its own, so adding one changes no other. */
  initialize(seed: number): void {
    for (const spec of this.specs) fill(this.get(spec.name).data as Float32Array, spec.init, mix(seed, ...letters(spec.name)));
  }

  /** The current value of a parameter: a view. */
  get(name: string): Tensor {
    const view = this.#generations[this.#current].value.views.get(name);
    invariant(view, `no parameter '${name}'`);
    return view;
  }

  set(name: string, values: Float32Array): void {
    (this.get(name).data as Float32Array).set(values);
  }

  /** All current values by name: views. */
  values(): ReadonlyMap<string, Tensor> {
    return this.#generations[this.#current].value.views;
  }

  /** Views of one part of the current or the next generation, under `prefix` + name. */
  views(generation: 'current' | 'next', part: Part, prefix: string): Record<string, Tensor> {
    const which = generation === 'current' ? this.#current : ((1 - this.#current) as 0 | 1);
    return Object.fromEntries([...this.#generations[which][part].views].map(([name, view]) => [prefix + name, view]));
  }

  /** Makes the written generation the current one. */
  advance(): void {
    this.#current = (1 - this.#current) as 0 | 1;
  }

  /** Takes back what the last step did to a parameter and its moments. */
  takeBack(name: string): void {
    const [now, before] = [this.#generations[this.#current], this.#generations[(1 - this.#current) as 0 | 1]];
    for (const part of PARTS) {
      const [target, source] = [now[part].views.get(name), before[part].views.get(name)];
      invariant(target && source, `no parameter '${name}'`);
      (target.data as Float32Array).set(source.data as Float32Array);
    }
  }

  /** Everything needed to continue, as three flat tensors: views. */
  state(): Map<string, Tensor> {
    return new Map(
      PARTS.map((part) => [part, { dtype: 'float32', shape: [this.size], data: this.#generations[this.#current][part].data }]),
    );
  }

  restore(state: ReadonlyMap<string, Tensor>): void {
    for (const part of PARTS) {
      const saved = state.get(part);
      invariant(saved?.data.length === this.size, `a saved state of ${saved?.data.length} numbers for ${this.size} parameters`);
      this.#generations[this.#current][part].data.set(saved.data as Float32Array);
    }
  }
}

/** One flat buffer, and every parameter's piece of it. */
interface Numbers {
  readonly data: Float32Array;
  readonly views: ReadonlyMap<string, Tensor>;
}
type Generation = Readonly<Record<Part, Numbers>>;

function createGeneration(specs: readonly ParameterSpec[], size: number): Generation {
  const numbers = (): Numbers => {
    const data = new Float32Array(size);
    const views = new Map<string, Tensor>();
    let start = 0;
    for (const { name, shape } of specs) {
      const end = start + elementCount(shape);
      views.set(name, { dtype: 'float32', shape, data: data.subarray(start, end) });
      start = end;
    }
    return { data, views };
  };
  return { value: numbers(), moment1: numbers(), moment2: numbers() };
}

function letters(text: string): number[] {
  return Array.from(text, (letter) => letter.charCodeAt(0));
}

function fill(data: Float32Array, init: Initializer, seed: number): void {
  const random = createRandom(seed);
  const draw = (i: number): number => {
    switch (init.kind) {
      case 'constant':
        return init.value;
      case 'normal':
        return init.deviation * random.normal();
      case 'fan-in-uniform':
        return (2 * random.uniform() - 1) / Math.sqrt(init.fanIn);
      case 'truncated-normal': {
        let value = init.deviation * random.normal();
        while (Math.abs(value) > init.limit) value = init.deviation * random.normal();
        return value;
      }
      case 'near-identity':
        return i % (Math.sqrt(data.length) + 1) === 0 ? 1 : init.off;
    }
  };
  for (let i = 0; i < data.length; i++) data[i] = draw(i);
}
