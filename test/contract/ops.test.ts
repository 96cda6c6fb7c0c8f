import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { bytesPerElement, type DType, type Tensor, tensor, viewBytes } from '../../src/base/tensor.ts';
import * as graph from '../../src/graph/index.ts';
import {
  type Attributes,
  apply1,
  gemm,
  gradients,
  layerNorm,
  matmul,
  mul,
  OPS,
  type Op,
  reduceSum,
  reshape,
  type Shape,
  type Value,
  verify,
} from '../../src/graph/index.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { checkGradient } from '../../src/testing/index.ts';

interface GoldenCase {
  readonly op: string;
  readonly name: string;
  readonly inputs: Record<string, { dtype: DType; shape: number[]; values: number[] }>;
  readonly output: { shape: number[]; values: number[] };
  readonly gradients?: Record<string, number[]>;
}

const golden = JSON.parse(readFileSync(new URL('../golden/ops.json', import.meta.url), 'utf8')) as { cases: GoldenCase[] };

type Values = Readonly<Record<string, Value>>;
interface Drawing {
  readonly shapes?: Record<string, Shape>;
  readonly build: (values: Values) => Value;
}

const operator = (name: string): Op => OPS.find((op) => op.name === name) as Op;
/** The operator itself on all inputs in order. */
const plain = (name: string, attributes: Attributes = {}) => ({
  build: (v: Values) => apply1(operator(name), Object.values(v), attributes),
});
/** A sum of all elements: ties a symbol to an input without changing what is checked. */
const total = (x: Value) =>
  reshape(
    reduceSum(
      x,
      x.shape.map((_, axis) => axis),
    ),
    [],
  );
const pick = (v: Values, ...names: string[]) => names.map((name) => v[name] as Value);
const flagsOf = (name: string) => ({ transA: name.includes('transA true'), transB: name.includes('transB true') });

