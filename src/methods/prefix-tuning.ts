import { z } from 'zod';
import { type AttentionSite, matrixPath } from '../encoders/index.ts';
import { concat, expand, gemm, mul, reshape, scalar, slice, transpose, type Value } from '../graph/index.ts';
import { activation, type Dropout, type Initializer, isActivation, NORMAL, type ParameterSpec } from '../nn/index.ts';
import type { Act } from './act.ts';
import type { MethodContext } from './context.ts';
import { type Method, modules, type ReadParameter } from './method.ts';
import { gateFields, gateNotes, sequenceGate } from './per-sequence.ts';

const schema = z.strictObject({
  architecture: z.literal('prefix_tuning').default('prefix_tuning'),
  encoder_prefix: z.boolean().default(true),
  cross_prefix: z.boolean().default(true),
  leave_out: z.array(z.number().int().nonnegative()).default([]),
  flat: z.boolean().default(false),
  prefix_length: z.number().int().positive().default(30),
  bottleneck_size: z.number().int().positive().default(512),
  non_linearity: z.string().refine(isActivation, 'the name of an activation function').default('tanh'),
  dropout: z.number().min(0).lt(1).default(0),
  ...gateFields,
  shared_gating: z.boolean().default(true),
  init_weights_seed: z.number().int().nullable().default(null),
});

type PrefixConfig = z.infer<typeof schema>;

/**
 * Prefix tuning (Li & Liang 2021): P trained keys and values stand before those of the tokens in every layer's attention.
 *
 *   K = [P_K; W_K x],  V = [P_V; W_V x],  [P_K, P_V of all layers] = W_2 f(W_1 E + b_1) + b_2
 *
 * E is [P, d], W_1 [m, d], W_2 [2·L·d, m] for the L layers that have prefixes; with `flat` the numbers themselves train. With
 * `use_gating` (UniPELT) prefixes are multiplied by a gate that reads what goes into the layer.
 */
export const PREFIX_TUNING: Method<PrefixConfig> = {
  name: 'prefix tuning',
  summary: "trained keys and values before those of the tokens, in every layer's attention",
  paper: 'Li & Liang 2021',
  architecture: 'prefix_tuning',
  schema,
  presets: { prefix_tuning: {}, prefix_tuning_flat: { flat: true } },
  floatKeys: ['dropout'],
  learningRate: 1e-3,
  // Its gate reads what went into the layer, which is there for all tokens.
  mixesTokens: () => false,
  notes: gateNotes,
  eject(config, context, read) {
    if (config.flat) return undefined;
    const pool = drawPool(config, context, read);
    const count = pool.shape.reduce<number>((product, size) => product * (size as number), 1);
    return { config: { ...config, flat: true }, values: new Map([[`${poolPath(context)}.control_trans`, reshape(pool, [count])]]) };
  },
  parameters: (config, context) => [...poolParameters(config, context), ...gateParameters(config, context)],
  acts(config, context, read, dropout) {
    const prefixes = prefixReader(config, context, read, dropout);
    return {
      attention(site): Act<'attention'> | undefined {
        if (config.leave_out.includes(site.module)) return undefined;
        return {
          apply({ key, value, mask }) {
            const [keys, values] = gated(config, context, read, site, prefixes(site));
            const visible = expand(scalar(0), [...mask.shape.slice(0, 3), config.prefix_length]);
            return { key: concat([keys, key], 2), value: concat([values, value], 2), mask: concat([visible, mask], 3) };
          },
        };
      },
    };
  },
};

type KeysAndValues = readonly [keys: Value, values: Value];

/** Prefixes of a site's layer, each [batch, heads, P, e]. What makes those of all layers is drawn once. */
function prefixReader(config: PrefixConfig, context: MethodContext, read: ReadParameter, dropout: Dropout) {
  const { heads, hidden } = context.encoder;
  const { prefix_length: length, leave_out } = config;
  const kept = modules(context.encoder, leave_out);
  let pool: Value | undefined;
  const drawn = new Map<string, Value>();
  const prefix = ({ batch }: AttentionSite, place: number): Value => {
    pool ??= transpose(reshape(drawPool(config, context, read), [length, 2 * kept.length, heads, hidden / heads]), [1, 2, 0, 3]);
    const where = `prefix.${place}.${batch}.${context.name}`;
    // Layers that share their parameters share what is dropped of them too, as in Python.
    const value =
      drawn.get(where) ?? dropout(expand(slice(pool, 0, place, place + 1), [batch, heads, length, hidden / heads]), config.dropout, where);
    drawn.set(where, value);
    return value;
  };
  return (site: AttentionSite): KeysAndValues => {
    const place = 2 * kept.indexOf(site.module);
    return [prefix(site, place), prefix(site, place + 1)];
  };
}

