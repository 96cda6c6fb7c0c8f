import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { AutoAdapterModel } from '../../src/auto-adapter-model/index.ts';
import { nodeFiles } from '../../src/base/files-node.ts';
import { float32, type Tensor } from '../../src/base/index.ts';
import { loadAdapter } from '../../src/checkpoint/index.ts';
import { loadEncoder } from '../../src/encoders/index.ts';
import { bindAdapter, configureMethod, encoderFacts } from '../../src/methods/index.ts';
import { firstValues } from '../../src/model/first-values.ts';
import { writeTinyEncoder } from '../tiny.ts';
import { readCases, relativeError } from './forward.ts';

interface Prompts {
  readonly ids: readonly number[];
  readonly cases: Readonly<
    Record<
      string,
      { readonly encoder: string; readonly length: number; readonly key: string; readonly shape: number[]; readonly sum: number[] }
    >
  >;
}

const golden = readCases<Prompts>('prompt-text.json');
const textOf = (length: number) => `prompt_tuning[prompt_length=${length}, prompt_init='from_string', prompt_init_text='Is it?']`;

it('has twelve cases', () => {
  expect(Object.keys(golden.cases)).toHaveLength(12);
});

it.each(Object.values(golden.cases))('a prompt of $length vectors starts from a text on $encoder as in Python', async (one) => {
  const encoder = await loadEncoder(nodeFiles, `test/golden/encoders/${one.encoder}`);
  const facts = encoderFacts({ ...encoder, tokenize: () => golden.ids });
  const { parameters } = bindAdapter(configureMethod(textOf(one.length)), { ...facts, name: 'x' });
  const value = (await firstValues(parameters, encoder, { seed: 1 })).get(one.key) as Tensor;
  expect(value.shape).toEqual(one.shape);
  const [rows, width] = one.shape as [number, number];
  const sums = Array.from({ length: rows }, (_, i) =>
    Array.from(value.data.slice(i * width, (i + 1) * width), Number).reduce((a, b) => a + b),
  );
  expect(relativeError(float32([rows], sums), one.sum)).toBeLessThan(1e-6);
});

it('a new adapter takes the tokens of the encoder’s own tokenizer', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'multigraft-prompt-'));
  try {
    const model = await AutoAdapterModel.fromPretrained(await writeTinyEncoder(folder));
    model.addAdapter('x', textOf(4));
    await model.saveAdapter(join(folder, 'x'), 'x');
    const { tensors } = await loadAdapter(nodeFiles, join(folder, 'x'), { encoder: model.encoder });
    const words = (await model.encoder.weights.get('bert.embeddings.word_embeddings.weight')?.read()) as Tensor;
    const [first] = model.tokenizer.encode('Is it?').inputIds as Int32Array & [number];
    expect([...tensors.values()][0]?.data.slice(0, 32)).toEqual(words.data.slice(32 * first, 32 * first + 32));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
