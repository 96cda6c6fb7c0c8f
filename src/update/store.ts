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
  readonly #offsets: ReadonlyMap<string, number>;
  readonly #generations: readonly [Record<Part, Float32Array>, Record<Part, Float32Array>];
  #current: 0 | 1 = 0;

  constructor(specs: readonly ParameterSpec[]) {
    this.specs = specs;
    const offsets = new Map<string, number>();
    let size = 0;
    for (const { name, shape } of specs) {
      invariant(!offsets.has(name), `two parameters named '${name}'`);
      offsets.set(name, size);
      size += elementCount(shape);
    }
    this.size = size;
    this.#offsets = offsets;
    const make = () => ({ value: new Float32Array(size), moment1: new Float32Array(size), moment2: new Float32Array(size) });
    this.#generations = [make(), make()];
  }

  /** Fills every parameter by its initialiser; each has a stream of its own, so adding one changes no other. */
  initialize(seed: number): void {
    for (const spec of this.specs) fill(this.get(spec.name).data as Float32Array, spec.init, mix(seed, ...letters(spec.name)));
  }

  /** The current value of a parameter: a view. */
  get(name: string): Tensor {
    return this.#view(this.#current, 'value', this.#spec(name));
  }

  set(name: string, values: Float32Array): void {
    (this.get(name).data as Float32Array).set(values);
  }

  /** All current values by name: views. */
  values(): Map<string, Tensor> {
    return new Map(this.specs.map((spec) => [spec.name, this.#view(this.#current, 'value', spec)]));
  }

  /** Views of one part of the current or the next generation, under `prefix` + name. */
  views(generation: 'current' | 'next', part: Part, prefix: string): Record<string, Tensor> {
    const which = generation === 'current' ? this.#current : ((1 - this.#current) as 0 | 1);
    return Object.fromEntries(this.specs.map((spec) => [prefix + spec.name, this.#view(which, part, spec)]));
  }

  /** Makes the written generation the current one. */
  advance(): void {
    this.#current = (1 - this.#current) as 0 | 1;
  }

  /** Everything needed to continue, as three flat tensors: views. */
  state(): Map<string, Tensor> {
    return new Map(PARTS.map((part) => [part, { dtype: 'float32', shape: [this.size], data: this.#generations[this.#current][part] }]));
  }

  restore(state: ReadonlyMap<string, Tensor>): void {
    for (const part of PARTS) {
      const saved = state.get(part);
      invariant(saved?.data.length === this.size, `a saved state of ${saved?.data.length} numbers for ${this.size} parameters`);
      this.#generations[this.#current][part].set(saved.data as Float32Array);
    }
  }

  #spec(name: string): ParameterSpec {
    const spec = this.specs.find((one) => one.name === name);
    invariant(spec, `no parameter '${name}'`);
    return spec;
  }

  #view(generation: 0 | 1, part: Part, { name, shape }: ParameterSpec): Tensor {
    const start = this.#offsets.get(name) as number;
    return { dtype: 'float32', shape, data: this.#generations[generation][part].subarray(start, start + elementCount(shape)) };
  }
}

function letters(text: string): number[] {
  return Array.from(text, (letter) => letter.charCodeAt(0));
}

function fill(data: Float32Array, init: Initializer, seed: number): void {
  const random = createRandom(seed);
  const draw = (): number => {
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
    }
  };
  for (let i = 0; i < data.length; i++) data[i] = draw();
}
