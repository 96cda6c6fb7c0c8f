import { describe, expect, it } from 'vitest';
import { nodeFiles } from '../base/files-node.ts';
import { drawEncoder, drawPooled, loadEncoder } from '../encoders/index.ts';
import { noDropout, recordedParameters } from '../nn/index.ts';
import { checkAttachment } from '../testing/index.ts';
import { attach } from './attachment.ts';
import { encoderFacts } from './context.ts';
import { placedLinears } from './linears.ts';
import { configureMethod } from './registry.ts';

const GOLDEN = 'test/golden/encoders';
const load = (family: string) => loadEncoder(nodeFiles, `${GOLDEN}/${family}`);
const placed = async (family: string, config: object) =>
  placedLinears({ leave_out: [], ...config }, encoderFacts(await load(family))).map(({ path }) => path);

describe('linears are found', () => {
  it('by names, ends of paths, and this package’s names', async () => {
    expect(await placed('bert', { linears: ['pooler', 'query', 'layer.1.output.dense'], leave_out: [0] })).toEqual([
      'bert.encoder.layer.1.attention.self.query',
      'bert.encoder.layer.1.output.dense',
      'bert.encoder.layer.2.attention.self.query',
      'bert.pooler.dense',
    ]);
    expect(await placed('albert', { linears: ['embedding_hidden_mapping_in', 'albert.pooler'] })).toEqual([
      'albert.encoder.embedding_hidden_mapping_in',
      'albert.pooler',
    ]);
  });

  it('by a pattern over the whole path, with the prefix or without it, of whole matrices alone', async () => {
    expect(await placed('bert', { linears: 'encoder\\.layer\\.[02]\\.(intermediate|output)\\.dense' })).toHaveLength(4);
    expect(await placed('bert', { linears: 'bert.*\\.key', exclude_linears: ['layer.1.attention.self.key'] })).toHaveLength(2);
    expect(await placed('modernbert', { linears: '.*Wqkv.*', leave_out: [1] })).not.toContainEqual(expect.stringContaining('query'));
  });

  it('all of them that all tokens pass', async () => {
    const all = await placed('electra', { linears: 'all-linear' });
    expect(all[0]).toBe('electra.embeddings_project');
    expect((await placed('bert', { linears: 'all-linear' })).filter((path) => path.includes('pooler'))).toEqual([]);
    expect(new Set((await placed('modernbert', { linears: 'all-linear' })).map((path) => path.split('.').at(-1)))).toEqual(
      new Set(['Wqkv', 'Wo', 'Wi']),
    );
  });

  it.each([
    ['bert', { linears: ['classifier'] }, "found 'classifier'"],
    ['bert', { linears: ['uery'] }, "found 'uery'"],
    ['roberta', { linears: ['embeddings_project'] }, "found 'embeddings_project'"],
    ['bert', { linears: '.*nothing' }, "found '.*nothing'"],
    ['bert', { linears: '(?=a)' }, "found '(?='"],
    ['bert', { linears: ['query'], exclude_linears: ['query'] }, 'found all 3 linears'],
    ['modernbert', { linears: ['Wqkv', 'query'] }, 'and its part'],
  ])('%s %j is refused', async (family, config, message) => {
    await expect(placed(family, config)).rejects.toThrow(message);
  });
});

it.each([
  ['bert', "lora[linears='all-linear']"],
  ['albert', "lora[linears=['projection', 'output']]"],
  ['modernbert', "lora[linears='all-linear']"],
  ['electra', "ia3[linears=['embeddings_project', 'query']]"],
])('%s with %s keeps the rules of attachments', async (family, text) => {
  const encoder = await load(family);
  await checkAttachment({ name: text, encoder, attachment: attach(configureMethod(text), { ...encoderFacts(encoder), name: 'a' }) });
});

it('at the pooler is read where the pooler is', async () => {
  const encoder = await load('bert');
  const attachment = attach(configureMethod("lora[linears=['pooler']]"), { ...encoderFacts(encoder), name: 'a' });
  const { get, read } = recordedParameters(() => true);
  const options = { ...encoder, parameters: get, dropout: noDropout, hooks: attachment.hooks(get, noDropout), read: 'first' } as const;
  const { first } = drawEncoder(options);
  const names = attachment.parameters.map(({ name }) => name);
  expect(names).toEqual(['bert.pooler.dense.loras.a.lora_A', 'bert.pooler.dense.loras.a.lora_B']);
  expect(names.filter((name) => read.has(name))).toEqual([]);
  expect(drawPooled(options, first).shape).toEqual(['B', 32]);
  expect(names.filter((name) => read.has(name))).toEqual(names);
});
