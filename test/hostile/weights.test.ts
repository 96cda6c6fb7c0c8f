import { zipSync } from 'fflate';
import { expect, it } from 'vitest';
import { memoryFiles } from '../../src/base/files.ts';
import { bytesOf, elementCount, float32, type Tensor } from '../../src/base/tensor.ts';
import { decodeOnnx, encodeOnnx, type OnnxModel } from '../../src/formats/onnx.ts';
import { readSafetensors, readSafetensorsIndex, readShardedIndex, writeSafetensors } from '../../src/formats/safetensors.ts';
import { readTorch, readTorchIndex, writeTorch } from '../../src/formats/torch.ts';
import { goldenBytes } from '../golden/formats.ts';
import { attack, patch, refuseAll, splice } from './mutate.ts';

const utf8 = (text: string) => new TextEncoder().encode(text);
const file = (bytes: Uint8Array) => memoryFiles({ x: bytes });

it('600 broken safetensors files', async () => {
  const golden = goldenBytes('dtypes.safetensors');
  const small = writeSafetensors(
    [
      ['a', float32([2, 2], [1, 2, 3, 4])],
      ['b', float32([1], [5])],
    ],
    { k: 'v' },
  );
  const tally = await attack(
    [golden, small],
    600,
    1,
    async (bytes) => ({ index: await readSafetensorsIndex(file(bytes), 'x'), ...(await readSafetensors(file(bytes), 'x')) }),
    ({ index, tensors }, bytes) => {
      const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
      const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Record<string, { shape: number[] }>;
      delete header.__metadata__;
      expect([...tensors.keys()].sort()).toEqual(Object.keys(header).sort());
      for (const [name, tensor] of tensors) {
        const { offset, byteLength } = index.tensors.get(name) ?? expect.unreachable();
        expect(tensor.shape).toEqual(header[name]?.shape);
        expect(tensor.data).toHaveLength(elementCount(tensor.shape));
        expect(bytesOf(tensor)).toEqual(bytes.slice(offset, offset + byteLength));
      }
    },
  );
  expect(tally.tried).toBe(600);
  expect(tally.refused).toBeGreaterThan(200);

  const made = (header: string, data = 8) => {
    const text = utf8(header);
    return () =>
      readSafetensorsIndex(file(splice(new Uint8Array(8 + data), 8, 0, text).map((byte, i) => (i === 0 ? text.length : byte))), 'x');
  };
  const one = '{"dtype":"F32","shape":[2],"data_offsets":[0,8]}';
  const codes = await refuseAll([
    ['truncated', 'file.truncated', made(`{"a":${one}}`, 4)],
    ['absurd header', 'file.too-large', () => readSafetensorsIndex(file(new Uint8Array(64).fill(255)), 'x')],
    ['deep header', 'file.too-large', made(`{"a":${'['.repeat(100)}`)],
    ['no JSON', 'file.syntax', made('{"a"')],
    ['twice', 'file.duplicate-key', made(`{"a":${one},"a":${one}}`)],
    ['dtype', 'file.dtype', made(`{"a":${one.replace('F32', 'X')}}`)],
    ['huge shape', 'file.shape', made(`{"a":${one.replace('[2]', '[1e300]')}}`)],
    ['gap', 'file.offsets', made(`{"a":${one.replace('0,8', '8,16')}}`, 16)],
    [
      'shard elsewhere',
      'file.unsafe',
      () => readShardedIndex(memoryFiles({ 'model.safetensors.index.json': '{"weight_map":{"a":"../../x"}}' }), '.'),
    ],
  ]);
  expect(new Set([...codes, ...tally.codes])).toEqual(codes);
});

/** Both forms: zip files, and the one before PyTorch 1.6. */
const ZIPPED = ['dtypes.pt', 'views.pt', 'parameters.pt', 'state_dict.pt', 'zip64.pt', 'descriptors.pt'];
const LEGACY = ['legacy_dtypes.pt', 'legacy_views.pt', 'legacy_parameters.pt', 'legacy_state_dict.pt', 'legacy_by_hand.pt'];

