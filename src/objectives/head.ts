import { z } from 'zod';
import { expectationIn, fail, invariant } from '../base/errors.ts';
import { type Dim, gemm, matmul, multiplyDims, reshape, type Value } from '../graph/index.ts';
import { activation, type Dropout, isActivation, type ParameterSpec, type Parameters } from '../nn/index.ts';

/** A prediction head as `adapters` keeps it in head_config.json (its keys, its module numbers). */
export interface Head {
  readonly name: string;
  readonly config: HeadConfig;
}

export const HEAD_TYPES = ['classification', 'multilabel_classification', 'multiple_choice', 'tagging', 'question_answering'] as const;
export type HeadType = (typeof HEAD_TYPES)[number];

const schema = z.object({
  head_type: z.enum(HEAD_TYPES),
  num_labels: z.number().int().positive().optional(),
  num_choices: z.number().int().positive().optional(),
  layers: z.number().int().min(1).max(8).default(1),
  activation_function: z.string().refine(isActivation, 'the name of an activation function').nullable().default('tanh'),
  label2id: z.record(z.string(), z.number().int().nonnegative()).nullable().default(null),
  use_pooler: z.boolean().default(false),
  bias: z.boolean().default(true),
  dropout_prob: z.number().min(0).lt(1).nullable().default(null),
});

export type HeadConfig = z.infer<typeof schema>;

/** Checks a head's configuration. Throws `head.config`. */
export function checkHeadConfig(raw: unknown, subject: string): HeadConfig {
  const result = schema.safeParse(raw);
  if (!result.success) {
    const issue = result.error.issues[0];
    return fail({
      code: 'head.config',
      subject: `${subject}: key '${issue?.path.join('.')}'`,
      found: JSON.stringify((raw as Record<string, unknown> | null)?.[String(issue?.path[0])] ?? null),
      expected: issue ? expectationIn(issue.message) : 'another value',
    });
  }
  const { head_type: type, num_choices: choices, num_labels: labels } = result.data;
  const count = type === 'multiple_choice' ? choices : labels;
  if (count === undefined)
    fail({
      code: 'head.config',
      subject,
      found: 'no number of outputs',
      expected: type === 'multiple_choice' ? 'num_choices' : 'num_labels',
    });
  const ids = Object.values(result.data.label2id ?? {});
  const wrong = ids.find((id, i) => id >= (count as number) || ids.indexOf(id) !== i);
  if (wrong !== undefined)
    fail({
      code: 'head.config',
      subject: `${subject}: key 'label2id'`,
      found: `the number ${wrong}${ids.indexOf(wrong) === ids.lastIndexOf(wrong) ? '' : ' twice'}`,
      expected: `numbers from 0 to ${(count as number) - 1}, each for one label`,
    });
  return result.data;
}

/** Whether the head reads every token, or only the first of each sequence. */
export function readsOf({ config }: Head): 'all' | 'first' {
  return config.head_type === 'tagging' || config.head_type === 'question_answering' ? 'all' : 'first';
}

/** Sequences in a batch of 'R' rows: a row of a choice task is one sequence per choice. */
export function batchOf({ config }: Head): Dim {
  return config.head_type === 'multiple_choice' ? multiplyDims(config.num_choices as number, 'R') : 'B';
}

/** Numbers per sequence or token that the last linear gives. */
export function outputsOf({ config }: Head): number {
  return config.head_type === 'multiple_choice' ? 1 : (config.num_labels as number);
}

/** Weights of the head; each linear stands at its place in a torch Sequential of [dropout, linear, activation]. */
export function headParameters(head: Head, hidden: number): ParameterSpec[] {
  return linearsOf(head, hidden).flatMap(({ name, fanIn, out }) => [
    { name: `${name}.weight`, shape: [out, fanIn], init: { kind: 'normal', deviation: 0.02 } as const, decay: true },
    ...(head.config.bias ? [{ name: `${name}.bias`, shape: [out], init: { kind: 'constant', value: 0 } as const, decay: false }] : []),
  ]);
}

function linearsOf(head: Head, hidden: number): { name: string; fanIn: number; out: number }[] {
  const { layers, activation_function } = head.config;
  const step = activation_function === null ? 2 : 3;
  return Array.from({ length: layers }, (_, i) => ({
    name: `heads.${head.name}.${i * step + 1}`,
    fanIn: hidden,
    out: i === layers - 1 ? outputsOf(head) : hidden,
  }));
}

/**
 * Logits: x [n, hidden] (first tokens, pooled vectors or all tokens) → [n, outputs], or [R, choices] for choices.
 * `p` is the dropout before each linear.
 */
export function drawLogits(head: Head, x: Value, parameters: Parameters, dropout: Dropout, p: number): Value {
  const linears = linearsOf(head, x.shape.at(-1) as number);
  let value = x;
  linears.forEach(({ name, fanIn, out }, i) => {
    const dropped = dropout(value, p, `${name}.in`);
    const weight = parameters(`${name}.weight`, [out, fanIn]);
    value = head.config.bias
      ? gemm(dropped, weight, parameters(`${name}.bias`, [out]), { transB: true })
      : matmul(dropped, weight, { transB: true });
    const f = head.config.activation_function;
    if (i < linears.length - 1 && f !== null) value = activation(f, 'head.config')(value);
  });
  if (head.config.head_type !== 'multiple_choice') return value;
  invariant(value.shape.length === 2, 'choice logits');
  return reshape(value, ['R', head.config.num_choices as number]);
}

/** The labels by output index. */
export function labelsOf({ config }: Head): string[] {
  const entries = Object.entries(config.label2id ?? {});
  return entries.sort((a, b) => a[1] - b[1]).map(([label]) => label);
}
