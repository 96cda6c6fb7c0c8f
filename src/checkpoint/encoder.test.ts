import { expect, test } from 'vitest';
import { memoryFiles } from '../base/files.ts';
import { nodeFiles } from '../base/files-node.ts';
import { float32 } from '../base/tensor.ts';
import { loadEncoder } from '../encoders/index.ts';
import { saveEncoder } from './encoder.ts';

const NAME = 'bert.encoder.layer.1.output.dense.bias';

test('a saved encoder has the new tensors, all others unchanged, and the same config', async () => {
  const encoder = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');
  const moved = float32(
    [32],
    Float32Array.from({ length: 32 }, (_, i) => i / 7),
  );
  const files = memoryFiles();
  await saveEncoder(files, 'out', encoder, new Map([[NAME, moved]]));
  const again = await loadEncoder(files, 'out');
  expect(again.notes).toEqual([]);
  expect(again.config).toEqual(encoder.config);
  expect([...again.weights.keys()].sort()).toEqual([...encoder.weights.keys()].sort());
  expect(again.weights.size).toBe(55);
  for (const [name, weight] of again.weights)
    expect(await weight.read()).toEqual(name === NAME ? moved : await encoder.weights.get(name)?.read());
});

test('a saved encoder goes by its folder, not by the name of what it was', async () => {
  const encoder = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');
  const files = memoryFiles();
  await saveEncoder(files, 'out', { ...encoder, fields: { ...encoder.fields, _name_or_path: 'somebody/original' } }, new Map());
  expect((await loadEncoder(files, 'out')).name).toBe('out');
});

test('narrow weights are written as float32, and the config does not say otherwise', async () => {
  const encoder = await loadEncoder(nodeFiles, 'test/golden/encoders/bert-float16');
  const files = memoryFiles();
  await saveEncoder(files, 'out', encoder, new Map());
  const again = await loadEncoder(files, 'out');
  expect(again.notes).toEqual([]);
  expect([again.fields.dtype, again.fields.torch_dtype]).toEqual([undefined, undefined]);
});

test.each([
  [NAME, [31]],
  ['bert.nothing', [32]],
])('a tensor that does not belong is refused: %s [%s]', async (name, shape) => {
  const encoder = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');
  const files = memoryFiles();
  const saving = saveEncoder(files, 'out', encoder, new Map([[name, float32(shape, new Float32Array(shape[0] as number))]]));
  await expect(saving).rejects.toMatchObject({ code: 'encoder.weights' });
  expect(await files.kind('out')).toBe('none');
});