/** How each case of the golden file is drawn, with symbolic shapes wherever the operator allows them. */
const DRAWINGS: Record<string, Drawing> = {
  'Add: same shape': { shapes: { a: ['B', 3], b: ['B', 3] }, ...plain('Add') },
  'Add: row': { shapes: { a: ['B', 'S', 4] }, ...plain('Add') },
  'Add: no rows': { shapes: { a: ['B', 3] }, ...plain('Add') },
  'Mul: same shape': { shapes: { a: ['B', 'S'], b: ['B', 'S'] }, ...plain('Mul') },
  'Mul: broadcast both ways': { shapes: { a: ['B', 1, 'T'], b: ['S', 1] }, ...plain('Mul') },
  'Mul: one value twice': { build: ({ a }) => mul(a as Value, a as Value) },
  'Div: broadcast both ways': { shapes: { a: ['B', 1, 4], b: ['S', 1] }, ...plain('Div') },
  'Exp: no rows': { shapes: { x: ['B', 2] }, ...plain('Exp') },
  'Sin: rows': { shapes: { x: ['B', 5] }, ...plain('Sin') },
  'Cos: rows': { shapes: { x: ['B', 5] }, ...plain('Cos') },
  'Gelu: rows': { shapes: { x: ['B', 5] }, ...plain('Gelu') },
  'Gelu: second derivative': { build: (v) => second(graph.gelu, v) },
  'Where: condition widens': { shapes: { c: ['B', 'S'], a: ['S'], b: ['B', 1] }, ...plain('Where') },
  'Cast: to int32': plain('Cast', { to: 'int32' }),
  'Cast: bool to float32': plain('Cast', { to: 'float32' }),
  'Cast: int32 to bool': plain('Cast', { to: 'bool' }),
  'ReduceSum: no rows': { shapes: { x: ['B', 3] }, ...plain('ReduceSum', { axes: [0] }) },
  'ReduceMax: ties': plain('ReduceMax', { axes: [-1] }),
  'Reshape: join two axes': { shapes: { x: ['B', 'S', 4] }, ...plain('Reshape', { shape: ['B*S', 4] }) },
  'Reshape: split an axis': {
    shapes: { x: ['B*S', 4], like: ['B', 'S'] },
    build: ({ x, like }) => mul(reshape(x as Value, ['B', 'S', 2, 2]), total(like as Value)),
  },
  'Reshape: to a scalar': plain('Reshape', { shape: [] }),
  'Reshape: no rows': { shapes: { x: ['B', 'S', 4] }, ...plain('Reshape', { shape: ['B*S', 4] }) },
  'Transpose: matrix': plain('Transpose', { perm: [1, 0] }),
  'Transpose: cycle': { shapes: { x: ['B', 'S', 4] }, ...plain('Transpose', { perm: [2, 0, 1] }) },
  'Transpose: heads': { shapes: { x: ['B', 'S', 2, 2] }, ...plain('Transpose', { perm: [0, 2, 1, 3] }) },
  'Expand: new axis': plain('Expand', { shape: [2, 3] }),
  'Expand: symbolic': {
    shapes: { x: ['B', 1, 4], like: ['B', 'S'] },
    build: ({ x, like }) => mul(graph.expand(x as Value, ['B', 'S', 4]), total(like as Value)),
  },
  'Expand: scalar': plain('Expand', { shape: [3] }),
  'Concat: three along the first': { shapes: { a: ['A', 3], b: ['B', 3], c: ['A', 3] }, ...plain('Concat', { axis: 0 }) },
  'Concat: symbolic parts': { shapes: { a: ['B', 'S'], b: ['B', 2], c: ['B', 'T'] }, ...plain('Concat', { axis: 1 }) },
  'Concat: an empty part': { shapes: { b: [2, 'S'] }, ...plain('Concat', { axis: 1 }) },
  'Slice: numbers': { shapes: { x: ['B', 5] }, ...plain('Slice', { axis: 1, start: 1, end: 4 }) },
  'Slice: from the start to S': {
    shapes: { x: ['R', 2], like: ['S'] },
    build: ({ x, like }) => mul(graph.slice(x as Value, 0, 0, 'S'), total(like as Value)),
  },
  'Slice: from S to S+T': {
    shapes: { a: ['S'], b: ['T'], x: ['R', 2] },
    build: (v) => mul(graph.slice(v.x as Value, 0, 'S', 'S+T'), mul(...(pick(v, 'a', 'b').map(total) as [Value, Value]))),
  },
  'Slice: nothing': plain('Slice', { axis: 0, start: 1, end: 1 }),
  'Pad: numbers': plain('Pad', { axis: 1, before: 1, after: 2 }),
  'Pad: S before and T after': {
    shapes: { a: ['S'], b: ['T'], x: ['R', 2] },
    build: (v) =>
      mul(
        apply1(operator('Pad'), pick(v, 'x'), { axis: 0, before: 'S', after: 'T' }),
        mul(...(pick(v, 'a', 'b').map(total) as [Value, Value])),
      ),
  },
  'Gather: repeated rows': { shapes: { at: ['B', 'S'] }, ...plain('Gather') },
  'ScatterElements: repeated rows': { shapes: { updates: ['B', 'S', 2], at: ['B', 'S'] }, ...plain('ScatterElements', { shape: [5, 2] }) },
  'ScatterElements: of scalars': plain('ScatterElements', { shape: [4] }),
  'ScatterElements: of blocks, int64': plain('ScatterElements', { shape: [3, 2, 2] }),
  'ScatterElements: from the end': plain('ScatterElements', { shape: [4, 2] }),
  'GatherElements: labels': { shapes: { x: ['B', 3], at: ['B'] }, ...plain('GatherElements') },
  'OneHot: labels': { shapes: { x: ['B'], at: ['B'] }, ...plain('OneHot', { width: 3 }) },
  'OneHot: symbolic width, int64': {
    shapes: { x: ['B'], at: ['B'], like: ['C'] },
    build: (v) => mul(apply1(operator('OneHot'), pick(v, 'x', 'at'), { width: 'C' }), total(v.like as Value)),
  },
  'MatMul: no rows': { shapes: { a: ['B', 3] }, ...plain('MatMul') },
  'Gemm: no rows': { shapes: { a: ['B', 3] }, ...plain('Gemm') },
  'Softmax: heads': { shapes: { x: ['B', 2, 'S', 'T'] }, ...plain('Softmax') },
  'Softmax: second derivative': { build: (v) => second(graph.softmax, v) },
  'LogSoftmax: heads': { shapes: { x: ['B', 2, 'S', 'T'] }, ...plain('LogSoftmax') },
  'LogSoftmax: second derivative': { build: (v) => second(graph.logSoftmax, v) },
  'QuantizeLinear: rows': { shapes: { x: ['B', 'S'], scale: ['B'], zero: ['B'] }, ...plain('QuantizeLinear') },
  'DynamicQuantizeMatMul: rows': { shapes: { x: ['B', 4] }, ...plain('DynamicQuantizeMatMul') },
  'DynamicQuantizeMatMul: no rows': { shapes: { x: ['B', 4] }, ...plain('DynamicQuantizeMatMul') },
  'LayerNormalization: rows': norm(1e-5, { x: ['B', 4] }),
  'LayerNormalization: sequences': norm(1e-12, { x: ['B', 'S', 5] }),
  'LayerNormalization: large epsilon': norm(0.5),
};

