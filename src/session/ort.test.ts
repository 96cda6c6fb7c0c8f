import { expect, it } from 'vitest';
import { float32, type Tensor } from '../base/tensor.ts';
import { decodeOnnx } from '../formats/onnx.ts';
import { add, input, weight } from '../graph/index.ts';
import { type Ort, ortEngine, type SessionPlan } from './ort.ts';
import type { FileWeight, Weights } from './session.ts';

const program = {
  outputs: { y: add(add(input('x', 'float32', [2]), weight('far', 'float32', [2])), weight('near', 'float32', [2])) },
};

/** A runtime that returns what it is fed, on a platform that has the weight 'far' in a buffer; plans have these keys in turn. */
function platform(...keys: string[]) {
  const created: { model: ReturnType<typeof decodeOnnx>; options: object }[] = [];
  const seen = { created, released: 0, read: [] as string[], planned: [] as string[] };
  const ort: Ort = {
    InferenceSession: {
      async create(bytes, options) {
        created.push({ model: decodeOnnx(bytes, 'the model'), options });
        return {
          inputNames: ['input_0'],
          run: async (feeds: Record<string, unknown>) => ({ output_0: feeds.input_0 }),
          release: async () => void seen.released++,
        };
      },
    },
    Tensor: class {
      readonly type: string;
      readonly data: unknown;
      readonly dims: readonly number[];
      constructor(type: string, data: unknown, dims: readonly number[]) {
        [this.type, this.data, this.dims] = [type, data, dims];
      }
    },
  };
  const file = (name: string): FileWeight => ({
    dtype: 'float32',
    shape: [2],
    file: 'https://example.org/model.safetensors',
    offset: 8,
    byteLength: 8,
    inPlace: true,
    async read(): Promise<Tensor> {
      seen.read.push(name);
      return float32([2], [1, 2]);
    },
  });
  const plan = async (weights: Weights): Promise<SessionPlan> => {
    seen.planned.push(...weights.keys());
    const external = new Map([['far', { location: 'buffer', offset: 16, byteLength: 8 }]]);
    return {
      external,
      key: keys.shift() ?? 'buffers',
      options: { executionProviders: ['wasm'], externalData: [{ path: 'buffer', data: new Uint8Array(24) }] },
    };
  };
  const weights = new Map(['far', 'near', 'unused'].map((name) => [name, file(name)]));
  return { engine: ortEngine({ name: 'web', ort, plan, digest: async (bytes) => bytes.join() }), weights, seen };
}

it('the engine of a platform leaves out of the model what the plan says, and gives its options to the session', async () => {
  const { engine, weights, seen } = platform();
  const session = await engine.compile(program, weights);
  expect(engine).toMatchObject({ name: 'web', compilations: 1 });
  expect(engine).not.toHaveProperty('memory');
  expect(seen.planned).toEqual(['far', 'near']);
  expect(seen.read).toEqual(['near']);
  const [{ model, options }] = seen.created as [(typeof seen.created)[number]];
  expect(model.graph.initializer.map((initializer) => ('external' in initializer ? initializer.external : 'bytes'))).toEqual([
    { location: 'buffer', offset: 16, length: 8 },
    'bytes',
  ]);
  expect(options).toMatchObject({
    executionProviders: ['wasm'],
    externalData: [{ path: 'buffer' }],
    enableMemPattern: false,
    graphOptimizationLevel: 'all',
  });
  expect((await session.run({ x: float32([2], [3, 4]) })).y).toEqual(float32([2], [3, 4]));
});

it('a session is shared where programs and external data are equal, and goes with its last user', async () => {
  const { engine, weights, seen } = platform();
  const [first, second] = [await engine.compile(program, weights), await engine.compile(program, weights)];
  expect(engine.compilations).toBe(1);
  await first.release();
  await first.release();
  expect(seen.released).toBe(0);
  await second.release();
  expect(seen.released).toBe(1);
  await engine.compile(program, weights);
  expect(engine.compilations).toBe(2);
});

it('equal programs over other external data are other sessions', async () => {
  const { engine, weights } = platform('a file', 'another');
  await engine.compile(program, weights);
  await engine.compile(program, weights);
  expect(engine.compilations).toBe(2);
});