it.each([
  [ZIPPED, 2],
  [LEGACY, 21],
] as const)('2000 broken PyTorch files: %s', async (names, seed) => {
  const tally = await attack(
    names.map(goldenBytes),
    2000,
    seed,
    async (bytes) => ({ index: await readTorchIndex(file(bytes), 'x'), ...(await readTorch(file(bytes), 'x')) }),
    ({ index, tensors }, bytes) => {
      for (const [name, tensor] of tensors) {
        const { offset, byteLength, strides } = index.tensors.get(name) ?? expect.unreachable();
        expect(tensor.data).toHaveLength(elementCount(tensor.shape));
        expect(offset + byteLength).toBeLessThanOrEqual(bytes.length);
        if (!strides) expect(bytesOf(tensor)).toEqual(bytes.slice(offset, offset + byteLength));
      }
    },
  );
  expect(tally.tried).toBe(2000);
  expect(tally.refused).toBeGreaterThan(600);
  if (names === LEGACY) return;

  const good = writeTorch([['a', float32([2, 3], [1, 2, 3, 4, 5, 6])]]);
  const read = (bytes: Uint8Array) => () => readTorch(file(bytes), 'x');
  const replace = (from: number[], to: number[]) => {
    const text = good.join(' ');
    const place = text.indexOf(from.join(' '));
    expect(place).toBeGreaterThan(0);
    return read(patch(good, text.slice(0, place).split(' ').length - 1, to));
  };
  const int = (n: number) => [0x4a, n & 255, (n >> 8) & 255, (n >> 16) & 255, n >> 24];
  const pickled = (pickle: Uint8Array, level: 0 | 9 = 0) => read(zipSync({ 'a/data.pkl': [pickle, { level }] }));
  const before = (...parts: (Uint8Array | readonly number[])[]) => {
    const head = goldenBytes('legacy_parameters.pt').subarray(0, 15);
    return read(Uint8Array.from([head, [0x80, 2, 0x4d, 0xe9, 3, 0x2e], ...parts].flatMap((part) => [...part])));
  };
  const machine = [0x80, 2, 0x7d, 0x58, 13, 0, 0, 0, ...utf8('little_endian'), 0x88, 0x73, 0x2e];
  const nested = Uint8Array.from([0x80, 2, ...new Array(200_000).fill(0x5d), ...new Array(199_999).fill(0x61), 0x2e]);
  const codes = await refuseAll([
    ['os.system', 'file.unsafe', read(goldenBytes('evil_system.pt'))],
    ['eval', 'file.unsafe', read(goldenBytes('evil_eval.pt'))],
    ['inst', 'file.unsafe', pickled(Uint8Array.from([0x80, 2, 0x28, 0x69, ...utf8('os\nsystem\n'), 0x2e]))],
    ['no zip', 'file.syntax', read(utf8('hello, this is no weight file'))],
    ['deep pickle', 'file.syntax', pickled(nested)],
    ['old form: os.system', 'file.unsafe', read(goldenBytes('legacy_evil.pt'))],
    ['old form: names before the value', 'file.unsafe', before([0x80, 2, 0x63, ...utf8('os\nsystem\n'), 0x2e])],
    ['old form: another machine', 'file.syntax', before(machine.map((byte) => (byte === 0x88 ? 0x89 : byte)))],
    ['old form: another version', 'file.syntax', read(patch(goldenBytes('legacy_parameters.pt'), 18, [0xe8]))],
    ['old form: cut in the pickles', 'file.truncated', before(machine, [0x80, 2, 0x7d])],
    ['old form: cut in a storage', 'file.truncated', read(goldenBytes('legacy_views.pt').slice(0, -3))],
    ['old form: bytes behind', 'file.offsets', read(splice(goldenBytes('legacy_views.pt'), 1e6, 0, Uint8Array.of(1)))],
    ['old form: a deep value', 'file.syntax', before(machine, nested, [0x80, 2, 0x5d, 0x2e])],
    ['a million lists and more', 'file.too-large', before(machine, [0x80, 2], new Uint8Array(2_100_000).fill(0x5d))],
    ['bomb', 'file.syntax', pickled(new Uint8Array(20_000_000), 9)],
    ['a dictionary as its own key', 'file.syntax', pickled(Uint8Array.from([0x80, 2, 0x7d, 0x71, 0, 0x68, 0, 0x68, 0, 0x73, 0x2e]))],
    ['cut', 'file.truncated', read(good.slice(0, -30))],
    ['pickle cut', 'file.truncated', pickled(Uint8Array.from([0x80, 2, 0x7d]))],
    ['no storage', 'file.offsets', replaceKey(good)],
    ['too large a shape', 'file.shape', replace([...int(2), ...int(3)], [...int(2), ...int(4)])],
    [
      'a swelling view',
      'file.too-large',
      replace([...int(2), ...int(3), 0x74, 0x28, ...int(3)], [...int(100_000_000), ...int(3), 0x74, 0x28, ...int(0)]),
    ],
    [
      'twice',
      'file.duplicate-key',
      read(
        writeTorch([
          ['a', float32([1], [1])],
          ['a', float32([1], [2])],
        ]),
      ),
    ],
  ]);
  expect(new Set([...codes, ...tally.codes])).toEqual(codes);
});

