import { fail } from '../base/index.ts';
import type { ConfigFields, EncoderConfig } from './config.ts';
import type { EncoderFamily } from './family.ts';
import { standardConfig } from './fields.ts';
import { postNormFamily, postNormLinears } from './post-norm.ts';
import { distanceBias } from './relative.ts';

const LINEAR_PATHS = {
  query: 'attention.attn.q',
  key: 'attention.attn.k',
  value: 'attention.attn.v',
  attentionOutput: 'attention.attn.o',
  intermediate: 'intermediate.dense',
  output: 'output.dense',
};
const layer = (module: number) => `encoder.layer.${module}`;

/** Python takes these for given, whatever config.json says. */
const BUCKETS = 32;
const PAD_ID = 1;
const FARTHEST = 128;

/** MPNet (Song et al. 2020): BERT's layers, positions as RoBERTa counts them, and a bias by distance in every layer's attention. */
export const MPNET: EncoderFamily = {
  ...postNormFamily('embeddings.word_embeddings', {
    position: 'embeddings.position_embeddings',
    embeddingNorm: 'embeddings.LayerNorm',
    norm: (place, module) => `${layer(module)}.${place === 'attention' ? 'attention' : 'output'}.LayerNorm`,
    positionIds: true,
    attention(tools, { heads, positions }) {
      const table = tools.table('encoder.relative_attention_bias', BUCKETS, heads);
      const text = positions - PAD_ID - 1;
      return ({ all: { length } }) => ({
        bias: (_queries, _keys, from, to) => distanceBias(table, mpnetBucket, { rows: [from, to], columns: [0, length], length, text }),
      });
    },
  }),
  linears: postNormLinears((name, module) => `${layer(module)}.${LINEAR_PATHS[name]}`),
  modulePath: (place, module) => `${layer(module)}.${place === 'attention' ? 'attention_adapters' : 'output_adapters'}.adapters`,
  name: 'mpnet',
  python: 'MPNet',
  adapted: 'MPNetModel',
  config: readConfig,
  prefix: 'mpnet.',
  pooler: 'pooler.dense',
  classifier: { linears: ['classifier.dense', 'classifier.out_proj'], activation: 'tanh', pooled: false },
  ignored: [/^lm_head\./],
};

function readConfig(fields: ConfigFields): EncoderConfig {
  const config = standardConfig('mpnet', fields, { positions: 512, types: 0, padId: PAD_ID, vocabulary: 30527 });
  const buckets = fields.integer('relative_attention_num_buckets', BUCKETS);
  if (buckets !== BUCKETS) refuse('relative_attention_num_buckets', buckets, BUCKETS);
  if (config.padId !== PAD_ID) refuse('pad_token_id', config.padId, PAD_ID);
  return { ...config, types: 0 };
}

function refuse(name: string, found: number, expected: number): never {
  return fail({
    code: 'encoder.config',
    subject: `mpnet: field '${name}'`,
    found: String(found),
    expected: `${expected}, which Python computes with in any case`,
  });
}

/**
 * The row of a distance key − query: half of the rows for keys that come later, and of each half one for each of the first 8 distances,
 * then one for a range of them that grows by √2, up to 128. Computed in float32, as Python does: ranges end where its roundings fall.
 */
export function mpnetBucket(distance: number): number {
  const half = BUCKETS / 2;
  const exact = half / 2;
  const far = Math.abs(distance);
  const side = distance > 0 ? half : 0;
  if (far < exact) return side + far;
  const ratio = Math.fround(Math.fround(Math.log(far / exact)) / Math.fround(Math.log(FARTHEST / exact)));
  return side + Math.min(half - 1, exact + Math.trunc(Math.fround(ratio * exact)));
}
