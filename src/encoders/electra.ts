import { likeBert } from './bert.ts';
import type { EncoderFamily } from './family.ts';
import { standardConfig } from './fields.ts';

/** ELECTRA's discriminator (Clark et al. 2020): BERT's layers, narrow embeddings with a projection, no pooler. */
export const ELECTRA: EncoderFamily = {
  ...likeBert({ projection: 'embeddings_project' }),
  name: 'electra',
  config: (fields) =>
    standardConfig('electra', fields, { positions: 512, types: 2, embedding: 128, hidden: 256, heads: 4, intermediate: 1024 }),
  prefix: 'electra.',
  classifier: { linears: ['classifier.dense', 'classifier.out_proj'], activation: 'gelu', pooled: false },
  choice: { linears: ['sequence_summary.summary', 'classifier'], activation: 'gelu', pooled: false },
  words: {
    dense: 'generator_predictions.dense',
    norm: 'generator_predictions.LayerNorm',
    decoder: 'generator_lm_head',
    activation: 'gelu',
  },
  ignored: [/^discriminator_predictions\./, /^generator_(predictions|lm_head)\./],
  python: 'Electra',
};
