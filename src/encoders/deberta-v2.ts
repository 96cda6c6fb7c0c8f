import { fail } from '../base/index.ts';
import {
  add,
  addDims,
  concat,
  type Dim,
  expand,
  gather,
  input,
  matmul,
  mul,
  multiplyDims,
  relu,
  reshape,
  scalar,
  slice,
  transpose,
  type Value,
} from '../graph/index.ts';
import { activation, attentionScores, splitHeads } from '../nn/index.ts';
import type { ConfigFields, EncoderConfig } from './config.ts';
import type { EncoderTools, Layer } from './drawing.ts';
import type { EncoderFamily } from './family.ts';
import { standardConfig } from './fields.ts';
import { type LayerAttention, postNormLayer, postNormLinears } from './post-norm.ts';
import { byDistance, byPlaces } from './relative.ts';
import type { Rows } from './sites.ts';

export interface DebertaConfig extends EncoderConfig {
  /** Whether positions are added to the embeddings. */
  readonly positionTable: boolean;
  readonly relative: RelativePositions | undefined;
  /** After the first layer. */
  readonly convolution: { readonly width: number; readonly activation: string } | undefined;
}

interface RelativePositions {
  /** Half of the rows of the table of distances. */
  readonly span: number;
  /** Distances up to half of so many have a row each, and farther ones share them; 0 for a row for each. */
  readonly buckets: number;
  readonly farthest: number;
  /** Whether the table goes through a norm. */
  readonly norm: boolean;
  readonly contentToPosition: boolean;
  readonly positionToContent: boolean;
}

const layer = (module: number) => `encoder.layer.${module}`;
const LINEAR_PATHS = {
  query: 'attention.self.query_proj',
  key: 'attention.self.key_proj',
  value: 'attention.self.value_proj',
  attentionOutput: 'attention.output.dense',
  intermediate: 'intermediate.dense',
  output: 'output.dense',
};
const subBlock = (place: 'attention' | 'output', module: number) =>
  `${layer(module)}.${place === 'attention' ? 'attention.output' : 'output'}`;
const WORDS = 'embeddings.word_embeddings';

/**
 * DeBERTa-v2 and v3 (He et al. 2021, 2023), and mDeBERTa: post-norm layers whose attention scores add what queries say to distances and
 * distances to keys (eq. 4), the same matrices projecting both; in v2-xlarge a convolution beside the first layer.
 */
export const DEBERTA_V2: EncoderFamily<DebertaConfig> = {
  name: 'deberta-v2',
  python: 'DebertaV2',
  prefix: 'deberta.',
  config: readConfig,
  linears: postNormLinears((name, module) => `${layer(module)}.${LINEAR_PATHS[name]}`),
  normPath: (place, module) => `${subBlock(place, module)}.LayerNorm`,
  modulePath: (place, module) => `${subBlock(place, module)}.adapters`,
  wordTable: WORDS,
  inputs: () => ({}),
  mostTokens: ({ positions }) => positions,
  draw(tools, config) {
    const { tokens, dropout } = tools;
    const embedded = drawEmbeddings(tools, config);
    const attention = config.relative && disentangled(tools, config, config.relative);
    const norm = DEBERTA_V2.normPath as (place: 'attention' | 'output', module: number) => string;
    return tools.layers(tools.embedded(embedded), (one, before) => {
      const h = postNormLayer(one, before, config, { norm, dropout, ...(attention && { attention }) });
      return one.layer === 0 && config.convolution ? convolved(tools, one, before, h, config) : h;
    });

    function drawEmbeddings(given: EncoderTools, { vocabulary, positions, types, hidden, positionTable }: DebertaConfig): Value {
      const ids = (name: string) => input(name, 'int32', [tokens.batch, tokens.length]);
      let sum = gather(given.table(WORDS, vocabulary, hidden), ids('inputIds'));
      if (positionTable) sum = add(sum, slice(given.table('embeddings.position_embeddings', positions, hidden), 0, 0, tokens.length));
      if (types > 0) sum = add(sum, gather(given.table('embeddings.token_type_embeddings', types, hidden), ids('tokenTypeIds')));
      const rows = multiplyDims(tokens.batch, tokens.length);
      const normed = given.norm('embeddings.LayerNorm', reshape(sum, [rows, hidden]));
      return dropout(mul(normed, reshape(given.mask, [rows, 1])), config.hiddenDropout, 'embeddings');
    }
  },
  classifier: { linears: ['pooler.dense', 'classifier'], activation: 'gelu', pooled: false },
  // Heads for masked words of all versions, and a table of positions that nothing reads.
  ignored: [/^cls\./, /^(lm|mask)_predictions\./, /embeddings\.position_embeddings\./],
};

