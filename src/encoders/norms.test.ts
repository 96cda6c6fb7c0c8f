import { expect, it } from 'vitest';
import { nodeFiles } from '../base/files-node.ts';
import { encoderNorms, loadEncoder } from './index.ts';

it.each([
  ['bert', 7],
  ['roberta', 7],
  ['xlm-roberta', 7],
  ['distilbert', 7],
  ['electra', 7],
  ['albert', 3],
  ['albert-groups', 5],
])('the norms of %s are what its checkpoint has of them, tied ones once', async (name, count) => {
  const { family, config, weights } = await loadEncoder(nodeFiles, `test/golden/encoders/${name}`);
  const norms = encoderNorms(family, config);
  const gains = [...weights].filter(([key, { shape }]) => key.endsWith('.weight') && shape.length === 1);
  expect(norms).toHaveLength(count);
  expect(new Map(norms.map(({ path, width }) => [`${path}.weight`, [width]]))).toEqual(
    new Map(gains.map(([key, { shape }]) => [key, shape])),
  );
  expect(norms.every(({ path, bias }) => bias && weights.has(`${path}.bias`))).toBe(true);
  expect(norms[0]?.path).toBe(`${family.prefix}embeddings.LayerNorm`);
});
