import { add, gather, input, multiplyDims, reshape, slice, type Value } from '../graph/index.ts';
import { activation } from '../nn/index.ts';
import type { EncoderConfig, Place } from './config.ts';
import type { Attention, EncoderTools, Layer, Layers } from './drawing.ts';
import type { EncoderFamily, LinearPlace } from './family.ts';
import { countedPositions } from './positions.ts';

type Linear = 'query' | 'key' | 'value' | 'attentionOutput' | 'intermediate' | 'output';

export type LayerAttention = (layer: Layer) => Pick<Attention, 'bias' | 'scale'>;

/** What sets post-norm families apart: names of weights without prefix, `.weight` and `.bias`, and how positions are counted. */
export interface PostNorm {
  readonly position: string;
  /** Absent where the family has no token types. */
  readonly type?: string;
  readonly embeddingNorm: string;
  /** From the width of the tables to that of the layers; not there where these are the same, but for a family that always has it. */
  readonly projection?: string;
  readonly alwaysProjects?: true;
  readonly norm: (place: Place, module: number) => string;
  /** Positions are the input `positionIds` [batch, S] int32, instead of 0, 1, 2, …. */
  readonly positionIds?: true;
  /**
   * The Python library hands adapters after attention the sub-block's input as its output and the other way round: what
   * trained there only works so.
   */
  readonly swapsAttentionResidual?: true;
  /** What else attention is told, called once for an encoder and what it gives once for each layer. */
  readonly attention?: (tools: EncoderTools, config: EncoderConfig) => LayerAttention;
}

/**
 * The post-norm transformer encoder (Vaswani et al. 2017; Devlin et al. 2019): embeddings of word, position and type, summed and
 * normed, then layers of attention and feed-forward, a norm after each residual. Inputs: inputIds [B, S] int32, tokenTypeIds
 * [B, S] int32 where the family has types.
 */
export function drawPostNorm(tools: EncoderTools, config: EncoderConfig, wordTable: string, own: PostNorm): Layers {
  const { tokens, dropout } = tools;
  const ids = (name: string) => input(name, 'int32', [tokens.batch, tokens.length]);
  const positions = tools.table(own.position, config.positions, config.embedding);
  const words = gather(tools.table(wordTable, config.vocabulary, config.embedding), ids('inputIds'));
  let sum = add(words, own.positionIds ? gather(positions, ids('positionIds')) : slice(positions, 0, 0, tokens.length));
  if (own.type !== undefined && config.types > 0)
    sum = add(sum, gather(tools.table(own.type, config.types, config.embedding), ids('tokenTypeIds')));
  const flat = reshape(sum, [multiplyDims(tokens.batch, tokens.length), config.embedding]);
  const embedded = tools.embedded(dropout(tools.norm(own.embeddingNorm, flat), config.hiddenDropout, 'embeddings'));
  const projects = own.projection !== undefined && (own.alwaysProjects || config.embedding !== config.hidden);
  const x = projects ? tools.linear(own.projection, embedded, config.hidden) : embedded;
  const { attention: kind, ...named } = own;
  const attention = kind?.(tools, config);
  return tools.layers(x, (layer, before) => postNormLayer(layer, before, config, { ...named, dropout, ...(attention && { attention }) }));
}

export interface PostNormLayer extends Pick<PostNorm, 'norm' | 'swapsAttentionResidual'> {
  readonly dropout: EncoderTools['dropout'];
  readonly attention?: LayerAttention;
}

/** One layer over x [rows, hidden]. */
export function postNormLayer(layer: Layer, x: Value, config: EncoderConfig, own: PostNormLayer): Value {
  const { hiddenDropout } = config;
  const { dropout, norm } = own;
  const where = `layer.${layer.layer}`;
  const before = layer.pick(x);
  const context = layer.attention({
    query: layer.linear('query', before),
    key: layer.linear('key', x, layer.all),
    value: layer.linear('value', x, layer.all),
    ...own.attention?.(layer),
  });
  const attended = dropout(layer.linear('attentionOutput', context), hiddenDropout, `${where}.attentionOutput`);
  const [h, residual] = own.swapsAttentionResidual ? [before, attended] : [attended, before];
  const middle = layer.residual('attention', h, residual, { norm: norm('attention', layer.module) });

  const inner = activation(config.activation, 'encoder.config')(layer.linear('intermediate', middle));
  const forward = dropout(layer.linear('output', inner), hiddenDropout, `${where}.output`);
  return layer.residual('output', forward, middle, { norm: norm('output', layer.module) });
}

/** The six linears of a post-norm layer, by their paths. */
export function postNormLinears(path: (name: Linear, module: number) => string): readonly LinearPlace[] {
  const hidden = (config: EncoderConfig) => config.hidden;
  const intermediate = (config: EncoderConfig) => config.intermediate;
  const place = (name: Linear, fanIn = hidden, out = hidden): LinearPlace => ({ name, path: (module) => path(name, module), fanIn, out });
  return [
    place('query'),
    place('key'),
    place('value'),
    place('attentionOutput'),
    place('intermediate', hidden, intermediate),
    place('output', intermediate, hidden),
  ];
}

/** What all post-norm families have in common, by what sets each apart. */
export function postNormFamily(
  wordTable: string,
  own: PostNorm,
): Pick<EncoderFamily, 'wordTable' | 'projection' | 'alwaysProjects' | 'normPath' | 'inputs' | 'mostTokens' | 'draw'> {
  return {
    wordTable,
    ...(own.projection !== undefined && { projection: own.projection }),
    ...(own.alwaysProjects && { alwaysProjects: true }),
    normPath: own.norm,
    inputs: (ids, { padId }) => (own.positionIds ? { positionIds: countedPositions(ids, padId) } : {}),
    mostTokens: ({ positions, padId }) => (own.positionIds ? positions - padId - 1 : positions),
    draw: (tools, config) => drawPostNorm(tools, config, wordTable, own),
  };
}