/** What distances add to scores; the table of distances is read by the query and key matrices of each layer. */
function disentangled(tools: EncoderTools, config: DebertaConfig, relative: RelativePositions): LayerAttention {
  const { hidden, heads, hiddenDropout } = config;
  const { span, contentToPosition, positionToContent } = relative;
  const rows: Rows = { batch: 1, length: 2 * span, first: 0 };
  const table = tools.table('encoder.rel_embeddings', 2 * span, hidden);
  const normed = relative.norm ? tools.norm('encoder.LayerNorm', table, { rows }) : table;
  const kinds = 1 + Number(contentToPosition) + Number(positionToContent);
  const scale = 1 / Math.sqrt((hidden / heads) * kinds);
  const rowOf = (distance: number) => Math.max(0, Math.min(2 * span - 1, debertaBucket(distance, relative) + span));
  return (one) => ({
    scale,
    bias(queries, keys, from, to) {
      const length = keys.shape[2] as Dim;
      const places = { length, text: config.positions };
      const distances = tools.dropout(normed, hiddenDropout, `layer.${one.layer}.distances`);
      const inHeads = (x: Value) => splitHeads(x, 1, x.shape[0] as Dim, heads);
      const parts: Value[] = [];
      if (contentToPosition) {
        // Rows are queries: a column's distance is key − query, and the table's is query − key.
        const at = byDistance(one.linear('key', distances, rows), (d) => rowOf(-d), { ...places, rows: [from, to], columns: [0, length] });
        parts.push(byPlaces(attentionScores(queries, inHeads(at), scale)));
      }
      if (positionToContent) {
        const at = byDistance(one.linear('query', distances, rows), rowOf, { ...places, rows: [0, length], columns: [from, to] });
        parts.push(transpose(byPlaces(attentionScores(keys, inHeads(at), scale)), [0, 1, 3, 2]));
      }
      return parts.reduce((sum, part) => add(sum, part));
    },
  });
}

/**
 * The distance that the table has in place of another: itself up to half of the buckets, and beyond that one for a range which grows with
 * it. Computed in float32, as Python does: ranges end where its roundings fall.
 */
export function debertaBucket(distance: number, { buckets, farthest }: Pick<RelativePositions, 'buckets' | 'farthest'>): number {
  const half = Math.floor(buckets / 2);
  const far = Math.abs(distance);
  if (buckets === 0 || far <= half) return distance;
  const logarithm = (x: number) => Math.fround(Math.log(Math.fround(x)));
  const share = Math.fround(logarithm(far / half) / logarithm((farthest - 1) / half));
  return Math.sign(distance) * (Math.ceil(Math.fround(share * (half - 1))) + half);
}

