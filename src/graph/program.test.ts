import { describe, expect, it } from 'vitest';
import { float32 } from '../base/tensor.ts';
import { toOnnx } from '../onnx/model.ts';
import { gradients } from './grad.ts';
import {
  add,
  cast,
  concat,
  exp,
  gelu,
  gemm,
  layerNorm,
  mul,
  neg,
  reduceMean,
  reduceSum,
  reshape,
  slice,
  sub,
  tanh,
  transpose,
} from './ops/index.ts';
import { type Program, partsOf, print, verify } from './program.ts';
import { optimize } from './rewrite/index.ts';
import { constant, input, type Node, scalar, topological, type Value, weight } from './value.ts';

const x = input('x', 'float32', ['B', 4]);

function forged(node: Node, type: Partial<Value>): Value {
  const outputs: Value[] = [];
  const copy: Node = { ...node, outputs: outputs as readonly Value[] as Node['outputs'] };
  outputs.push({ ...node.outputs[0], ...type, node: copy });
  return copy.outputs[0];
}

describe('verify', () => {
  it('accepts what the operators draw', () => {
    verify({ outputs: { y: layerNorm(reshape(x, ['2*B', 2]), weight('g', 'float32', [2]), weight('b', 'float32', [2]), 1e-5) } });
  });

  it('catches a forged shape, element type and number of outputs', () => {
    const { node } = tanh(x);
    expect(() => verify({ outputs: { y: forged(node, { shape: ['B', 5] }) } })).toThrow(
      'output 0 of Tanh: found float32[B,5]; expected float32[B,4].',
    );
    expect(() => verify({ outputs: { y: forged(node, { dtype: 'int32' }) } })).toThrow(
      'output 0 of Tanh: found int32[B,4]; expected float32[B,4].',
    );
    const norm = layerNorm(x, weight('g', 'float32', [4]), weight('b', 'float32', [4]), 1e-5).node;
    expect(() => verify({ outputs: { y: forged(norm, {}) } })).toThrow(
      'output 1 of LayerNormalization: found none; expected float32[B,1].',
    );
  });

  it('catches forged inputs that the operator refuses', () => {
    const { node } = add(x, x);
    const wrong: Node = { ...node, inputs: [x, input('z', 'float32', ['S', 4])] };
    expect(() => verify({ outputs: { y: forged(wrong, {}) } })).toThrow('Add: found [B,4] and [S,4]; expected shapes that broadcast.');
  });

  it('catches a symbol that no input fixes', () => {
    const y = reshape(weight('w', 'float32', [4]), [4]);
    expect(() => verify({ outputs: { y: concat([y, input('n', 'float32', ['B*S'])], 0) } })).toThrow(
      "dimension 'B' of Input: found no input that fixes it.",
    );
  });

  it('catches two inputs or weights of one name', () => {
    expect(() => verify({ outputs: { y: add(x, input('x', 'float32', ['B', 4])) } })).toThrow(
      "input or weight 'x': found two of that name; expected one.",
    );
    expect(() => partsOf({ outputs: { y: add(x, weight('x', 'float32', [4])) } })).toThrow("input or weight 'x'");
  });
});

it('a program is printed one node a line, names and constants shown', () => {
  const h = gemm(x, weight('w', 'float32', [3, 4]), constant(float32([3], [1, 2, 3])), { transB: true });
  const [first] = [slice(transpose(reshape(h, ['B', 3, 1]), [2, 0, 1]), 2, 0, 2)];
  expect(print({ outputs: { first, again: first, mean: reduceMean(cast(cast(h, 'int32'), 'float32'), [-1]) } })).toMatchInlineSnapshot(`
    "x: float32[B,4] = Input()
    w: float32[3,4] = Weight()
    %0: float32[3] = Constant() 1 2 3
    %1: float32[B,3] = Gemm(x, w, %0, transB=true)
    %2: float32[B,3,1] = Reshape(%1)
    %3: float32[1,B,3] = Transpose(%2, perm=2,0,1)
    %4: float32[1,B,2] = Slice(%3, axis=2, start=0, end=2)
    %5: int32[B,3] = Cast(%1, to=int32)
    %6: float32[B,3] = Cast(%5, to=float32)
    %7: float32[B,1] = ReduceMean(%6, axes=-1)
    first <- %4
    again <- %4
    mean <- %7"
  `);
});

describe('large programs', () => {
  const total = (value: Value) => reshape(reduceSum(value, [0]), []);
  const bytesOf = (program: Program) => toOnnx(program, () => ({ tensor: float32([8], new Float32Array(8)) })).bytes.length;

  it('20,000 nodes deep overflow no stack, and rules fire on the way', () => {
    const v = input('v', 'float32', ['B']);
    const steps = [(h: Value) => tanh(h), (h: Value) => add(h, v), (h: Value) => mul(h, scalar(1.0001)), (h: Value) => sub(h, neg(v))];
    let h: Value = v;
    for (let i = 0; i < 20_000; i++) h = (steps[i % 4] as (h: Value) => Value)(h);
    const loss = total(h);
    const [dv] = gradients(loss, [v]) as [Value];
    const before = { outputs: { loss, dv } };
    expect(topological([loss]).length).toBeGreaterThan(20_000);
    verify(before);
    const after = optimize(before);
    verify(after);
    expect(partsOf(after).nodes.length).toBeLessThan(partsOf(before).nodes.length - 5000);
    expect(print(after).split('\n').length).toBe(partsOf(after).nodes.length + 2);
    expect(bytesOf(after)).toBeGreaterThan(500_000);
  });

  it('of 5,000 nodes are optimised and written within a second', () => {
    const rows = input('rows', 'float32', ['B', 'S', 8]);
    const trained: Value[] = [];
    let h = reshape(rows, ['B*S', 8]);
    for (let i = 0; i < 130; i++) {
      const [w, b] = [input(`w${i}`, 'float32', [8, 8]), input(`b${i}`, 'float32', [8])];
      trained.push(w, b);
      h = layerNorm(add(h, gelu(gemm(h, w, b, { transB: true }))), weight(`g${i}`, 'float32', [8]), b, 1e-5);
    }
    const loss = reshape(reduceMean(exp(h), [0, 1]), []);
    const program = { outputs: { loss, ...Object.fromEntries(gradients(loss, trained).map((value, i) => [`d${i}`, value])) } };
    expect(partsOf(program).nodes.length).toBeGreaterThan(5000);
    // Processor time, and the best of several: other work on the machine must not decide.
    let best = Number.POSITIVE_INFINITY;
    for (let run = 0; run < 5 && best > 500; run++) {
      const start = process.cpuUsage();
      bytesOf(optimize(program));
      best = Math.min(best, process.cpuUsage(start).user / 1000);
    }
    expect(best).toBeLessThan(1000);
  });
});
