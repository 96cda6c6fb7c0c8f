import { allocate, asFloat32, fail, type Tensor } from '../base/index.ts';
import { bindShape, evaluateDim, evaluateShape, type Nd, nameOf, type Program, partsOf, type Value } from '../graph/index.ts';
import { bindFeeds, type Engine, type Feeds, isFileWeight, type Session, type Weights } from './session.ts';

/**
 * The reference engine: every operator's plain float64 meaning, in TypeScript. It judges the others, checks gradients by
 * finite differences, and lets unit tests run without a native binary. Slow by design. Float outputs are float64.
 */
export function referenceEngine(): Engine {
  let compilations = 0;
  return {
    name: 'reference',
    get compilations() {
      return compilations;
    },
    async compile(program, weights) {
      compilations++;
      return referenceSession(program, await loadWeights(program, weights));
    },
  };
}

async function loadWeights(program: Program, weights: Weights): Promise<Map<Value, Nd>> {
  const loaded = new Map<Value, Nd>();
  for (const value of partsOf(program).weights) {
    const name = nameOf(value) as string;
    const weight =
      weights.get(name) ?? fail({ code: 'graph.invalid', subject: `weight '${name}'`, found: 'nothing', expected: 'a tensor' });
    bindShape(`weight '${name}'`, value.shape, weight.shape, new Map());
    loaded.set(value, toNd(isFileWeight(weight) ? await weight.read() : weight));
  }
  return loaded;
}

function referenceSession(program: Program, weights: ReadonlyMap<Value, Nd>): Session {
  const { nodes, inputs } = partsOf(program);
  return {
    async run(feeds: Feeds) {
      const bindings = bindFeeds(inputs, feeds, true);
      const values = new Map<Value, Nd>(weights);
      for (const value of inputs) values.set(value, toNd(feeds[nameOf(value) as string] as Tensor));
      for (const node of nodes) {
        if (node.op.name === 'Input' || node.op.name === 'Weight') continue;
        if (node.op.name === 'Constant') {
          values.set(node.outputs[0], toNd(node.attributes.value as Tensor));
          continue;
        }
        const shapes = node.outputs.map((output) => evaluateShape(output.shape, bindings)) as [number[], ...number[][]];
        const results = node.op.reference(
          node.inputs.map((value) => values.get(value) as Nd),
          node.attributes,
          shapes,
          (dim) => evaluateDim(dim, bindings),
        );
        node.outputs.forEach((output, i) => void values.set(output, results[i] as Nd));
      }
      return Object.fromEntries(Object.entries(program.outputs).map(([name, value]) => [name, deliver(value, values.get(value) as Nd)]));
    },
    async release() {},
  };
}

function deliver(value: Value, { shape, data }: Nd): Tensor {
  const dtype = value.dtype === 'float32' ? 'float64' : value.dtype;
  const target = allocate(dtype, data.length);
  if (target instanceof BigInt64Array || target instanceof BigUint64Array)
    for (let i = 0; i < data.length; i++) target[i] = BigInt(data[i] as number);
  else target.set(data);
  return { dtype, shape, data: target };
}

function toNd(value: Tensor): Nd {
  const data = value.dtype === 'float16' || value.dtype === 'bfloat16' ? asFloat32(value, 'a weight') : value.data;
  const bigints = data instanceof BigInt64Array || data instanceof BigUint64Array;
  return { shape: value.shape, data: bigints ? Float64Array.from(data as ArrayLike<bigint>, Number) : new Float64Array(data) };
}