/** h + act(conv(x)), normed: x [rows, hidden] is what the first layer read, h what came out of it; pads give nothing, whatever stands in them. */
function convolved(tools: EncoderTools, one: Layer, x: Value, h: Value, config: DebertaConfig): Value {
  const { hidden, convolution } = config;
  const { width, activation: name } = convolution as NonNullable<DebertaConfig['convolution']>;
  const { batch, length } = one.all;
  const kernel = tools.parameter('encoder.conv.conv.weight', [hidden, hidden, width], 'matrix');
  const bias = tools.parameter('encoder.conv.conv.bias', [hidden], 'bias');
  // What attention adds to scores is 0 for real tokens and far below −1 for pads.
  const real = reshape(relu(add(one.mask, scalar(1))), [multiplyDims(batch, length), 1]);
  const reach = (width - 1) / 2;
  const zeros = expand(scalar(0), [batch, reach, hidden]);
  const padded = concat([zeros, reshape(mul(x, real), [batch, length, hidden]), zeros], 1);
  const parts = Array.from({ length: width }, (_, i) => {
    const shifted = slice(padded, 1, i, addDims(length, i));
    return matmul(shifted, reshape(slice(kernel, 2, i, i + 1), [hidden, hidden]), { transB: true });
  });
  const summed = parts.reduce((sum, part) => add(sum, part));
  const flat = add(reshape(summed, [multiplyDims(batch, length), hidden]), bias);
  const out = activation(name, 'encoder.config')(tools.dropout(mul(flat, real), config.hiddenDropout, 'convolution'));
  return mul(one.norm('encoder.conv.LayerNorm', add(h, one.pick(out))), one.pick(real));
}

function readConfig(fields: ConfigFields): DebertaConfig {
  const config = standardConfig('deberta-v2', fields, {
    positions: 512,
    types: 0,
    vocabulary: 128100,
    hidden: 1536,
    heads: 24,
    layers: 24,
    intermediate: 6144,
    epsilon: 1e-7,
  });
  const { hidden, heads, positions } = config;
  only('embedding_size', hidden);
  only('attention_head_size', hidden / heads);
  only('pooler_hidden_size', hidden);
  only('conv_groups', 1);
  const kinds = positionKinds(fields);
  const relative = fields.flag('relative_attention', false) && kinds.length > 0;
  if (relative && !fields.flag('share_att_key', false))
    refuse('share_att_key', 'false', 'true: that distances are read by the matrices of queries and keys');
  if (!relative && kinds.length > 0) refuse('relative_attention', 'false', `true, or no pos_att_type`);
  const width = fields.integer('conv_kernel_size', 0);
  if (width > 0 && width % 2 === 0) refuse('conv_kernel_size', String(width), 'an odd number');
  const most = fields.has('max_relative_positions') ? signed('max_relative_positions') : -1;
  const farthest = most < 1 ? positions : most;
  const buckets = Math.max(0, fields.has('position_buckets') ? signed('position_buckets') : -1);
  if (relative && buckets === 1) refuse('position_buckets', '1', 'at least 2, or -1');
  const norms = fields.text('norm_rel_ebd', 'none').toLowerCase().split('|');
  return {
    ...config,
    positionTable: fields.flag('position_biased_input', true),
    relative: relative
      ? {
          span: buckets || farthest,
          buckets,
          farthest,
          norm: norms.some((one) => one.trim() === 'layer_norm'),
          contentToPosition: kinds.includes('c2p'),
          positionToContent: kinds.includes('p2c'),
        }
      : undefined,
    convolution: width > 0 ? { width, activation: fields.text('conv_act', 'tanh') } : undefined,
  };

  function only(name: string, value: number): void {
    const found = fields.integer(name, value);
    if (found !== value) refuse(name, String(found), `${value}: another one is not available`);
  }
  function signed(name: string): number {
    const value = fields.number(name);
    return Number.isInteger(value) ? value : refuse(name, String(value), 'a whole number');
  }
}

/** As a list, or with `|` between. */
function positionKinds(fields: ConfigFields): string[] {
  const kinds = fields.texts('pos_att_type');
  const wrong = kinds.find((kind) => !['c2p', 'p2c'].includes(kind));
  return wrong === undefined ? kinds : refuse('pos_att_type', `'${wrong}'`, "'c2p' and 'p2c' alone");
}

function refuse(name: string, found: string, expected: string): never {
  return fail({ code: 'encoder.config', subject: `deberta-v2: field '${name}'`, found, expected });
}
