import type { EncoderFamily, LinearName } from './config.ts';
import { standardConfig } from './fields.ts';

const LINEAR_NAMES: Readonly<Record<LinearName, string>> = {
  query: 'attention.self.query',
  key: 'attention.self.key',
  value: 'attention.self.value',
  attentionOutput: 'attention.output.dense',
  intermediate: 'intermediate.dense',
  output: 'output.dense',
};

/** BERT (Devlin et al. 2019). RoBERTa and its relatives keep the same names. */
export const BERT: EncoderFamily = {
  name: 'bert',
  config: (fields) => standardConfig('bert', fields, { positions: 512, types: 2 }),
  prefix: 'bert.',
  names: {
    word: 'embeddings.word_embeddings',
    position: 'embeddings.position_embeddings',
    type: 'embeddings.token_type_embeddings',
    embeddingNorm: 'embeddings.LayerNorm',
    linear: (layer, name) => `encoder.layer.${layer}.${LINEAR_NAMES[name]}`,
    norm: (layer, place) => `encoder.layer.${layer}.${place === 'attention' ? 'attention.output' : 'output'}.LayerNorm`,
    pooler: 'pooler.dense',
  },
  adapterSites: {
    attention: (layer) => `encoder.layer.${layer}.attention.output.adapters`,
    output: (layer) => `encoder.layer.${layer}.output.adapters`,
  },
  positionsAfterPad: false,
  pooler: true,
  classifier: { linears: ['classifier'], activation: null, pooled: true },
  ignored: [/^cls\./],
  python: 'Bert',
};
