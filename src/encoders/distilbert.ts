import type { EncoderFamily } from './family.ts';
import { postNormFamily, postNormLinears } from './post-norm.ts';

const LINEAR_PATHS = {
  query: 'attention.q_lin',
  key: 'attention.k_lin',
  value: 'attention.v_lin',
  attentionOutput: 'attention.out_lin',
  intermediate: 'ffn.lin1',
  output: 'ffn.lin2',
};
const layer = (module: number) => `transformer.layer.${module}`;

/** DistilBERT (Sanh et al. 2019): BERT's layers without token types and pooler; its config has names of its own. */
export const DISTILBERT: EncoderFamily = {
  name: 'distilbert',
  config: (fields) => {
    const hidden = fields.integer('dim', 768);
    const layers = fields.integer('n_layers', 6);
    return {
      family: 'distilbert',
      layers,
      hidden,
      heads: fields.integer('n_heads', 12),
      intermediate: fields.integer('hidden_dim', 4 * 768),
      vocabulary: fields.integer('vocab_size', 30522),
      positions: fields.integer('max_position_embeddings', 512),
      types: 0,
      embedding: hidden,
      epsilon: 1e-12,
      activation: fields.text('activation', 'gelu'),
      hiddenDropout: fields.number('dropout', 0.1),
      attentionDropout: fields.number('attention_dropout', 0.1),
      classifierDropout: undefined,
      padId: fields.integer('pad_token_id', 0),
      groups: layers,
    };
  },
  prefix: 'distilbert.',
  linears: postNormLinears((name, module) => `${layer(module)}.${LINEAR_PATHS[name]}`),
  modulePath: (place, module) => `${layer(module)}.${place === 'attention' ? 'attention_adapters' : 'output_adapters'}.adapters`,
  prefixLocation: 'self',
  ...postNormFamily('embeddings.word_embeddings', {
    position: 'embeddings.position_embeddings',
    embeddingNorm: 'embeddings.LayerNorm',
    norm: (place, module) => `${layer(module)}.${place === 'attention' ? 'sa_layer_norm' : 'output_layer_norm'}`,
  }),
  classifier: { linears: ['pre_classifier', 'classifier'], activation: 'relu', pooled: false },
  choice: { linears: ['pre_classifier', 'classifier'], activation: 'relu', pooled: false },
  words: { dense: 'vocab_transform', norm: 'vocab_layer_norm', decoder: 'vocab_projector', activation: 'gelu' },
  ignored: [/^vocab_(transform|layer_norm|projector)\./],
  python: 'DistilBert',
};
