import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { Tensor } from '../../src/base/tensor.ts';
import { loadEncoder } from '../../src/encoders/index.ts';
import { readSafetensors } from '../../src/formats/safetensors.ts';
import { configureMethod, methodOfConfig } from '../../src/methods/index.ts';
import { drawModel } from '../../src/model/draw.ts';
import { adapterModel, weightsOf } from '../../src/model/model.ts';
import { noDropout, TOKEN_POOLINGS } from '../../src/nn/index.ts';
import { createHead } from '../../src/objectives/index.ts';
import { referenceEngine } from '../../src/session/reference.ts';
import { goldenFiles } from './files.ts';
import { feedsOf, relativeError } from './forward.ts';

const FOLDER = 'test/golden/trajectories';
const NAMES = ['seq_bn-mean', 'full-max', 'lora-mean_sqrt_len'];

test('every pooling over tokens is compared', () => {
  expect(NAMES.map((name) => name.split('-')[1]).sort()).toEqual([...TOKEN_POOLINGS].sort());
});

test.each(NAMES)('%s: logits are those of PyTorch with sentence-transformers’ pooling', async (name) => {
  const golden = JSON.parse(readFileSync(`${FOLDER}/${name}.json`, 'utf8'));
  const encoder = await loadEncoder(goldenFiles, `test/golden/encoders/${golden.encoder}`);
  const head = createHead('golden', { head_type: 'classification', ...golden.head });
  const method = golden.config ? methodOfConfig(golden.config, name) : configureMethod(golden.method);
  const { tensors } = await readSafetensors(goldenFiles, `${FOLDER}/${golden.parameters}`);
  const model = adapterModel(encoder, method, 'golden', head);
  const { logits } = drawModel(model, noDropout, () => false);
  const session = await referenceEngine().compile({ outputs: { logits: logits[0] as never } }, weightsOf(model, tensors));
  const result: Record<string, Tensor> = await session.run(feedsOf(golden, encoder));
  expect(relativeError(result.logits, golden.logitsBefore64.flat())).toBeLessThan(1e-5);
});
