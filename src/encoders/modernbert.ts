import { fail } from '../base/index.ts';
import { gather, input, mul, multiplyDims, reshape, slice, type Value } from '../graph/index.ts';
import { activation } from '../nn/index.ts';
import type { ConfigFields, EncoderConfig } from './config.ts';
import type { EncoderTools, Layer } from './drawing.ts';
import type { EncoderFamily } from './family.ts';

export interface ModernBertConfig extends EncoderConfig {
  /** Every so many layers one attends to all tokens, the first layer among them. */
  readonly globalEvery: number;
  /** How many places away a token may be for the other layers. */
  readonly window: number;
  /** Bases of rotary positions in layers of either kind. */
  readonly globalTheta: number;
  readonly localTheta: number;
  readonly normBias: boolean;
  readonly attentionBias: boolean;
  readonly feedForwardBias: boolean;
  /** Of the embeddings; `hiddenDropout` is that inside the feed-forward block, `attentionDropout` also that after attention. */
  readonly embeddingDropout: number;
}

const PARTS = ['query', 'key', 'value'] as const;
const WORDS = 'embeddings.tok_embeddings';
const layerPath = (module: number) => `layers.${module}`;

/** ModernBERT (Warner et al. 2024): norms before sub-blocks, rotary positions, gated feed-forward, and a window in most layers. */
export const MODERNBERT: EncoderFamily<ModernBertConfig> = {
  name: 'modernbert',
  python: 'ModernBert',
  adapted: 'ModernBertModel',
  prefix: 'model.',
  config: readConfig,
  linears: [
    {
      name: 'queryKeyValue',
      path: (module) => `${layerPath(module)}.attn.Wqkv`,
      fanIn: ({ hidden }) => hidden,
      out: ({ hidden }) => 3 * hidden,
      bias: ({ attentionBias }) => attentionBias,
      parts: PARTS,
    },
    {
      name: 'attentionOutput',
      path: (module) => `${layerPath(module)}.attn.Wo`,
      fanIn: ({ hidden }) => hidden,
      out: ({ hidden }) => hidden,
      bias: ({ attentionBias }) => attentionBias,
    },
    {
      name: 'intermediate',
      path: (module) => `${layerPath(module)}.mlp.Wi`,
      fanIn: ({ hidden }) => hidden,
      out: ({ intermediate }) => 2 * intermediate,
      bias: ({ feedForwardBias }) => feedForwardBias,
    },
    {
      name: 'output',
      path: (module) => `${layerPath(module)}.mlp.Wo`,
      fanIn: ({ intermediate }) => intermediate,
      out: ({ hidden }) => hidden,
      bias: ({ feedForwardBias }) => feedForwardBias,
    },
  ],
  normPath: () => undefined,
  modulePath: (place, module) => `${layerPath(module)}.${place === 'attention' ? 'attention_adapters' : 'output_adapters'}.adapters`,
  wordTable: WORDS,
  inputs: () => ({}),
  mostTokens: ({ positions }) => positions,
  draw(tools, config) {
    const { tokens, dropout } = tools;
    const bias = config.normBias;
    const ids = input('inputIds', 'int32', [tokens.batch, tokens.length]);
    const words = gather(tools.table(WORDS, config.vocabulary, config.hidden), ids);
    const flat = reshape(words, [multiplyDims(tokens.batch, tokens.length), config.hidden]);
    const normed = tools.norm('embeddings.norm', flat, { bias });
    const x = tools.embedded(dropout(normed, config.embeddingDropout, 'embeddings'));
    const { hiddenStates, rows } = tools.layers(x, (layer, before) => drawLayer(layer, before, config, dropout));
    return { hiddenStates, rows, output: tools.norm('final_norm', hiddenStates.at(-1) as Value, { bias, rows }) };
  },
  // The dense layer, norm and decoder of masked-word prediction.
  ignored: [/^head\./, /^decoder\./],
};

function drawLayer(layer: Layer, x: Value, config: ModernBertConfig, dropout: EncoderTools['dropout']): Value {
  const { layer: index, module, all } = layer;
  const bias = config.normBias;
  const local = index % config.globalEvery !== 0;

  // The embeddings of the first layer have just been normed.
  const read = index === 0 ? x : layer.norm(`${layerPath(module)}.attn_norm`, x, { bias, rows: all });
  const [query, key, value] = layer.parts('queryKeyValue', read) as [Value, Value, Value];
  const context = layer.attention({
    query: layer.pick(query),
    key,
    value,
    theta: local ? config.localTheta : config.globalTheta,
    ...(local && { window: config.window }),
  });
  const attended = dropout(layer.linear('attentionOutput', context), config.attentionDropout, `layer.${index}.attentionOutput`);
  const middle = layer.residual('attention', attended, layer.pick(x), { read: layer.pick(read) });

  const normed = layer.norm(`${layerPath(module)}.mlp_norm`, middle, { bias });
  const both = layer.linear('intermediate', normed);
  const half = (i: number) => slice(both, 1, i * config.intermediate, (i + 1) * config.intermediate);
  const gated = mul(activation(config.activation, 'encoder.config')(half(0)), half(1));
  const inner = dropout(gated, config.hiddenDropout, `layer.${index}.intermediate`);
  return layer.residual('output', layer.linear('output', inner), middle, { read: normed });
}

function readConfig(fields: ConfigFields): ModernBertConfig {
  const hidden = fields.integer('hidden_size', 768);
  const layers = fields.integer('num_hidden_layers', 22);
  const heads = fields.integer('num_attention_heads', 12);
  if ((hidden / heads) % 2 !== 0) refuse('num_attention_heads', heads, `heads of an even width, of ${hidden} hidden units`);
  // Later versions of the Python class write the two patterns so.
  for (const name of ['rope_scaling', 'rope_parameters', 'layer_types'])
    if (fields.has(name)) refuse(name, 'a value', 'global_attn_every_n_layers, global_rope_theta and local_rope_theta alone');
  const globalTheta = positive('global_rope_theta', fields.number('global_rope_theta', 160000));
  return {
    family: 'modernbert',
    layers,
    hidden,
    heads,
    intermediate: fields.integer('intermediate_size', 1152),
    vocabulary: fields.integer('vocab_size', 50368),
    positions: fields.integer('max_position_embeddings', 8192),
    types: 0,
    embedding: hidden,
    epsilon: fields.number('norm_eps', 1e-5),
    activation: fields.text('hidden_activation', 'gelu'),
    hiddenDropout: fields.number('mlp_dropout', 0),
    attentionDropout: fields.number('attention_dropout', 0),
    classifierDropout: fields.number('classifier_dropout', 0),
    embeddingDropout: fields.number('embedding_dropout', 0),
    padId: fields.integer('pad_token_id', 50283),
    groups: layers,
    globalEvery: positive('global_attn_every_n_layers', fields.integer('global_attn_every_n_layers', 3)),
    window: Math.floor(fields.integer('local_attention', 128) / 2),
    globalTheta,
    localTheta: fields.isNull('local_rope_theta') ? globalTheta : positive('local_rope_theta', fields.number('local_rope_theta', 10000)),
    normBias: fields.flag('norm_bias', false),
    attentionBias: fields.flag('attention_bias', false),
    feedForwardBias: fields.flag('mlp_bias', false),
  };
}

function positive(name: string, value: number): number {
  return value > 0 ? value : refuse(name, value, 'more than 0');
}

function refuse(name: string, found: number | string, expected: string): never {
  return fail({ code: 'encoder.config', subject: `modernbert: field '${name}'`, found: String(found), expected });
}
