import { z } from 'zod';
import type { EncoderFamily } from '../encoders/index.ts';
import { gemm, matmul, type Value } from '../graph/index.ts';
import { activation, isActivation, type ParameterSpec, TOKEN_POOLINGS } from '../nn/index.ts';
import type { Task } from '../tasks/index.ts';
import type { FixedHead, Head, HeadConfig, HeadDrawing, HeadKind } from './kind.ts';
import { sequenceVector } from './pooling.ts';

/** Heads that are linears one after another, as most of `adapters` are: a torch Sequential of [dropout, linear, activation]. */
interface DenseConfig extends HeadConfig {
  readonly layers: number;
  readonly activation_function: string | null;
  readonly use_pooler: boolean;
  readonly bias: boolean;
  readonly dropout_prob: number | null;
}

export interface LabelConfig extends DenseConfig {
  readonly num_labels: number;
}

export interface ChoiceConfig extends DenseConfig {
  readonly num_choices: number;
}

const outputs = z.number().int().positive();
/** The order is that of files. */
const fields = {
  layers: z.number().int().min(1).max(8).default(1),
  activation_function: z.string().refine(isActivation, 'the name of an activation function').nullable().default('tanh'),
  label2id: z.record(z.string(), z.number().int().nonnegative()).nullable().default(null),
  use_pooler: z.boolean().default(false),
  bias: z.boolean().default(true),
  dropout_prob: z.number().min(0).lt(1).nullable().default(null),
  pooling: z.enum(TOKEN_POOLINGS).optional(),
  normalize: z.boolean().optional(),
};

/** What a zod object for a dense head with `num_labels` outputs has beside its `head_type`. */
export const LABEL_FIELDS = { num_labels: outputs, ...fields };

/** With `num_labels`. Keys that Python's class does not take have the values that it works with. */
function labelSchema(type: string, keys: readonly string[]): z.ZodType<LabelConfig> {
  return z.object({ head_type: z.literal(type), ...LABEL_FIELDS, ...settled(keys) });
}

/** With `num_choices`. */
export function choiceSchema(type: string, keys: readonly string[]): z.ZodType<ChoiceConfig> {
  return z.object({ head_type: z.literal(type), num_choices: outputs, ...fields, ...settled(keys) });
}

/** The keys that Python's dense heads share, before those of each class. */
export const DENSE_KEYS = ['head_type', 'layers', 'activation_function', 'label2id', 'dropout_prob'] as const;

function settled(keys: readonly string[]) {
  return {
    ...(!keys.includes('use_pooler') && {
      use_pooler: z.literal(false).default(false),
      pooling: z.undefined('nothing: it reads every token by itself').optional(),
      normalize: z.undefined('nothing: it reads every token by itself').optional(),
    }),
    ...(!keys.includes('bias') && { bias: z.literal(true).default(true) }),
  };
}

/** The outputs of a labelled head: one for each label of the task. */
export function labelDefaults({ labels }: Pick<Task, 'labels'>) {
  return { num_labels: labels.length, label2id: Object.fromEntries(labels.map((label, i) => [label, i])) };
}

interface Linear {
  readonly name: string;
  readonly fanIn: number;
  readonly out: number;
  readonly bias: boolean;
}

/** As in Python, `bias` speaks of the last linear alone. */
function linearsOf({ name, config }: Head<DenseConfig>, hidden: number, columns: number): Linear[] {
  const step = config.activation_function === null ? 2 : 3;
  return Array.from({ length: config.layers }, (_, i) => ({
    name: `heads.${name}.${i * step + 1}`,
    fanIn: hidden,
    out: i === config.layers - 1 ? columns : hidden,
    bias: i < config.layers - 1 || config.bias,
  }));
}

/** Weights and biases of the linears; the last has `columns` outputs. */
export function denseParameters(head: Head<DenseConfig>, hidden: number, columns: number): ParameterSpec[] {
  return linearsOf(head, hidden, columns).flatMap(({ name, fanIn, out, bias }) => [
    { name: `${name}.weight`, shape: [out, fanIn], init: { kind: 'normal', deviation: 0.02 } as const, decay: true },
    ...(bias ? [{ name: `${name}.bias`, shape: [out], init: { kind: 'constant', value: 0 } as const, decay: false }] : []),
  ]);
}

/** x [n, hidden] → [n, columns]. Before each linear stands the head's dropout, else the encoder's for classifiers or hidden states. */
export function drawDense(head: Head<DenseConfig>, x: Value, { encoder, parameters, dropout }: HeadDrawing, columns: number): Value {
  const { activation_function: f, dropout_prob } = head.config;
  const p = dropout_prob ?? encoder.classifierDropout ?? encoder.hiddenDropout;
  const linears = linearsOf(head, encoder.hidden, columns);
  let value = x;
  linears.forEach(({ name, fanIn, out, bias }, i) => {
    const dropped = dropout(value, p, `${name}.in`);
    const weight = parameters(`${name}.weight`, [out, fanIn]);
    value = bias ? gemm(dropped, weight, parameters(`${name}.bias`, [out]), { transB: true }) : matmul(dropped, weight, { transB: true });
    if (i < linears.length - 1 && f !== null) value = activation(f, 'head.config')(value);
  });
  return value;
}

/**
 * What all kinds of dense heads with `num_labels` outputs have in common; they read the vector of each sequence, or all tokens.
 * `keys` are those that Python's class takes beside {@link DENSE_KEYS}.
 */
export function labelHead(type: string, reads: HeadKind['reads'], keys: readonly string[]) {
  const all = [...DENSE_KEYS, ...keys];
  return {
    type,
    schema: labelSchema(type, all),
    keys: all,
    reads,
    ...(reads === 'first' && { pools: true as const }),
    outputs: ({ num_labels }) => num_labels,
    parameters: (head, { hidden }) => denseParameters(head, hidden, head.config.num_labels),
    draw: (head, drawing) =>
      drawDense(head, reads === 'all' ? drawing.tokens : sequenceVector(head, drawing), drawing, head.config.num_labels),
  } satisfies Partial<HeadKind<LabelConfig>>;
}

/** The like of a dense head among those of transformers. */
export function fixedDense(
  className: string,
  outputs: string,
  { linears, activation, pooled }: NonNullable<EncoderFamily['classifier']>,
  task?: string,
): FixedHead {
  const settings = { layers: linears.length, activation_function: activation, use_pooler: pooled };
  return { className, modules: linears, settings, outputs, ...(task !== undefined && { task }) };
}

/** One linear over every token, for families whose heads are known. */
export function fixedTokens(className: string, linear: string, { classifier }: EncoderFamily, task: string): FixedHead | undefined {
  return classifier && fixedDense(className, 'num_labels', { linears: [linear], activation: null, pooled: false }, task);
}
