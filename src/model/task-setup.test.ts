import { expect, it } from 'vitest';
import { nodeFiles } from '../base/files-node.ts';
import { loadEncoder } from '../encoders/index.ts';
import { withDropout } from './task-setup.ts';

it.each([
  ['bert', ['hiddenDropout', 'attentionDropout', 'classifierDropout']],
  ['modernbert', ['hiddenDropout', 'attentionDropout', 'classifierDropout', 'embeddingDropout']],
])('one rate of dropout takes the place of all that %s has, and of nothing else', async (name, rates) => {
  const encoder = await loadEncoder(nodeFiles, `test/golden/encoders/${name}`);
  const { config } = withDropout(encoder, 0.3);
  expect(config).toEqual({ ...encoder.config, ...Object.fromEntries(rates.map((rate) => [rate, 0.3])) });
  expect(withDropout(encoder, undefined)).toBe(encoder);
});