const REDUCED: Record<string, number[]> = { 'last axis': [-1], 'axes 0 and 2': [0, 2], 'axis of one': [1] };

/** The drawing of a case; those without a special one are the operator on its inputs. */
function drawingOf({ op, name }: GoldenCase): Drawing {
  const special = DRAWINGS[`${op}: ${name}`];
  if (special) return special;
  const flags = flagsOf(name);
  if (op.startsWith('Reduce'))
    return { shapes: { x: name === 'axis of one' ? ['B', 1] : ['B', 3, 'S'] }, ...plain(op, { axes: REDUCED[name] }) };
  if (op === 'MatMul')
    return { build: (v) => matmul(...(pick(v, 'a', 'b') as [Value, Value]), { ...flags, ...(name.includes('alpha') && { alpha: 0.5 }) }) };
  if (op === 'Gemm') return { build: (v) => gemm(...(pick(v, 'a', 'b', 'c') as [Value, Value, Value]), flags) };
  return plain(op);
}

function norm(epsilon: number, shapes: Record<string, Shape> = {}): Drawing {
  return { shapes, build: (v) => layerNorm(...(pick(v, 'x', 'gain', 'bias') as [Value, Value, Value]), epsilon) };
}

/** The gradient of sum(f(x)·u) by x, as a function of x and u: checking it checks the derivative of the gradient rule. */
function second(f: (x: Value) => Value, { x, u }: Values): Value {
  return gradients(total(mul(f(x as Value), u as Value)), [x as Value])[0] as Value;
}

function feed({ dtype, shape, values }: GoldenCase['inputs'][string]): Tensor {
  const { data } = tensorOf(dtype, values.length);
  values.forEach((value, i) => {
    data[i] = (data instanceof BigInt64Array ? BigInt(value) : value) as never;
  });
  return tensor(dtype, shape, data);
}

function tensorOf(dtype: DType, count: number): { data: Tensor['data'] } {
  return { data: viewBytes(dtype, new Uint8Array(count * bytesPerElement(dtype))) };
}

describe('every operator on the reference engine, on ONNX Runtime, and against PyTorch', () => {
  const differentiated = new Set<string>();
  const seen = new Set<string>();

  it.each(golden.cases.map((one) => [`${one.op}: ${one.name}`, one] as const))('%s', async (label, one) => {
    const engine = await nodeEngine({ threads: 1 });
    const drawing = drawingOf(one);
    const derived = one.name === 'second derivative';
    const report = await checkGradient({
      name: label,
      inputs: Object.fromEntries(Object.entries(one.inputs).map(([name, value]) => [name, feed(value)])),
      ...(drawing.shapes && { shapes: drawing.shapes }),
      ...(one.gradients === undefined && { frozen: Object.keys(one.inputs) }),
      build: drawing.build,
      engines: [engine],
      expected: { output: one.output.values, gradients: one.gradients ?? {} },
      // The constants of gradient rules are float32. At a tie the slopes to the left and to the right differ.
      tolerance: { output: derived ? 1e-6 : 1e-11, ...(one.name === 'ties' && { finiteDifference: 1 }) },
    });
    verify(report.program);
    expect(report.output.shape).toEqual(one.output.shape);
    expect(Object.keys(report.gradients)).toEqual(Object.keys(one.gradients ?? {}));
    const drawn = new Set(
      Object.values(report.program.outputs)
        .flatMap((value) => graph.topological([value]))
        .map((node) => node.op.name),
    );
    if (!derived) expect(drawn).toContain(one.op);
    seen.add(one.op);
    if (one.gradients) differentiated.add(one.op);
  });

  it('counts 37 differentiable operators and 6 that say why they are not', () => {
    const [smooth, rough] = [OPS.filter((op) => typeof op.gradient === 'function'), OPS.filter((op) => typeof op.gradient !== 'function')];
    expect(OPS.length).toBe(43);
    expect([...seen].sort()).toEqual(OPS.map((op) => op.name).sort());
    expect([...differentiated].sort()).toEqual(smooth.map((op) => op.name).sort());
    expect(smooth.length).toBe(37);
    expect(rough.map((op) => op.name)).toEqual(['Equal', 'Less', 'Greater', 'Cast', 'QuantizeLinear', 'DynamicQuantizeMatMul']);
    for (const { gradient } of rough) expect((gradient as { none: string }).none.length).toBeGreaterThan(20);
  });

  it('draws every special case that it describes', () => {
    const labels = golden.cases.map((one) => `${one.op}: ${one.name}`);
    expect(Object.keys(DRAWINGS).filter((label) => !labels.includes(label))).toEqual([]);
    expect(new Set(labels).size).toBe(140);
  });
});