/** The file's only storage is asked for under another name. */
function replaceKey(bytes: Uint8Array): () => Promise<unknown> {
  const at = bytes.findIndex((_, i) => bytes.slice(i, i + 6).join() === [0x58, 1, 0, 0, 0, 0x30].join());
  expect(at).toBeGreaterThan(0);
  return () => readTorch(file(patch(bytes, at + 5, [0x39])), 'x');
}

it('400 broken ONNX files', async () => {
  const rawData = bytesOf(float32([2], [1, 2]) as Tensor);
  const graph = { name: 'g', node: [], initializer: [], input: [], output: [] };
  const model: OnnxModel = {
    irVersion: 10,
    opsetImport: [{ domain: '', version: 21 }],
    graph: {
      name: 'g',
      node: [
        { opType: 'Gemm', input: ['x', 'w'], output: ['y'], attribute: [{ name: 'ints', type: 'ints', value: [1, -1] }] },
        { opType: 'If', input: ['x'], output: ['z'], attribute: [{ name: 'then', type: 'graph', value: graph }] },
        { opType: 'Cast', input: ['x'], output: ['c'], attribute: [{ name: 'mode', type: 'string', value: 'é' }] },
      ],
      initializer: [
        { name: 'w', dtype: 'float32', dims: [2], rawData },
        { name: 'far', dtype: 'float32', dims: [4], external: { location: 'w', offset: 8, length: 16 } },
      ],
      input: [{ name: 'x', dtype: 'float32', shape: ['batch', 2] }],
      output: [{ name: 'y', dtype: 'float32', shape: [] }],
    },
  };
  const bytes = encodeOnnx(model);
  const tally = await attack(
    [bytes],
    400,
    3,
    async (bytes) => decodeOnnx(bytes, 'x'),
    (value) => {
      expect(decodeOnnx(encodeOnnx(value), 'x')).toEqual(value);
      for (const tensor of value.graph.initializer) {
        if ('rawData' in tensor) expect(tensor.rawData.length % Math.max(elementCount(tensor.dims), 1)).toBe(0);
      }
    },
  );
  expect(tally.tried).toBe(400);
  expect(tally.refused).toBeGreaterThan(150);

  const wrong = (change: object) => () =>
    decodeOnnx(
      encodeOnnx({ ...model, graph: { ...graph, initializer: [{ name: 'w', dtype: 'float32', dims: [2], rawData, ...change }] } }),
      'x',
    );
  let deep = graph as OnnxModel['graph'];
  for (let i = 0; i < 20; i++) {
    deep = { ...graph, node: [{ opType: 'If', input: [], output: [], attribute: [{ name: 'g', type: 'graph', value: deep }] }] };
  }
  // Ten thousand levels, each one a field 7 (the graph) of two further bytes of length.
  const bottomless = Uint8Array.from({ length: 30_000 }, (_, i) => [0x3a, 0x80, 0x01][i % 3] as number);
  const codes = await refuseAll([
    ['cut', 'file.truncated', () => decodeOnnx(bytes.slice(0, -3), 'x')],
    ['noise', 'file.syntax', () => decodeOnnx(new Uint8Array(99).fill(0x0f), 'x')],
    ['dtype', 'file.dtype', wrong({ dtype: 'complex' })],
    ['shape', 'file.shape', wrong({ dims: [2 ** 31, 2 ** 31] })],
    ['no end of graphs', 'file.truncated', () => decodeOnnx(bottomless, 'x')],
  ]);
  expect(decodeOnnx(encodeOnnx({ ...model, graph: deep }), 'x').graph.node).toHaveLength(1);
  expect(new Set([...codes, ...tally.codes])).toEqual(codes);
});
