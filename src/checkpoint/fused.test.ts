import { expect, it } from 'vitest';
import { memoryFiles } from '../base/files.ts';
import { nodeFiles } from '../base/files-node.ts';
import { createRandom } from '../base/random.ts';
import { elementCount, float32, type Tensor } from '../base/tensor.ts';
import { loadEncoder } from '../encoders/index.ts';
import { readTorch, writeTorch } from '../formats/torch.ts';
import { bindAdapter, configureMethod } from '../methods/index.ts';
import { loadAdapter, saveAdapter } from './index.ts';

const encoder = await loadEncoder(nodeFiles, 'test/golden/encoders/modernbert');

function adapterOf(text: string) {
  const method = configureMethod(text);
  const { parameters } = bindAdapter(method, { encoder: encoder.config, family: encoder.family, name: 'a' });
  const random = createRandom(3);
  const values = parameters.map(({ name, shape }): [string, Tensor] => [
    name,
    float32(
      shape,
      Float32Array.from({ length: elementCount(shape) }, () => random.normal()),
    ),
  ]);
  return { name: 'a', method, tensors: new Map(values), model: encoder };
}

it('linears in one matrix are one below the other in the file, in the order of the family, and apart when read', async () => {
  const adapter = adapterOf("lora[attn_matrices=['v', 'q'], r=2, use_gating=True]");
  const files = memoryFiles();
  await saveAdapter(files, 'out', adapter);
  const { tensors } = await readTorch(files, 'out/pytorch_adapter.bin');
  const path = 'model.layers.1.attn.Wqkv';
  const numbers = (from: ReadonlyMap<string, Tensor>, name: string) => Array.from((from.get(name) as Tensor).data as Float32Array);
  for (const [tail, shape] of [
    ['lora_A', [4, 32]],
    ['lora_B', [64, 2]],
    ['gate.weight', [2, 32]],
    ['gate.bias', [2]],
  ] as const) {
    const parts = ['query', 'value'].map((part) => numbers(adapter.tensors, `${path}.${part}.loras.a.${tail}`));
    expect(tensors.get(`${path}.loras.a.${tail}`)?.shape).toEqual(shape);
    expect(numbers(tensors, `${path}.loras.a.${tail}`)).toEqual(parts.flat());
  }
  expect(tensors.size).toBe(4 * encoder.config.layers);
  // Python has no class of its own for adapters on this family.
  expect(new TextDecoder().decode(await files.read('out/adapter_config.json'))).toContain('"model_class": "ModernBertModel"');
  expect((await loadAdapter(files, 'out', { encoder })).tensors).toEqual(adapter.tensors);
});

it('files of a bare encoder, without the prefix, are read as well', async () => {
  const adapter = adapterOf('lora');
  const files = memoryFiles();
  await saveAdapter(files, 'out', adapter);
  const { tensors } = await readTorch(files, 'out/pytorch_adapter.bin');
  await files.write('out/pytorch_adapter.bin', writeTorch([...tensors].map(([key, value]) => [key.slice('model.'.length), value])));
  expect((await loadAdapter(files, 'out', { encoder })).tensors).toEqual(adapter.tensors);
});

it('a tensor for another number of linears is told', async () => {
  const files = memoryFiles();
  await saveAdapter(files, 'out', adapterOf("lora[attn_matrices=['q', 'k', 'v']]"));
  const three = await files.read('out/pytorch_adapter.bin');
  await saveAdapter(files, 'out', adapterOf('lora'));
  await files.write('out/pytorch_adapter.bin', three);
  await expect(loadAdapter(files, 'out', { encoder })).rejects.toMatchObject({
    code: 'adapter.format',
    message: expect.stringContaining('model.layers.0.attn.Wqkv.loras.a.lora_A: found [24,32]; expected [16,32]: 2 linears of [8,32].'),
  });
});

it('PEFT holds whole matrices alone: parts are refused both ways, other linears are kept', async () => {
  const files = memoryFiles();
  await expect(saveAdapter(files, 'out', adapterOf('lora'), { layout: 'peft' })).rejects.toMatchObject({
    code: 'adapter.format',
    message: expect.stringContaining('found model.layers.0.attn.Wqkv.query.loras.a.lora_A, '),
  });
  const whole = adapterOf("lora[attn_matrices=['o'], intermediate_lora=True, output_lora=True]");
  await saveAdapter(files, 'a', whole, { layout: 'peft', format: 'bin' });
  expect((await loadAdapter(files, 'a', { encoder })).tensors).toEqual(whole.tensors);
  const { tensors } = await readTorch(files, 'a/adapter_model.bin');
  const fused = [...tensors].map(([key, value]) => [key.replace('attn.Wo', 'attn.Wqkv'), value] as const);
  await files.write('a/adapter_model.bin', writeTorch(fused));
  await expect(loadAdapter(files, 'a', { encoder })).rejects.toMatchObject({
    code: 'adapter.mismatch',
    message: expect.stringContaining('Wqkv'),
  });
});
