import {
  add,
  type Dim,
  gather,
  input,
  layerNorm,
  matmul,
  mul,
  multiplyDims,
  reshape,
  scalar,
  slice,
  softmax,
  sub,
  tanh,
  type Value,
} from '../graph/index.ts';
import {
  activation,
  attentionScores,
  type Dropout,
  linear,
  mergeHeads,
  norm,
  normParameters,
  type Parameters,
  splitHeads,
} from '../nn/index.ts';
import { type EncoderConfig, type EncoderFamily, type LinearName, layerModule, type NormPlace } from './config.ts';
import type { Graft, Rows } from './sites.ts';

/**
 * The post-norm transformer encoder (Devlin et al. 2019) that all families share, and the only place where attention
 * is built. Inputs: inputIds [B, S] int32, attentionMask [B, S] float32 (1 real, 0 pad), tokenTypeIds [B, S] int32
 * where the family has types, positionIds [B, S] int32 where positions are counted over real tokens.
 */
export interface EncoderDrawing {
  /** What heads read: [B·S, d], or [B, d] when only the first token is computed. */
  readonly output: Value;
  readonly rows: Rows;
  /** Embeddings and every layer's output, in order; the last may hold first tokens only. */
  readonly hiddenStates: readonly Value[];
  /** [B, S]: 1 for real tokens, 0 for pads. */
  readonly mask: Value;
}

export interface DrawingOptions {
  readonly config: EncoderConfig;
  readonly family: EncoderFamily;
  /** Encoder parameters by full checkpoint name. */
  readonly parameters: Parameters;
  readonly dropout: Dropout;
  readonly graft: Graft;
  /** Sequences in the batch, where that is not simply 'B' (several sequences per row). */
  readonly batch?: Dim;
  /** 'first' computes the last layer for the first token only: exact for heads that read nothing else. */
  readonly read: 'all' | 'first';
}

const LENGTH: Dim = 'S';

export function drawEncoder(options: DrawingOptions): EncoderDrawing {
  const { config, read, graft, batch = 'B' } = options;
  const all: Rows = { batch, length: LENGTH };
  const mask = input('attentionMask', 'float32', [batch, LENGTH]);
  // The lowest float32 rather than −∞: a row of nothing but pads must stay finite.
  const bias = mul(sub(reshape(mask, [batch, 1, 1, LENGTH]), scalar(1)), scalar(3.4028234663852886e38));
  const embedded = drawEmbeddings(options);
  const hiddenStates = [graft.embeddings ? graft.embeddings({ ...all, x: embedded }) : embedded];
  let rows = all;
  for (let layer = 0; layer < config.layers; layer++) {
    rows = read === 'first' && layer === config.layers - 1 ? { batch, length: 1 } : all;
    hiddenStates.push(drawLayer(options, layer, hiddenStates[layer] as Value, bias, rows));
  }
  const last = hiddenStates[config.layers] as Value;
  return { output: graft.output ? graft.output({ ...rows, x: last }) : last, rows, hiddenStates, mask };
}

/** Word, position and type embeddings, summed, normalised, dropped out, projected: [B·S, hidden]. */
function drawEmbeddings({ config, family, parameters, dropout, batch = 'B' }: DrawingOptions): Value {
  const { names, prefix } = family;
  const table = (name: string, size: number) => parameters(`${prefix}${name}.weight`, [size, config.embedding]);
  const positions = table(names.position, config.positions);
  let sum = gather(table(names.word, config.vocabulary), input('inputIds', 'int32', [batch, LENGTH]));
  sum = add(
    sum,
    family.positionsAfterPad ? gather(positions, input('positionIds', 'int32', [batch, LENGTH])) : slice(positions, 0, 0, LENGTH),
  );
  if (names.type && config.types > 0)
    sum = add(sum, gather(table(names.type, config.types), input('tokenTypeIds', 'int32', [batch, LENGTH])));
  const flat = reshape(sum, [multiplyDims(batch, LENGTH), config.embedding]);
  const normed = dropout(norm(parameters, prefix + names.embeddingNorm, flat, config.epsilon), config.hiddenDropout, 'embeddings');
  return names.projection ? linear(parameters, prefix + names.projection, normed, config.hidden) : normed;
}

/** One layer over x [B·S, hidden], for the tokens of `rows`. */
function drawLayer(options: DrawingOptions, layer: number, x: Value, mask: Value, rows: Rows): Value {
  const { config, family, parameters, dropout, graft, batch = 'B' } = options;
  const { names, prefix } = family;
  const { hidden, heads, intermediate, epsilon, hiddenDropout, attentionDropout } = config;
  const module = layerModule(config, layer);
  const all: Rows = { batch: batch, length: LENGTH };

  const project = (name: LinearName, from: Value, out: number, at: Rows) => {
    const y = linear(parameters, prefix + names.linear(module, name), from, out);
    return graft.linear ? graft.linear({ ...at, layer, module, name, x: from, y }) : y;
  };
  const addAndNorm = (place: NormPlace, h: Value, residual: Value) => {
    const { gain, bias } = normParameters(parameters, prefix + names.norm(module, place), hidden);
    const normalize = (value: Value) => layerNorm(value, gain, bias, epsilon);
    if (!graft.addNorm) return normalize(add(h, residual));
    const swapped = place === 'attention' && family.swapsAttentionResidual;
    const site = { ...rows, layer, module, place, normalize, gain, bias, epsilon, layerInput: x, mask };
    return graft.addNorm({ ...site, ...(swapped ? { h: residual, x: h } : { h, x: residual }) });
  };

  const own = rows.length === 1 ? firstTokens(x, all) : x;
  const query = splitHeads(project('query', own, hidden, rows), rows.batch, rows.length, heads);
  const key = splitHeads(project('key', x, hidden, all), batch, LENGTH, heads);
  const value = splitHeads(project('value', x, hidden, all), batch, LENGTH, heads);
  const masked = add(attentionScores(query, key), mask);
  const scores = graft.scores ? graft.scores({ ...rows, layer, module, scores: masked }) : masked;
  const probabilities = dropout(softmax(scores), attentionDropout, `layer.${layer}.attention`);
  const context = mergeHeads(matmul(probabilities, value), multiplyDims(rows.batch, rows.length));
  const attended = dropout(project('attentionOutput', context, hidden, rows), hiddenDropout, `layer.${layer}.attentionOutput`);
  const middle = addAndNorm('attention', attended, own);

  const inner = activation(config.activation, 'encoder.config')(project('intermediate', middle, intermediate, rows));
  const forward = dropout(project('output', inner, hidden, rows), hiddenDropout, `layer.${layer}.output`);
  const h = addAndNorm('output', forward, middle);
  return graft.layer ? graft.layer({ ...rows, layer, module, x, h }) : h;
}

/** The first token of every sequence: [batch·length, d] → [batch, d]. */
export function firstTokens(x: Value, { batch, length }: Rows): Value {
  const d = x.shape.at(-1) as number;
  return length === 1 ? x : reshape(slice(reshape(x, [batch, length, d]), 1, 0, 1), [batch, d]);
}

/** The family's pooled vector of first tokens [batch, d]: tanh(W·x + b). */
export function drawPooled({ config, family, parameters }: DrawingOptions, first: Value): Value {
  return tanh(linear(parameters, family.prefix + (family.names.pooler ?? 'pooler'), first, config.hidden));
}
