import { describe, expect, it } from 'vitest';
import { goldenFiles, goldenValues, plain } from '../../test/golden/formats.ts';
import { memoryFiles } from '../base/files.ts';
import { float32, type Tensor, tensor } from '../base/tensor.ts';
import { readShardedTorchIndex, readTorch, readTorchIndex, writeTorch } from './torch.ts';

describe('reading what Python wrote', () => {
  it.each(['dtypes.pt', 'state_dict.pt', 'views.pt', 'parameters.pt', 'descriptors.pt', 'zip64.pt'])('%s', async (name) => {
    const { tensors } = await readTorch(goldenFiles(name), name);
    expect(plain(tensors)).toEqual(goldenValues(name));
  });

  it.each(['dtypes', 'state_dict', 'views', 'parameters', 'by_hand'])('the form before PyTorch 1.6: %s', async (name) => {
    const file = `legacy_${name}.pt`;
    const { tensors } = await readTorch(goldenFiles(file), file);
    expect(plain(tensors)).toEqual(goldenValues(file, 'legacy.json'));
  });

  it('lists plain values that stand beside tensors', async () => {
    const { skipped } = await readTorch(goldenFiles('parameters.pt'), 'parameters.pt');
    expect(skipped).toEqual(['epoch', 'note', 'rate', 'none', 'flag']);
  });

  it('gives strides only to what does not lie row-major', async () => {
    const { tensors } = await readTorchIndex(goldenFiles('views.pt'), 'views.pt');
    const strided = [...tensors.values()].filter((entry) => entry.strides).map((entry) => entry.name);
    expect(strided).toEqual(['transposed', 'every_other', 'expanded', 'column']);
    expect(tensors.get('tail')?.offset).toBe((tensors.get('whole')?.offset ?? 0) + 12 * 4);
  });

  it.each([
    ['evil_system.pt', 'file.unsafe', /posix\.system|os\.system/],
    ['evil_eval.pt', 'file.unsafe', /__builtin__\.eval|builtins\.eval/],
    ['nested.pt', 'file.syntax', /outer.*a dictionary/],
    ['legacy_evil.pt', 'file.unsafe', /posix\.system|os\.system/],
    ['compressed.pt', 'file.syntax', /compression method 8/],
    ['big_endian.pt', 'file.syntax', /byte order "big"/],
    ['protocol4.pt', 'file.syntax', /protocol 2/],
  ])('refuses %s', async (name, code, message) => {
    const refused = readTorch(goldenFiles(name), name);
    await expect(refused).rejects.toMatchObject({ code });
    await expect(refused).rejects.toThrow(message);
  });
});

describe('writing', () => {
  const tensors: [string, Tensor][] = [
    ['weight', float32([2, 3], [1, 2, 3, 4, 5, 6])],
    ['step', tensor('int64', [], BigInt64Array.of(7n))],
    ['empty', float32([0, 3], [])],
    ['mask', tensor('bool', [2], Uint8Array.of(1, 0))],
    ['wide é', float32([300], new Float32Array(300).fill(0.5))],
  ];

  it('is read back', async () => {
    const { tensors: found } = await readTorch(memoryFiles({ 'x.bin': writeTorch(tensors) }), 'x.bin');
    expect(plain(found)).toEqual(plain(tensors));
  });

  it('starts every tensor at a multiple of 64 bytes', async () => {
    const index = await readTorchIndex(memoryFiles({ 'x.bin': writeTorch(tensors) }), 'x.bin');
    expect([...index.tensors.values()].map((entry) => entry.offset % 64)).toEqual([0, 0, 0, 0, 0]);
  });

  it('gives the same bytes every time', () => {
    expect(writeTorch(tensors)).toEqual(writeTorch(tensors));
  });

  it('refuses a type that has no storage', () => {
    expect(() => writeTorch([['a', tensor('uint16', [1], Uint16Array.of(1))]])).toThrow(expect.objectContaining({ code: 'file.dtype' }));
  });
});

it('joins shards', async () => {
  const files = memoryFiles({
    'm/pytorch_model.bin.index.json': JSON.stringify({ weight_map: { a: '1.bin', b: '2.bin' } }),
    'm/1.bin': writeTorch([['a', float32([1], [1])]]),
    'm/2.bin': writeTorch([['b', float32([1], [2])]]),
  });
  const index = await readShardedTorchIndex(files, 'm');
  expect([...index.tensors.values()].map((entry) => entry.file)).toEqual(['m/1.bin', 'm/2.bin']);
});
