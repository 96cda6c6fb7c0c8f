// @ts-check
/**
 * Linear layers of an encoder in float32 and in 8 bits, on ONNX Runtime's CPU kernels: which form of product is the fastest
 * here. Forms take turns in many short rounds; a ratio is the median over rounds of float32 ÷ this form in the same round.
 * `--cpu` counts processor time instead of the time that passes: that holds on a busy machine too.
 *
 *     node bench/int8.mjs [--threads 2] [--rows 512,1024,2048] [--rounds 40] [--cpu] [--out results/bench/int8.json]
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import * as ort from 'onnxruntime-node';
import { encodeOnnx } from '../dist/formats/onnx.js';
import { clock, environment, load, versions, warnWhenBusy } from './environment.mjs';
import { align, median } from './report.mjs';

const { values } = parseArgs({
  options: {
    threads: { type: 'string', default: '2' },
    rows: { type: 'string', default: '512,1024,2048' },
    shapes: { type: 'string', default: '384x384,384x1536,1536x384' },
    rounds: { type: 'string', default: '40' },
    cpu: { type: 'boolean', default: false },
    out: { type: 'string' },
  },
});
const now = clock(values.cpu);
const place = environment();
warnWhenBusy((text) => process.stderr.write(`${text}\n`));

/**
 * How x [M, K] times the transpose of w [N, K] plus a bias is written: nodes from 'x', 'w' and 'bias' to 'y'. `fed` weights
 * change from run to run, as those that train; others are part of the model, which lets ONNX Runtime prepare them.
 * @typedef {import('../src/formats/onnx.ts').OnnxNode} OnnxNode
 * @typedef {{ nodes: (k: number) => OnnxNode[], fed?: boolean }} Form
 */
/** @type {Record<string, Form>} */
const FORMS = {
  float32: { nodes: () => [node('Gemm', ['x', 'w', 'bias'], ['y'], { transB: 1 })] },
  's8 weights': { nodes: () => [...quantised('s8'), dynamic('s8')] },
  'u8 weights': { nodes: () => [...quantised('u8'), dynamic('u8')] },
  'u8, apart': {
    nodes: () => [
      ...quantised('u8'),
      node('DynamicQuantizeLinear', ['x'], ['xq', 'xs', 'xz']),
      node('MatMulInteger', ['xq', 'wqt', 'xz', 'zero'], ['sums']),
      node('Cast', ['sums'], ['numbers'], { to: 1 }),
      node('Mul', ['xs', 'scale'], ['scales']),
      node('Mul', ['numbers', 'scales'], ['product']),
      node('Add', ['product', 'bias'], ['y']),
    ],
  },
  'float32, fed': { fed: true, nodes: () => [node('Gemm', ['x', 'w', 'bias'], ['y'], { transB: 1 })] },
  's8, fed': { fed: true, nodes: () => [...quantised('s8'), dynamic('s8')] },
  'u8, fed': { fed: true, nodes: () => [...quantised('u8'), dynamic('u8')] },
};

/** One scale for each row of w, its largest absolute value; zero points of 128 or 0. @param {'u8' | 's8'} type */
function quantised(type) {
  const zero = type === 'u8' ? 'zero128' : 'zero0';
  return [
    node('Abs', ['w'], ['sizes']),
    node('ReduceMax', ['sizes', 'axis'], ['largest'], { keepdims: 0 }),
    node('Mul', ['largest', 'per127'], ['scale']),
    node('Identity', [zero], ['zero']),
    node('QuantizeLinear', ['w', 'scale', zero], ['wq'], { axis: 0 }),
    node('Transpose', ['wq'], ['wqt']),
  ];
}

/** @param {'u8' | 's8'} type */
function dynamic(type) {
  return node('DynamicQuantizeMatMul', ['x', 'wqt', 'scale', type === 'u8' ? 'zero128' : '', 'bias'], ['y'], {}, 'com.microsoft');
}

/**
 * @param {string} opType
 * @param {string[]} input
 * @param {string[]} output
 * @param {Record<string, number>} [attributes]
 * @returns {OnnxNode}
 */
function node(opType, input, output, attributes = {}, domain = '') {
  const attribute = Object.entries(attributes).map(([name, value]) => ({ name, type: /** @type {const} */ ('int'), value }));
  return { opType, domain, input, output, attribute };
}

/**
 * @param {Form} form
 * @param {number} k
 * @param {number} n
 */
