import { expect, test } from 'vitest';
import { open, world } from '../../test/tiny-world.ts';
import { fuse, stack } from '../methods/index.ts';
import { AutoAdapterModel } from './auto-adapter-model.ts';

const ROWS = [{ text: 'bako mitu lesar' }, { text: 'sarnof' }];
const numbers = (answers: readonly { readonly logits?: unknown }[]) => answers.flatMap(({ logits }) => logits as number[]);

function close(found: readonly number[], expected: readonly number[]) {
  expect(found).toHaveLength(expected.length);
  for (const [i, x] of found.entries()) expect(x).toBeCloseTo(expected[i] as number, 6);
}

async function withLora() {
  const files = world();
  const model = await open(files);
  model.addAdapter('a', 'lora[init_weights="bert",alpha=800]');
  model.addAdapter('b', 'dora[init_weights="bert"]');
  model.addClassificationHead('a', { numLabels: 3 });
  model.setActiveAdapters('a');
  return { files, model };
}

test('a merged adapter answers as it did beside the encoder, and is taken out to the last bit', async () => {
  const { model } = await withLora();
  const stock = model.encoder;
  const before = numbers(await model.predict(ROWS));
  await model.mergeAdapter();
  expect([model.activeAdapters, model.activeHead]).toEqual([undefined, 'a']);
  expect(model.encoder).not.toBe(stock);
  close(numbers(await model.predict(ROWS)), before);
  await model.resetAdapter();
  expect(model.encoder).toBe(stock);
  expect(model.activeAdapters).toBe('a');
  expect(numbers(await model.predict(ROWS))).toEqual(before);
  await model.resetAdapter();
  expect(model.activeAdapters).toBe('a');
});

test('while something is merged no other adapter can be active, and nothing is trained or mixed', async () => {
  const { model } = await withLora();
  await model.mergeAdapter(stack('a', 'b'));
  const merged = /merged into its weights/;
  expect(() => model.setActiveAdapters('b')).toThrow(merged);
  await expect(model.mergeAdapter('b')).rejects.toThrow(merged);
  await expect(model.predict(ROWS, { adapterNames: ['a', 'b'] })).rejects.toThrow(merged);
  await expect(model.trainAdapter('a')).rejects.toThrow(merged);
  model.setActiveAdapters(undefined);
});

test('a whole model is written with what was merged, its tokenizer and head, and reads back as it was', async () => {
  const { files, model } = await withLora();
  await expect(model.saveModel('out')).rejects.toThrow(/no part of the encoder's weights/);
  await model.mergeAdapter('a');
  const before = numbers(await model.predict(ROWS));
  await model.saveModel('out');
  expect((await files.list('out')).toSorted()).toEqual([
    'config.json',
    'head_config.json',
    'model.safetensors',
    'model_head.safetensors',
    'tokenizer.json',
    'tokenizer_config.json',
  ]);
  const again = await AutoAdapterModel.fromPretrained('out', {
    files,
    engine: (await import('../session/reference.ts')).referenceEngine(),
  });
  close(numbers(await again.predict(ROWS)), before);
});

test('what no weights can stand for is refused by name, and the model stays as it was', async () => {
  const { model } = await withLora();
  model.addAdapter('c', 'seq_bn');
  model.addAdapter('d', 'seq_bn');
  const mixed = model.addAdapterFusion(fuse(['c', 'd']));
  const stock = model.encoder;
  await expect(model.mergeAdapter('c')).rejects.toThrow(/'residual', where no weights stand/);
  await expect(model.mergeAdapter(mixed)).rejects.toThrow(/a fusion, whose attention depends on each token/);
  await expect(model.mergeAdapter('nobody')).rejects.toMatchObject({ code: 'adapter.missing' });
  expect(model.encoder).toBe(stock);
  expect(model.activeAdapters).toBe('a');
});
