import { expect, test } from 'vitest';
import { nodeFiles } from '../../src/base/files-node.ts';
import type { Tensor } from '../../src/base/tensor.ts';
import { loadAdapter } from '../../src/checkpoint/index.ts';
import { drawEncoder, drawWordScores, loadEncoder } from '../../src/encoders/index.ts';
import { readTorch } from '../../src/formats/torch.ts';
import { slice, weight } from '../../src/graph/index.ts';
import { attach } from '../../src/methods/index.ts';
import { activation, linear, noDropout, norm, parameters } from '../../src/nn/index.ts';
import { nodeEngine } from '../../src/session/node.ts';
import type { FileWeight } from '../../src/session/session.ts';
import { type Batch, feedsOf, readCases, relativeError } from './forward.ts';

const golden = readCases<{
  batches: Record<string, Batch>;
  cases: Record<string, { folder: string; encoder: string; logits: number[][] }>;
}>('masked-lm/cases.json');
/** Those with a whole head of two linears: Linear, gelu, norm, decoder. */
const CASES = Object.entries(golden.cases).filter(([name]) => name.endsWith('_inv'));

test('there is a case for each family', () => {
  expect(CASES.map(([, { encoder }]) => encoder).sort()).toEqual(['albert', 'bert', 'distilbert', 'electra', 'roberta']);
});

/** Words are scored as Python does it, behind the inverse of the coupling that the embeddings went through. */
test.each(CASES)('%s: scores of all words', async (_, { folder, encoder: family, logits }) => {
  const loaded = await loadEncoder(nodeFiles, `test/golden/encoders/${family}`);
  const encoder = { ...loaded, name: `multigraft-tiny-${family}` };
  const adapter = await loadAdapter(nodeFiles, `test/golden/${folder}`, { encoder, head: false });
  const head = (await readTorch(nodeFiles, `test/golden/${folder}/pytorch_model_head.bin`)).tensors;
  const { config } = encoder;
  const resolve = parameters(() => false);
  const hooks = attach(adapter.method, { encoder: config, family: encoder.family, name: adapter.name }).hooks(resolve, noDropout);
  const options = { family: encoder.family, config, parameters: resolve, dropout: noDropout, hooks, read: 'all' } as const;
  const { output } = drawEncoder(options);
  const inner = activation('gelu', 'head.config')(linear(resolve, 'heads.golden.0', output, config.embedding));
  const x = norm(resolve, 'heads.golden.2', inner, config.epsilon);
  const bias = weight('heads.golden.3.bias', 'float32', [config.vocabulary]);
  const batch = golden.batches[family] as Batch;
  const scores = slice(drawWordScores(options, x, bias), 0, 0, batch.inputIds[0]?.length as number);
  const engine = await nodeEngine({ threads: 1 });
  const session = await engine.compile(
    { outputs: { scores } },
    new Map<string, Tensor | FileWeight>([...encoder.weights, ...adapter.tensors, ...head]),
  );
  const results = await session.run(feedsOf(batch, encoder));
  expect(relativeError(results.scores, logits.flat())).toBeLessThan(1e-5);
});
