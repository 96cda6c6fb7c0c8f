import { likeBert } from './bert.ts';
import type { EncoderFamily } from './family.ts';
import { standardConfig } from './fields.ts';

/** RoBERTa (Liu et al. 2019): BERT's layers; positions count real tokens from padId + 1, one token type. */
export const ROBERTA: EncoderFamily = {
  ...likeBert({ positionIds: true }),
  name: 'roberta',
  config: (fields) => standardConfig('roberta', fields, { positions: 512, types: 2, padId: 1, vocabulary: 50265 }),
  prefix: 'roberta.',
  pooler: 'pooler.dense',
  classifier: { linears: ['classifier.dense', 'classifier.out_proj'], activation: 'tanh', pooled: false },
  choice: { linears: ['classifier'], activation: null, pooled: true },
  words: { dense: 'lm_head.dense', norm: 'lm_head.layer_norm', decoder: 'lm_head.decoder', activation: 'gelu', bias: 'lm_head.bias' },
  ignored: [/^lm_head\./],
  python: 'Roberta',
};
