import { describe, expect, it } from 'vitest';
import { nodeFiles } from '../base/files-node.ts';
import { createRandom } from '../base/random.ts';
import { float32, type Tensor } from '../base/tensor.ts';
import { type LinearSite, linearPath, loadEncoder } from '../encoders/index.ts';
import { add, concat, gemm, input, matmul, mul, reduceSum, reshape, scalar, slice, softmax, type Value } from '../graph/index.ts';
import { noDropout } from '../nn/index.ts';
import { nodeEngine } from '../session/node.ts';
import { checkGradient } from '../testing/index.ts';
import { attachComposition } from './compose.ts';
import { fuse } from './composition.ts';
import { fusionConfig } from './fusion.ts';
import { configureMethod } from './registry.ts';

const { config, family } = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');
// Narrow, so that every element can be moved.
const encoder = { ...config, hidden: 6, intermediate: 9, heads: 1, embedding: 6 };
const adapters = new Map([
  ['a', configureMethod('lora[r=3, alpha=6, intermediate_lora=True]')],
  ['b', configureMethod('lora[r=2, alpha=1, intermediate_lora=True]')],
]);
const setup = fuse(['a', 'b'], { name: 'f' });
const attached = attachComposition(
  setup,
  { adapters, fusions: new Map([['f', fusionConfig()]]), trainAdapters: true },
  { encoder, family },
);

describe('a fusion of LoRA adapters', () => {
  it.each(['query', 'intermediate'] as const)(
    'mixes their updates at a linear by the formula, and its gradient holds three ways: %s',
    async (name) => {
      const width = name === 'intermediate' ? encoder.intermediate : encoder.hidden;
      const specs = attached.parameters.filter((spec) => spec.name.startsWith(`${linearPath(family, name, 1)}.`));
      expect(specs).toHaveLength(5 + 4);
      const tensors: Record<string, Tensor> = { x: filled('x', [3, encoder.hidden]), y: filled('y', [3, width]) };
      for (const spec of specs) tensors[spec.name] = filled(spec.name, spec.shape);
      const site = (values: Record<string, Value>) => siteOf(name, 1, values.x as Value, values.y as Value);
      const draw = (values: Record<string, Value>) =>
        attached.hooks((key) => values[key] as Value, noDropout).linear?.(site(values)) as Value;

      const leaves = Object.fromEntries(Object.entries(tensors).map(([key, { shape }]) => [key, input(key, 'float32', shape)]));
      const engine = await nodeEngine({ threads: 1 });
      const session = await engine.compile({ outputs: { ours: draw(leaves), literal: literal(leaves, name) } }, new Map());
      const { ours, literal: expected } = await session.run(tensors);
      expect(ours?.shape).toEqual([3, width]);
      ours?.data.forEach((value, i) => void expect(Number(value)).toBeCloseTo(Number(expected?.data[i]), 4));

      await checkGradient({
        name: `LoRA fusion at ${name}`,
        inputs: tensors,
        shapes: Object.fromEntries(Object.entries(tensors).map(([key, { shape }]) => [key, [...shape]])),
        build: (values) => draw(values as Record<string, Value>),
        engines: [engine],
        // Equal for all adapters, it vanishes in the softmax: rounding is all there is to compare.
        frozen: [`${linearPath(family, name, 1)}.adapter_fusion_layer.f.key.bias`],
      });
    },
  );

  it('leaves linears alone that none of them adapts', () => {
    const y = input('y', 'float32', [3, encoder.hidden]);
    expect(attached.hooks(() => y, noDropout).linear?.(siteOf('key', 0, y, y))).toBe(y);
  });

  const fusedWith = (text: string) => {
    const methods = new Map([
      ['a', configureMethod(text)],
      ['b', configureMethod('lora[r=2]')],
    ]);
    return () => attachComposition(setup, { adapters: methods, fusions: new Map([['f', fusionConfig()]]) }, { encoder, family });
  };

  it('takes VeRA, whose update is of low rank too', () => {
    expect(fusedWith('vera[r=2]')().parameters.map(({ name }) => name)).toContain('bert.shared_parameters.a.lora_A');
  });

  it.each(['dora', 'dvora', 'lora[use_gating=True]', "ia3[attn_matrices=['q','v'], intermediate_lora=False]"])(
    'refuses what is not of low rank: %s',
    (text) => {
      expect(fusedWith(text)).toThrow(`adapter 'a': found the method ${text}, whose linear cannot be fused`);
    },
  );
});

function siteOf(name: string, layer: number, x: Value, y: Value): LinearSite {
  const rows = { batch: 1, length: 3, first: 0 };
  return { ...rows, layer, module: layer, own: x, name, x, y, weight: y, bias: undefined };
}

/** y + W_v Σ α_a u_a with u_a = (alpha/r)·B A x and α = softmax over (W_q y + b_q)·(W_k u_a + b_k). */
function literal(values: Record<string, Value>, name: 'query' | 'intermediate'): Value {
  const path = linearPath(family, name, 1);
  const own = (tail: string) => values[`${path}.adapter_fusion_layer.f.${tail}`] as Value;
  const us = [
    ['a', 2],
    ['b', 0.5],
  ].map(([adapter, scale]) => {
    const low = matmul(values.x as Value, values[`${path}.loras.${adapter}.lora_A`] as Value, { transB: true });
    return mul(matmul(low, values[`${path}.loras.${adapter}.lora_B`] as Value, { transB: true }), scalar(scale as number));
  });
  const q = gemm(values.y as Value, own('query.weight'), own('query.bias'), { transB: true });
  const scores = us.map((u) => reduceSum(mul(q, gemm(u, own('key.weight'), own('key.bias'), { transB: true })), [1]));
  const attention = softmax(concat(scores, 1));
  const mixed = us.map((u, i) => mul(matmul(u, own('value.weight'), { transB: true }), slice(attention, 1, i, i + 1))).reduce(add);
  return add(values.y as Value, reshape(mixed, (values.y as Value).shape));
}

function filled(name: string, shape: readonly number[]): Tensor {
  const random = createRandom(4, ...Array.from(name, (letter) => letter.charCodeAt(0)));
  return float32(
    shape,
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 0.3 * random.normal()),
  );
}
