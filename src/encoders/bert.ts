import type { EncoderFamily } from './family.ts';
import { standardConfig } from './fields.ts';
import { type PostNorm, postNormFamily, postNormLinears } from './post-norm.ts';

const LINEAR_PATHS = {
  query: 'attention.self.query',
  key: 'attention.self.key',
  value: 'attention.self.value',
  attentionOutput: 'attention.output.dense',
  intermediate: 'intermediate.dense',
  output: 'output.dense',
};
const layer = (module: number) => `encoder.layer.${module}`;
const WORDS = 'embeddings.word_embeddings';

const NAMES: PostNorm = {
  position: 'embeddings.position_embeddings',
  type: 'embeddings.token_type_embeddings',
  embeddingNorm: 'embeddings.LayerNorm',
  norm: (place, module) => `${layer(module)}.${place === 'attention' ? 'attention.output' : 'output'}.LayerNorm`,
};

/** A family with BERT's layers and names, but for what is changed. */
export function likeBert(
  changes: Partial<PostNorm> = {},
): Omit<EncoderFamily, 'name' | 'config' | 'prefix' | 'classifier' | 'ignored' | 'python'> {
  return {
    linears: postNormLinears((name, module) => `${layer(module)}.${LINEAR_PATHS[name]}`),
    modulePath: (place, module) => `${layer(module)}.${place === 'attention' ? 'attention.output' : 'output'}.adapters`,
    ...postNormFamily(WORDS, { ...NAMES, ...changes }),
  };
}

/** BERT (Devlin et al. 2019). RoBERTa and its relatives keep the same names. */
export const BERT: EncoderFamily = {
  ...likeBert(),
  name: 'bert',
  config: (fields) => standardConfig('bert', fields, { positions: 512, types: 2 }),
  prefix: 'bert.',
  pooler: 'pooler.dense',
  classifier: { linears: ['classifier'], activation: null, pooled: true },
  choice: { linears: ['classifier'], activation: null, pooled: true },
  words: {
    dense: 'cls.predictions.transform.dense',
    norm: 'cls.predictions.transform.LayerNorm',
    decoder: 'cls.predictions.decoder',
    activation: 'gelu',
    bias: 'cls.predictions.bias',
  },
  ignored: [/^cls\./],
  python: 'Bert',
};
