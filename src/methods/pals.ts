import { z } from 'zod';
import { fail } from '../base/index.ts';
import { firstTokens, type ResidualSite, type Rows } from '../encoders/index.ts';
import { add, matmul, multiplyDims, softmax, type Value } from '../graph/index.ts';
import {
  attentionScores,
  type Dropout,
  linear,
  mergeHeads,
  NORMAL,
  type ParameterSpec,
  type Parameters,
  splitHeads,
  ZERO,
} from '../nn/index.ts';
import type { Act } from './act.ts';
import type { MethodContext } from './context.ts';
import { adapterPath, type Method, modules, type ReadParameter } from './method.ts';

/**
 * Projected attention layers (Stickland & Murray 2019, section 3.3): beside each layer l, which ends in a layer norm,
 *
 *   h^{l+1} = LN(h^l + SA(h^l) + TS(h^l)),   TS(h) = V^D g_l(V^E h)
 *
 * h + SA(h) stands for all that the layer's last norm reads. g_l is multi-head attention between `size` numbers per token,
 * without a matrix after it; V^E [size, d] and V^D [d, size] are the same in all layers. All are a task's own, with biases.
 * `size` is by default the paper's 204 of 768 hidden units, in proportion and to a multiple of the heads; `heads` those of the
 * encoder. `dropout` drops attention probabilities.
 */
const schema = z.strictObject({
  architecture: z.literal('pals').default('pals'),
  size: z.number().int().positive().nullable().default(null),
  heads: z.number().int().positive().nullable().default(null),
  leave_out: z.array(z.number().int().nonnegative()).default([]),
  dropout: z.number().min(0).lt(1).default(0.1),
});

type PalsConfig = z.infer<typeof schema>;

export const PALS: Method<PalsConfig> = {
  name: 'projected attention',
  summary: 'a small attention beside each layer, between two projections that all layers share',
  paper: 'Stickland & Murray 2019',
  architecture: 'pals',
  schema,
  presets: { pals: {} },
  floatKeys: ['dropout'],
  learningRate: 1e-3,
  // It reads what went into the layer, which is there for all tokens.
  mixesTokens: () => false,
  parameters(config, context) {
    const { hidden } = context.encoder;
    const { size } = sizes(config, context);
    const { down, up } = projections(context);
    return [
      ...linearParameters(down, size, hidden),
      ...modules(context.encoder, config.leave_out).flatMap((module) =>
        ATTENTION.flatMap((name) => linearParameters(`${adapterPath(context, 'output', module)}.${name}`, size, size)),
      ),
      ...linearParameters(up, hidden, size),
    ];
  },
  acts: (config, context, read, dropout) => ({
    residual(site): Act<'residual'> | undefined {
      if (site.place !== 'output' || config.leave_out.includes(site.module)) return undefined;
      return { apply: ({ h }) => ({ h: add(h, projectedAttention(config, context, read, dropout, site)) }) };
    },
  }),
};

const ATTENTION = ['query', 'key', 'value'] as const;

/** TS(h): [rows, hidden]. */
function projectedAttention(config: PalsConfig, context: MethodContext, read: ReadParameter, dropout: Dropout, site: ResidualSite): Value {
  const { layer, module, input, all, mask, batch, length } = site;
  const parameters: Parameters = (name) => read(name);
  const { size, heads } = sizes(config, context);
  const { down, up } = projections(context);
  const small = linear(parameters, down, input, size);
  const project = (name: (typeof ATTENTION)[number], from: Value, rows: Rows) =>
    splitHeads(linear(parameters, `${adapterPath(context, 'output', module)}.${name}`, from, size), rows.batch, rows.length, heads);
  const query = project('query', length === 1 ? firstTokens(small, all) : small, site);
  const scores = add(attentionScores(query, project('key', small, all)), mask);
  const probabilities = dropout(softmax(scores), config.dropout, `layer.${layer}.attention.${context.name}`);
  const attended = mergeHeads(matmul(probabilities, project('value', small, all)), multiplyDims(batch, length));
  return linear(parameters, up, attended, context.encoder.hidden);
}

/** @throws method.config for a size that heads do not divide */
function sizes(config: PalsConfig, { encoder }: MethodContext): { readonly size: number; readonly heads: number } {
  const heads = config.heads ?? encoder.heads;
  const size = config.size ?? heads * Math.max(1, Math.round((encoder.hidden * PAPER_SHARE) / heads));
  if (size % heads !== 0)
    fail({
      code: 'method.config',
      subject: 'size',
      found: `${size}`,
      expected: `a multiple of the ${heads} heads`,
      next: 'Give heads too.',
    });
  return { size, heads };
}

const PAPER_SHARE = 204 / 768;

/** Full names of V^E and V^D, which no layer owns. */
function projections({ family, name }: MethodContext): { readonly down: string; readonly up: string } {
  const path = `${family.prefix}shared_parameters.${name}`;
  return { down: `${path}.down`, up: `${path}.up` };
}

function linearParameters(name: string, out: number, width: number): ParameterSpec[] {
  return [
    { name: `${name}.weight`, shape: [out, width], init: NORMAL, decay: true },
    { name: `${name}.bias`, shape: [out], init: ZERO, decay: false },
  ];
}