/** Prefixes of all layers, [P, 2·L·d]: keys and values of each layer in turn. */
function drawPool(config: PrefixConfig, context: MethodContext, read: ReadParameter): Value {
  const { prefix_length: length, flat, non_linearity, leave_out } = config;
  const path = poolPath(context);
  if (flat)
    return reshape(read(`${path}.control_trans`), [length, 2 * modules(context.encoder, leave_out).length * context.encoder.hidden]);
  const linear = (x: Value, place: number) =>
    gemm(x, read(`${path}.control_trans.${place}.weight`), read(`${path}.control_trans.${place}.bias`), { transB: true });
  return linear(activation(non_linearity, 'method.config')(linear(read(`${path}.wte.weight`), 0)), 2);
}

/** Keys and values times one factor for each sequence: the mean over its own tokens of σ(w·x + b). */
function gated(
  config: PrefixConfig,
  context: MethodContext,
  read: ReadParameter,
  site: AttentionSite,
  [keys, values]: KeysAndValues,
): KeysAndValues {
  if (!config.use_gating) return [keys, values];
  const { batch, input, all } = site;
  const path = gatePath(context, site.module);
  const [weight, bias] = [read(`${path}.weight`), read(`${path}.bias`)];
  const gate = (row: number, place: string) => {
    const weights = [slice(weight, 0, row, row + 1), slice(bias, 0, row, row + 1)] as const;
    return reshape(sequenceGate(input, weights, config, all, site, context, place), [batch, 1, 1, 1]);
  };
  const ofKeys = gate(0, config.shared_gating ? 'prefix' : 'prefix.key');
  return [mul(keys, ofKeys), mul(values, config.shared_gating ? ofKeys : gate(1, 'prefix.value'))];
}

function poolParameters(config: PrefixConfig, context: MethodContext): ParameterSpec[] {
  const { hidden, groups } = context.encoder;
  const { prefix_length: length, bottleneck_size: inner, flat } = config;
  const width = 2 * modules(context.encoder, config.leave_out).length * hidden;
  const path = poolPath(context);
  const root = context.family.prefix;
  const spec = (tail: string, shape: readonly number[], init: Initializer): ParameterSpec => ({
    name: `${path}.${tail}`,
    shape,
    init,
    decay: !tail.endsWith('bias'),
    // Python keeps what all layers share in each of them again, in those too that have no prefix.
    aliases: Array.from(
      { length: groups },
      (_, i) => `${attentionPath(context, i)}.pool.${path.slice(`${root}prefix_tuning.`.length)}.${tail}`,
    ),
  });
  const normal: Initializer = { kind: 'normal', deviation: 1 };
  if (flat) return [spec('control_trans', [length * width], normal)];
  const uniform = (fanIn: number): Initializer => ({ kind: 'fan-in-uniform', fanIn });
  return [
    spec('wte.weight', [length, hidden], normal),
    spec('control_trans.0.weight', [inner, hidden], uniform(hidden)),
    spec('control_trans.0.bias', [inner], uniform(hidden)),
    spec('control_trans.2.weight', [width, inner], uniform(inner)),
    spec('control_trans.2.bias', [width], uniform(inner)),
  ];
}

function gateParameters({ use_gating, shared_gating, leave_out }: PrefixConfig, context: MethodContext): ParameterSpec[] {
  if (!use_gating) return [];
  const { hidden } = context.encoder;
  const gates = shared_gating ? 1 : 2;
  return modules(context.encoder, leave_out).flatMap((module) => {
    const path = gatePath(context, module);
    return [
      { name: `${path}.weight`, shape: [gates, hidden], init: NORMAL, decay: true },
      { name: `${path}.bias`, shape: [gates], init: { kind: 'fan-in-uniform', fanIn: hidden }, decay: false },
    ];
  });
}

/** Full name of what all layers share. */
function poolPath({ family, name }: MethodContext): string {
  return `${family.prefix}prefix_tuning.prefix_tunings.${name}.${family.prefixLocation ?? 'self_prefix'}`;
}

function gatePath(context: MethodContext, module: number): string {
  return `${attentionPath(context, module)}.prefix_gates.${context.name}`;
}

/** Full name of the module that `adapters` adds to a layer's attention: `….attention.self.prefix_tuning`. */
function attentionPath({ family }: MethodContext, module: number): string {
  return `${matrixPath(family, 'query', module).replace(/\.[^.]*$/, '')}.prefix_tuning`;
}
