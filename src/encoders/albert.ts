import { fail } from '../base/index.ts';
import type { EncoderFamily } from './family.ts';
import { standardConfig } from './fields.ts';
import { postNormFamily, postNormLinears } from './post-norm.ts';

const LINEAR_PATHS = {
  query: 'attention.query',
  key: 'attention.key',
  value: 'attention.value',
  attentionOutput: 'attention.dense',
  intermediate: 'ffn',
  output: 'ffn_output',
};

const group = (module: number) => `encoder.albert_layer_groups.${module}.albert_layers.0`;

const DEFAULTS = {
  positions: 512,
  types: 2,
  vocabulary: 30000,
  embedding: 128,
  hidden: 4096,
  heads: 64,
  intermediate: 16384,
  activation: 'gelu_new',
  dropout: 0,
};

/** ALBERT (Lan et al. 2020): parameters tied across depth, narrow embeddings with a projection. */
export const ALBERT: EncoderFamily = {
  name: 'albert',
  config(fields) {
    const inner = fields.integer('inner_group_num', 1);
    if (inner !== 1) fail({ code: 'encoder.config', subject: "albert: field 'inner_group_num'", found: String(inner), expected: '1' });
    const groups = fields.integer('num_hidden_groups', 1);
    return standardConfig('albert', fields, { ...DEFAULTS, groups });
  },
  prefix: 'albert.',
  linears: postNormLinears((name, module) => `${group(module)}.${LINEAR_PATHS[name]}`),
  modulePath: (place, module) => `${group(module)}.${place === 'attention' ? 'attention.attention_adapters' : 'output_adapters'}.adapters`,
  ...postNormFamily('embeddings.word_embeddings', {
    position: 'embeddings.position_embeddings',
    type: 'embeddings.token_type_embeddings',
    embeddingNorm: 'embeddings.LayerNorm',
    projection: 'encoder.embedding_hidden_mapping_in',
    alwaysProjects: true,
    norm: (place, module) => `${group(module)}.${place === 'attention' ? 'attention.LayerNorm' : 'full_layer_layer_norm'}`,
    swapsAttentionResidual: true,
  }),
  pooler: 'pooler',
  classifier: { linears: ['classifier'], activation: null, pooled: true },
  choice: { linears: ['classifier'], activation: null, pooled: true },
  words: {
    dense: 'predictions.dense',
    norm: 'predictions.LayerNorm',
    decoder: 'predictions.decoder',
    activation: 'gelu_new',
    bias: 'predictions.bias',
  },
  ignored: [/^predictions\./, /^sop_classifier\./],
  python: 'Albert',
};
