import { describe, expect, it } from 'vitest';
import { goldenBytes, goldenFiles, goldenValues, plain } from '../../test/golden/formats.ts';
import { memoryFiles } from '../base/files.ts';
import { float32, type Tensor, tensor } from '../base/tensor.ts';
import { countNonFinite, readSafetensors, readSafetensorsIndex, readShardedIndex, readTensor, writeSafetensors } from './safetensors.ts';

const file = (header: string, data = new Uint8Array()) => {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  return memoryFiles({ 'x.safetensors': bytes });
};
const one = (fields: object) => JSON.stringify({ a: { dtype: 'F32', shape: [2], data_offsets: [0, 8], ...fields } });

describe('reading', () => {
  it('gives what Python wrote', async () => {
    const { tensors, metadata } = await readSafetensors(goldenFiles('dtypes.safetensors'), 'dtypes.safetensors');
    expect(plain(tensors)).toEqual(goldenValues('dtypes.safetensors'));
    expect(metadata).toEqual({ format: 'pt' });
  });

  it('says where the bytes lie', async () => {
    const bytes = goldenBytes('dtypes.safetensors');
    const index = await readSafetensorsIndex(goldenFiles('dtypes.safetensors'), 'dtypes.safetensors');
    const { file, offset, byteLength, strides } = index.tensors.get('int') ?? expect.unreachable();
    expect(new Int32Array(bytes.slice(offset, offset + byteLength).buffer)).toEqual(Int32Array.of(1, -(2 ** 31)));
    expect([file, strides]).toEqual(['dtypes.safetensors', undefined]);
  });

  it.each([
    ['a header longer than the file', memoryFiles({ 'x.safetensors': Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0, 123) }), 'file.truncated'],
    ['an empty file', memoryFiles({ 'x.safetensors': '' }), 'file.truncated'],
    ['an absurd header length', memoryFiles({ 'x.safetensors': new Uint8Array(16).fill(255) }), 'file.too-large'],
    ['no object', file('[1]'), 'file.syntax'],
    ['no JSON', file('{"a": '), 'file.syntax'],
    ['metadata that is no text', file('{"__metadata__": {"a": 1}}'), 'file.syntax'],
    ['an unknown field', file(one({ extra: 1 }), new Uint8Array(8)), 'file.syntax'],
    ['a name that stands twice', file(`{${one({}).slice(1, -1)},${one({}).slice(1, -1)}}`, new Uint8Array(8)), 'file.duplicate-key'],
    ['an unknown type', file(one({ dtype: 'F8_E4M3' }), new Uint8Array(8)), 'file.dtype'],
    ['a negative size', file(one({ shape: [-2] }), new Uint8Array(8)), 'file.shape'],
    ['a broken size', file(one({ shape: [1.5] }), new Uint8Array(8)), 'file.shape'],
    ['an absurd size', file(one({ shape: [2 ** 52, 2 ** 52, 0] }), new Uint8Array(8)), 'file.shape'],
    ['a shape of other bytes', file(one({ shape: [3] }), new Uint8Array(8)), 'file.shape'],
    ['offsets in reverse', file(one({ data_offsets: [8, 0] }), new Uint8Array(8)), 'file.offsets'],
    ['a gap', file(one({ data_offsets: [4, 12] }), new Uint8Array(12)), 'file.offsets'],
    ['bytes left over', file(one({}), new Uint8Array(12)), 'file.offsets'],
    ['data cut off', file(one({}), new Uint8Array(4)), 'file.truncated'],
    [
      'an overlap',
      file(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}`, new Uint8Array(6)),
      'file.offsets',
    ],
  ] as const)('refuses %s', async (_, files, code) => {
    await expect(readSafetensorsIndex(files, 'x.safetensors')).rejects.toMatchObject({ code });
  });

  it('refuses a single tensor beyond the limit before making room for it', async () => {
    const entry = { name: 'a', dtype: 'uint8', shape: [2 ** 33], file: 'x', offset: 0, byteLength: 2 ** 33 } as const;
    await expect(readTensor(memoryFiles({ x: '' }), entry)).rejects.toMatchObject({ code: 'file.too-large' });
  });
});

describe('writing', () => {
  it('gives the bytes that Python gives', async () => {
    const bytes = goldenBytes('dtypes.safetensors');
    const { tensors, metadata } = await readSafetensors(memoryFiles({ x: bytes }), 'x');
    expect(writeSafetensors([...tensors].reverse(), metadata)).toEqual(bytes);
  });

  it('pads the header and leaves metadata out when there is none', () => {
    const bytes = writeSafetensors([['a', float32([1], [1])]]);
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    expect(length % 8).toBe(0);
    expect(JSON.parse(new TextDecoder().decode(bytes.slice(8, 8 + length)))).toEqual({
      a: { dtype: 'F32', shape: [1], data_offsets: [0, 4] },
    });
  });
});

describe('shards', () => {
  const shard = (name: string, value: number): Uint8Array => writeSafetensors([[name, float32([1], [value])]]);
  const folder = (weightMap: object) =>
    memoryFiles({
      'm/model.safetensors.index.json': JSON.stringify({ metadata: { total_size: 8 }, weight_map: weightMap }),
      'm/1.safetensors': shard('a', 1),
      'm/2.safetensors': shard('b', 2),
      'm/3.safetensors': shard('b', 3),
    });

  it('become one map', async () => {
    const files = folder({ a: '1.safetensors', b: '2.safetensors' });
    const index = await readShardedIndex(files, 'm');
    const read = async (name: string) => (await readTensor(files, index.tensors.get(name) ?? expect.unreachable())).data;
    expect([await read('a'), await read('b')]).toEqual([Float32Array.of(1), Float32Array.of(2)]);
    expect(index.tensors.get('b')?.file).toBe('m/2.safetensors');
  });

  it.each([
    [{ a: '../1.safetensors' }, 'file.unsafe'],
    [{ a: '/m/1.safetensors' }, 'file.unsafe'],
    [{ a: '..' }, 'file.unsafe'],
    [{ a: 3 }, 'file.unsafe'],
    [{ a: '2.safetensors' }, 'file.syntax'],
    [{ a: '9.safetensors' }, 'file.missing'],
  ])('refuses %j', async (weightMap, code) => {
    await expect(readShardedIndex(folder(weightMap), 'm')).rejects.toMatchObject({ code });
  });

  it('refuses a tensor in two shards that the index does not place', async () => {
    const files = memoryFiles({
      'm/model.safetensors.index.json': JSON.stringify({ weight_map: { a: 'one', c: 'two' } }),
      'm/one': writeSafetensors([
        ['a', float32([1], [1])],
        ['b', float32([1], [1])],
      ]),
      'm/two': writeSafetensors([
        ['c', float32([1], [1])],
        ['b', float32([1], [2])],
      ]),
    });
    await expect(readShardedIndex(files, 'm')).rejects.toMatchObject({ code: 'file.duplicate-key' });
  });

  it('refuses an index without a weight map', async () => {
    const files = memoryFiles({ 'm/model.safetensors.index.json': '{}' });
    await expect(readShardedIndex(files, 'm')).rejects.toMatchObject({ code: 'file.syntax' });
  });
});

it.each<[Tensor, number]>([
  [float32([4], [1, Number.NaN, Number.POSITIVE_INFINITY, -3]), 2],
  [tensor('float64', [2], Float64Array.of(1, Number.NEGATIVE_INFINITY)), 1],
  [tensor('float16', [4], Uint16Array.of(0x7c00, 0x7bff, 0xfe00, 0)), 2],
  [tensor('bfloat16', [3], Uint16Array.of(0x7f80, 0x7f7f, 0x7c00)), 1],
  [tensor('int32', [1], Int32Array.of(0x7f800000)), 0],
])('counts what is not finite in %j', (value, count) => {
  expect(countNonFinite(value)).toBe(count);
});