async function compile({ nodes, fed }, k, n) {
  const w = Float32Array.from({ length: k * n }, (_, i) => Math.sin(i * 12.9898) * 0.05);
  const bytes = (/** @type {ArrayBufferView} */ data) => new Uint8Array(data.buffer);
  /** @type {import('../src/formats/onnx.ts').OnnxTensor[]} */
  const initializer = [
    { name: 'bias', dtype: 'float32', dims: [n], rawData: bytes(new Float32Array(n).fill(0.1)) },
    { name: 'axis', dtype: 'int64', dims: [1], rawData: bytes(BigInt64Array.of(1n)) },
    { name: 'per127', dtype: 'float32', dims: [], rawData: bytes(Float32Array.of(1 / 127)) },
    { name: 'zero128', dtype: 'uint8', dims: [n], rawData: new Uint8Array(n).fill(128) },
    { name: 'zero0', dtype: 'int8', dims: [n], rawData: new Uint8Array(n) },
  ];
  const input = [{ name: 'x', dtype: /** @type {const} */ ('float32'), shape: ['M', k] }];
  if (fed) input.push({ name: 'w', dtype: 'float32', shape: [n, k] });
  else initializer.push({ name: 'w', dtype: 'float32', dims: [n, k], rawData: bytes(w) });
  const model = encodeOnnx({
    irVersion: 9,
    opsetImport: [
      { domain: '', version: 20 },
      { domain: 'com.microsoft', version: 1 },
    ],
    graph: { name: 'product', node: nodes(k), initializer, input, output: [{ name: 'y', dtype: 'float32', shape: ['M', n] }] },
  });
  const session = await ort.InferenceSession.create(model, {
    intraOpNumThreads: Number(values.threads),
    logSeverityLevel: 4,
    extra: { session: { intra_op: { allow_spinning: values.cpu ? '0' : '1' } } },
  });
  return { session, w: fed ? { w: new ort.Tensor('float32', w, [n, k]) } : {} };
}

/** @type {Record<string, unknown>[]} */
const points = [];
const table = [['rows', 'product', 'float32 ms', 'GFLOP/s', ...Object.keys(FORMS).slice(1), 'error']];
for (const shape of values.shapes.split(',')) {
  const [k, n] = /** @type {[number, number]} */ (shape.split('x').map(Number));
  const forms = await Promise.all(Object.entries(FORMS).map(async ([name, form]) => ({ name, ...(await compile(form, k, n)) })));
  for (const rows of values.rows.split(',').map(Number)) {
    const data = Float32Array.from({ length: rows * k }, (_, i) => Math.sin(i * 78.233) + (i % 97 === 0 ? 2 : 0));
    const x = new ort.Tensor('float32', data, [rows, k]);
    /** @type {Map<string, number[]>} */
    const times = new Map(forms.map(({ name }) => [name, []]));
    /** @type {Float32Array | undefined} */
    let expected;
    /** @type {Record<string, number>} */
    const errors = {};
    for (let round = -2; round < Number(values.rounds); round++) {
      for (const { name, session, w } of forms) {
        const start = now();
        const { y } = await session.run({ x, ...w });
        const took = now() - start;
        if (round >= 0) times.get(name)?.push(took);
        if (round !== -1) continue;
        const got = /** @type {Float32Array} */ (y?.data);
        expected ??= got;
        errors[name] = distance(got, expected);
      }
    }
    const of = (/** @type {string} */ name) => /** @type {number[]} */ (times.get(name));
    const ratios = Object.fromEntries(
      [...times.keys()].map((name) => [name, median(of(name).map((time, i) => /** @type {number} */ (of('float32')[i]) / time))]),
    );
    const float = median(of('float32'));
    points.push({ rows, k, n, floatMs: float, ratios, errors });
    table.push([
      `${rows}`,
      shape,
      float.toFixed(2),
      ((2 * rows * k * n) / float / 1e6).toFixed(0),
      ...Object.keys(FORMS)
        .slice(1)
        .map((name) => `${/** @type {number} */ (ratios[name]).toFixed(2)} ×`),
      Math.max(...Object.values(errors)).toExponential(1),
    ]);
  }
  for (const { session } of forms) await session.release();
}
console.log(`${values.cpu ? 'processor' : 'passing'} time, ${values.threads} threads; float32 ÷ the form in the same round`);
console.log(align(table));
if (values.out !== undefined) {
  mkdirSync(dirname(values.out), { recursive: true });
  const { threads, rounds, cpu } = values;
  const result = {
    ...place,
    versions: versions(),
    threads,
    rounds,
    time: cpu ? 'processor' : 'passing',
    loadAfter: load(),
    points,
  };
  writeFileSync(values.out, `${JSON.stringify(result, null, 1)}\n`);
}

/**
 * |a − b| / |b|, as vectors.
 * @param {Float32Array} a
 * @param {Float32Array} b
 */
function distance(a, b) {
  let [difference, size] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    const [left, right] = /** @type {[number, number]} */ ([a[i], b[i]]);
    difference += (left - right) ** 2;
    size += right ** 2;
  }
  return Math.sqrt(difference / size);
}
