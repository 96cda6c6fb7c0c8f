import { add, type Dim, matmul, tanh, timesOf, type Value, weight } from '../graph/index.ts';
import { byRole, noDropout, type ParameterSpec, type Parameters, parameters } from '../nn/index.ts';
import type { EncoderConfig } from './config.ts';
import type { EncoderFamily } from './family.ts';
import type { Rows } from './sites.ts';
import { type DrawingOptions, encoderTools, firstTokens, outerLinear, wide, withoutAdded } from './tools.ts';

export interface EncoderDrawing {
  /** What heads of every token read: [B·S, d], or [B, d] when only one token of a sequence is computed. */
  readonly output: Value;
  /** What heads of sequences read: [B, d], of the token that stands for each ({@link Rows.first}). */
  readonly first: Value;
  /** What the first layer reads and every layer's output, in order; the last may hold first tokens only. */
  readonly hiddenStates: readonly Value[];
  /** [B, S]: 1 for real tokens, 0 for pads. */
  readonly mask: Value;
}

/**
 * Draws an encoder as its family does. Inputs: inputIds [B, S] int32, attentionMask [B, S] float32 (1 real, 0 pad), and what the
 * family reads besides ({@link EncoderFamily.inputs}). Tokens that methods put in are gone from what comes out.
 */
export function drawEncoder(options: DrawingOptions): EncoderDrawing {
  const { family, config, hooks } = options;
  const { embeddedSite, ...tools } = encoderTools(options);
  const { hiddenStates, rows, output } = family.draw(tools, config);
  const last = output ?? (hiddenStates[config.layers] as Value);
  const heard = hooks.output ? hooks.output({ ...rows, x: last }) : last;
  const site = embeddedSite();
  const text = (x: Value, i: number) => (i === config.layers && rows.length === 1 ? x : withoutAdded(x, { ...site, ...wide(site, x) }));
  return { output: text(heard, config.layers), first: firstTokens(heard, rows), hiddenStates: hiddenStates.map(text), mask: tools.mask };
}

/** The family's pooled vector of the tokens that stand for sequences [batch, d]: tanh(W·x + b). */
export function drawPooled({ config, family, hooks, parameters: resolve }: DrawingOptions, first: Value): Value {
  const source: Parameters = (name, shape, facts) => resolve(name, shape, facts && { ...facts, part: POOLER });
  const batch = first.shape[0] as Dim;
  const rows: Rows = { batch, length: 1, first: 0, times: timesOf(batch, 'B') ?? 1 };
  return tanh(outerLinear({ family, hooks, parameters: source }, family.pooler ?? POOLER, first, config.hidden, rows));
}

/** Scores of all words for x [n, embedding]: x·Eᵀ + bias [n, vocabulary], E the word table that the encoder reads with too. */
export function drawWordScores({ config, family, parameters: resolve, hooks }: DrawingOptions, x: Value, bias: Value): Value {
  const table = resolve(`${family.prefix}${family.wordTable}.weight`, [config.vocabulary, config.embedding]);
  return add(matmul(hooks.word ? hooks.word({ x }) : x, table, { transB: true }), bias);
}

const POOLER = 'pooler';

/** Full name of the pooler's linear, without `.weight`; no encoder has a weight of that name where there is none. */
export function poolerPath({ prefix, pooler = POOLER }: EncoderFamily): string {
  return prefix + pooler;
}

/** A weight of an encoder; `part` is 'embeddings', 'pooler', or the number of a layer's module. */
export interface EncoderSpec extends ParameterSpec {
  readonly part: string | number;
}

/** All weights a family needs: found by drawing the encoder, so that there is one truth. First values are those of BERT. */
export function encoderSpecs(family: EncoderFamily, config: EncoderConfig): readonly EncoderSpec[] {
  const specs = new Map<string, EncoderSpec>();
  const resolve = parameters(() => false);
  const record: Parameters = (name, shape, facts) => {
    specs.set(name, { name, shape, ...byRole(facts?.role ?? 'matrix'), part: facts?.part ?? 'embeddings' });
    return resolve(name, shape);
  };
  const options = { family, config, parameters: record, dropout: noDropout, hooks: {}, read: 'all' } as const;
  drawEncoder(options);
  if (family.pooler !== undefined) drawPooled(options, weight('first', 'float32', [1, config.hidden]));
  return [...specs.values()];
}
