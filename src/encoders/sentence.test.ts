import { expect, it } from 'vitest';
import { memoryFiles } from '../base/files.ts';
import { readSentenceModel, usualPooling } from './sentence.ts';

const module = (type: string, path: string) => ({ idx: 0, name: '0', path, type: `sentence_transformers.models.${type}` });
const PLAIN = [module('Transformer', ''), module('Pooling', '1_Pooling')];

function folder(pooling: object, { modules = PLAIN as unknown, ...more }: Record<string, unknown> = {}) {
  const files = { 'e/modules.json': modules, 'e/1_Pooling/config.json': { word_embedding_dimension: 8, ...pooling }, ...more };
  return memoryFiles(Object.fromEntries(Object.entries(files).map(([name, value]) => [name, JSON.stringify(value)])));
}

const read = async (files: ReturnType<typeof folder>) => usualPooling(await readSentenceModel(files, 'e'));

it('is none without modules.json', async () => {
  expect(await readSentenceModel(memoryFiles({ 'e/config.json': '{}' }), 'e')).toBeUndefined();
});

it.each([
  [{ pooling_mode_mean_tokens: true, pooling_mode_cls_token: false }, 'mean'],
  [{ pooling_mode_cls_token: true, pooling_mode_mean_tokens: false, include_prompt: true }, 'first'],
  [{ pooling_mode_max_tokens: true }, 'max'],
  [{ pooling_mode_mean_sqrt_len_tokens: true }, 'mean_sqrt_len'],
  [{}, 'mean'],
])('%j is %s', async (pooling, expected) => {
  expect(await read(folder(pooling))).toBe(expected);
});

it.each([
  [{ pooling_mode_mean_tokens: true, pooling_mode_cls_token: true }, {}, 'found pooling_mode_cls_token, pooling_mode_mean_tokens'],
  [{ pooling_mode_lasttoken: true }, {}, 'found pooling_mode_lasttoken'],
  [{ pooling_mode_weightedmean_tokens: true }, {}, 'found pooling_mode_weightedmean_tokens'],
  [{ pooling_mode_of_tomorrow: true }, {}, 'found pooling_mode_of_tomorrow'],
  [{ pooling_mode_mean_tokens: false }, {}, 'found no pooling_mode'],
  [{ pooling_mode_mean_tokens: 'yes' }, {}, 'pooling_mode_mean_tokens\': found "yes"'],
  [{}, { modules: [module('Transformer', '')] }, 'found no Pooling'],
  [{}, { modules: [PLAIN[0], module('WeightedLayerPooling', '1'), PLAIN[1]] }, 'found WeightedLayerPooling before the pooling'],
  [{}, { modules: [module('CLIPModel', '')] }, 'found the first module CLIPModel'],
  [{}, { modules: [{ type: 'custom_st.Transformer', path: '' }] }, 'found the first module custom_st.Transformer'],
  [{}, { modules: [module('Transformer', '../other')] }, 'modules.json: module 0'],
  [{}, { modules: {} }, 'expected a list of modules'],
  [{}, { 'e/sentence_bert_config.json': { max_seq_length: '12' } }, "field 'max_seq_length'"],
  [{}, { 'e/config_sentence_transformers.json': { prompts: { query: 1 } } }, "field 'prompts'"],
  [{}, { 'e/config_sentence_transformers.json': { prompts: { a: 'b' }, default_prompt_name: 'c' } }, "field 'default_prompt_name'"],
])('%j with %j is refused', async (pooling, more, message) => {
  await expect(read(folder(pooling, more))).rejects.toThrow(message);
});

it('reads what else decides a vector, in the layout before version 2 too', async () => {
  const files = folder(
    { pooling_mode_mean_tokens: true },
    {
      modules: [module('Transformer', '0_Transformer'), PLAIN[1], module('Dense', '2_Dense'), module('Normalize', '3_Normalize')],
      'e/0_Transformer/sentence_bert_config.json': { max_seq_length: 64, do_lower_case: true },
      'e/config_sentence_transformers.json': { prompts: { query: 'query: ', text: '' }, default_prompt_name: 'query' },
    },
  );
  expect(await readSentenceModel(files, 'e')).toEqual({
    folder: 'e',
    encoder: 'e/0_Transformer',
    pooling: 'mean',
    refused: undefined,
    includesPrompt: true,
    normalizes: true,
    others: ['Dense'],
    maxLength: 64,
    lowercases: true,
    prompts: new Map([
      ['query', 'query: '],
      ['text', ''],
    ]),
    defaultPrompt: 'query',
  });
});
