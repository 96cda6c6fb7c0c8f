import { createRandom, elementCount, invariant, mix, type Tensor, totalElements } from '../base/index.ts';
import type { Initializer, ParameterSpec } from '../nn/index.ts';

type Part = 'value' | 'moment1' | 'moment2';
const PARTS: readonly Part[] = ['value', 'moment1', 'moment2'];

/** Trainable parameters with their two moments, which a step changes in place. */
export class ParameterStore {
  readonly specs: readonly ParameterSpec[];
  readonly size: number;
  readonly #parts: Readonly<Record<Part, Numbers>>;

  constructor(specs: readonly ParameterSpec[]) {
    const names = new Set<string>();
    for (const { name } of specs) {
      invariant(!names.has(name), `two parameters named '${name}'`);
      names.add(name);
    }
    this.specs = specs;
    this.size = totalElements(specs);
    this.#parts = { value: numbersOf(specs, this.size), moment1: numbersOf(specs, this.size), moment2: numbersOf(specs, this.size) };
  }

  /** Fills every parameter by its initialiser; each has a stream of its own, so adding one changes no other. */
  initialize(seed: number): void {
    for (const spec of this.specs) fill(this.get(spec.name).data as Float32Array, spec.init, streamOf(spec.name, seed));
  }

  /** The current value of a parameter: a view. */
  get(name: string): Tensor {
    return this.#view('value', name);
  }

  set(name: string, values: Float32Array): void {
    (this.get(name).data as Float32Array).set(values);
  }

  /** All current values by name: views. */
  values(): ReadonlyMap<string, Tensor> {
    return this.#parts.value.views;
  }

  /** The numbers of a parameter and of its moments: views, to be changed by an update. */
  numbers(name: string): Readonly<Record<Part, Float32Array>> {
    const [value, moment1, moment2] = PARTS.map((part) => this.#view(part, name).data) as [Float32Array, Float32Array, Float32Array];
    return { value, moment1, moment2 };
  }

  /** Everything needed to continue, as three flat tensors: views. */
  state(): Map<string, Tensor> {
    return new Map(PARTS.map((part) => [part, { dtype: 'float32', shape: [this.size], data: this.#parts[part].data }]));
  }

  restore(state: ReadonlyMap<string, Tensor>): void {
    for (const part of PARTS) {
      const saved = state.get(part);
      invariant(saved?.data.length === this.size, `a saved state of ${saved?.data.length} numbers for ${this.size} parameters`);
      this.#parts[part].data.set(saved.data as Float32Array);
    }
  }

  #view(part: Part, name: string): Tensor {
    const view = this.#parts[part].views.get(name);
    invariant(view, `no parameter '${name}'`);
    return view;
  }
}

/** One flat buffer, and every parameter's piece of it. */
interface Numbers {
  readonly data: Float32Array;
  readonly views: ReadonlyMap<string, Tensor>;
}

function numbersOf(specs: readonly ParameterSpec[], size: number): Numbers {
  const data = new Float32Array(size);
  const views = new Map<string, Tensor>();
  let start = 0;
  for (const { name, shape } of specs) {
    const end = start + elementCount(shape);
    views.set(name, { dtype: 'float32', shape, data: data.subarray(start, end) });
    start = end;
  }
  return { data, views };
}

/** The seed of a parameter's own stream of random numbers. */
export function streamOf(name: string, seed: number): number {
  return mix(seed, ...letters(name));
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
      case 'derived':
        // Computed from weights of the encoder, which a store does not know: it is set afterwards.
        return Number.NaN;
    }
  };
  for (let i = 0; i < data.length; i++) data[i] = draw(i);
}
