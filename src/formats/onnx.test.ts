import { describe, expect, it } from 'vitest';
import { decodeOnnx, encodeOnnx, type OnnxModel, type OnnxNode } from './onnx.ts';

const raw = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);
const then = { name: 'branch', node: [], initializer: [], input: [], output: [], valueInfo: [] };
const MODEL: OnnxModel = {
  irVersion: 10,
  opsetImport: [
    { domain: '', version: 21 },
    { domain: 'com.microsoft', version: 1 },
  ],
  producerName: 'multigraft',
  producerVersion: '0',
  metadataProps: [{ key: 'k', value: 'é' }],
  graph: {
    name: 'g',
    node: [
      {
        opType: 'Gemm',
        domain: '',
        name: 'n',
        input: ['x', 'w', ''],
        output: ['y'],
        attribute: [
          { name: 'alpha', type: 'float', value: 0.5 },
          { name: 'transB', type: 'int', value: -1 },
          { name: 'big', type: 'int', value: Number.MIN_SAFE_INTEGER },
          { name: 'mode', type: 'string', value: 'é' },
          { name: 'perm', type: 'ints', value: [0, 2 ** 40, -3] },
          { name: 'scales', type: 'floats', value: [1.5, -2] },
          { name: 'names', type: 'strings', value: ['a', 'b'] },
          { name: 'value', type: 'tensor', value: { name: '', dtype: 'float32', dims: [1], rawData: raw(3) } },
          { name: 'body', type: 'graph', value: then },
        ],
      },
    ],
    initializer: [
      { name: 'w', dtype: 'float32', dims: [2, 1], rawData: raw(1, 2) },
      { name: 'none', dtype: 'int64', dims: [0], rawData: new Uint8Array() },
      { name: 'far', dtype: 'float32', dims: [1024], external: { location: 'model.safetensors', offset: 5_000_000_000, length: 4096 } },
    ],
    input: [{ name: 'x', dtype: 'float32', shape: ['batch', 2, ''] }],
    output: [{ name: 'y', dtype: 'float16', shape: [] }],
    valueInfo: [],
  },
};
/** protobufjs returns views of Node buffers, which differ from plain arrays in class only. */
const plain = (value: unknown) =>
  JSON.parse(JSON.stringify(value, (_, v) => (v?.type === 'Buffer' ? v.data : v instanceof Uint8Array ? [...v] : v)));

describe('a model', () => {
  it('survives being written and read', () => {
    expect(plain(decodeOnnx(encodeOnnx(MODEL), 'm.onnx'))).toEqual(plain(MODEL));
  });

  it('of 5,000 nodes is written and read', () => {
    const node = Array.from(
      { length: 5000 },
      (_, i): OnnxNode => ({
        opType: 'Add',
        input: [`v${i}`, 'w'],
        output: [`v${i + 1}`],
        attribute: [{ name: 'axis', type: 'int', value: 1 }],
      }),
    );
    const model = { ...MODEL, graph: { ...MODEL.graph, node } };
    const read = decodeOnnx(encodeOnnx(model), 'm').graph.node;
    expect(read.map(({ input, output }) => ({ input, output }))).toEqual(node.map(({ input, output }) => ({ input, output })));
  });

  it('with large raw data is the same model', () => {
    const rawData = new Uint8Array(80_000).map((_, i) => i % 251);
    const large = { name: 'big', dtype: 'float32', dims: [20_000], rawData } as const;
    const initializer = [...MODEL.graph.initializer, large];
    const found = decodeOnnx(encodeOnnx({ ...MODEL, graph: { ...MODEL.graph, initializer } }), 'm');
    expect(plain(found)).toEqual(plain({ ...MODEL, graph: { ...MODEL.graph, initializer } }));
  });

  it.each([
    ['cut short', (bytes: Uint8Array) => bytes.slice(0, -5), 'file.truncated'],
    ['of noise', () => new Uint8Array(40).fill(7), 'file.syntax'],
    ['without a graph', () => new Uint8Array(), 'file.syntax'],
  ] as const)('%s is refused', (_, change, code) => {
    expect(() => decodeOnnx(change(encodeOnnx(MODEL)), 'm.onnx')).toThrow(expect.objectContaining({ code }));
  });

  it.each([
    ['raw data of another size', { dims: [3] }, 'file.shape'],
    ['a negative size', { dims: [-2] }, 'file.shape'],
    ['an unknown type', { dtype: 'complex' as 'float32' }, 'file.dtype'],
  ])('with %s is refused', (_, change, code) => {
    const bytes = encodeOnnx({
      ...MODEL,
      graph: { ...then, initializer: [{ name: 'w', dtype: 'float32', dims: [2], rawData: raw(1, 2), ...change }] },
    });
    expect(() => decodeOnnx(bytes, 'm.onnx')).toThrow(expect.objectContaining({ code }));
  });

  it('with an attribute that is no integer is a defect of the writer', () => {
    const node = [{ opType: 'X', input: [], output: [], attribute: [{ name: 'a', type: 'int', value: 0.5 } as const] }];
    expect(() => encodeOnnx({ ...MODEL, graph: { ...then, node } })).toThrow(expect.objectContaining({ code: 'internal.invariant' }));
  });
});
