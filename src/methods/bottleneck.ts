import { z } from 'zod';
import { fail } from '../base/index.ts';
import { PLACES, type Place, type ResidualSite } from '../encoders/index.ts';
import { add, expand, layerNorm, mul, reshape, scalar, type Value } from '../graph/index.ts';
import { type Dropout, type LinearParameters, NORMAL, ONE, type ParameterSpec, ZERO } from '../nn/index.ts';
import type { Acts, Opened, ResidualState } from './act.ts';
import {
  type BottleneckConfig,
  bottleneckFields,
  checkedTogether,
  DOUBLE,
  NO_PHM,
  PARALLEL,
  PLUS,
  SEQUENTIAL,
} from './bottleneck-config.ts';
import { type LinearForm, linearsAt, PLAIN_LINEARS } from './bottleneck-linears.ts';
import type { MethodContext } from './context.ts';
import { foldNorm, type LowRank, NORM_EPSILON, product, standardize } from './low-rank.ts';
import { adapterPath, type Method, modules, type ReadParameter } from './method.ts';
import { gateNotes, gateParameters, keptRows, linearStart, perSequence, sequenceGate } from './per-sequence.ts';

const fields = bottleneckFields.extend({ inv_adapter: z.null().default(null), phm_layer: NO_PHM });

/**
 * Bottleneck adapters: Houlsby et al. 2019 (double_seq_bn), Pfeiffer et al. 2020 (seq_bn), He et al. 2022 (par_bn),
 * Steitz & Roth 2024 (AdapterPlus). Sites: add-and-norm after attention (`mh_adapter`) and after feed-forward (`output_adapter`).
 *
 *   z   = h, or LN(h + x) with original_ln_before;  parallel: z = x
 *   u   = s · (W_up f(W_down LN?(z) + b_down) + b_up)
 *   out = LN(g · drop(u) + residual + x)            parallel: LN(g · drop(u) + h + x)
 */
export const BOTTLENECK: Method<BottleneckConfig> = {
  name: 'bottleneck',
  summary: 'two small linears with a non-linearity between, after a sub-block',
  paper: 'Houlsby et al. 2019; Pfeiffer et al. 2020; He et al. 2022; Steitz & Roth 2024',
  architecture: null,
  schema: checkedTogether(fields),
  presets: {
    seq_bn: SEQUENTIAL,
    pfeiffer: SEQUENTIAL,
    double_seq_bn: DOUBLE,
    houlsby: DOUBLE,
    par_bn: PARALLEL,
    parallel: PARALLEL,
    scaled_par_bn: { ...PARALLEL, scaling: 'learned' },
    scaled_parallel: { ...PARALLEL, scaling: 'learned' },
    adapter_plus: PLUS,
  },
  floatKeys: ['scaling', 'dropout', 'stochastic_depth', 'phm_init_range'],
  learningRate: 1e-3,
  mixesTokens: (config) => config.use_gating,
  notes: gateNotes,
  parameters: bottleneckParameters,
  acts: bottleneckActs,
};

/** @throws method.config for what would lose the encoder's residual */
export function bottleneckParameters<C extends BottleneckConfig>(
  config: C,
  context: MethodContext,
  form: LinearForm<C> = PLAIN_LINEARS,
): readonly ParameterSpec[] {
  checkResidual(config, context);
  return places(config).flatMap((place) =>
    modules(context.encoder, config.leave_out).flatMap((module) => parametersAt(config, context, form, place, module)),
  );
}

/** Sequential: z = h or LN(h + x), a residual of its own, closed by LN(o + x). Parallel: z = x, h added at the end. */
export function bottleneckActs<C extends BottleneckConfig>(
  config: C,
  context: MethodContext,
  read: ReadParameter,
  dropout: Dropout,
  form: LinearForm<C> = PLAIN_LINEARS,
): Acts {
  return {
    residual(site) {
      const { place, module, layer, x, join, norm } = site;
      if (!places(config).includes(place) || config.leave_out.includes(module)) return undefined;
      const path = adapterPath(context, place, module);
      const parameter = (tail: string) => read(`${path}.${tail}`);
      const where = `layer.${layer}.${place}.${context.name}`;
      const parallel = config.is_parallel;
      const open: Opened<'residual'> = {
        read({ h }) {
          if (parallel) return { query: x, queryBeforeNorm: x, residual: x, state: { h: x } };
          // Where nothing follows that adds the residual, it is read.
          const z = config.original_ln_before ? (config.original_ln_after ? norm(add(h, x)) : join(h)) : h;
          const residual = config.residual_before_ln === 'post_add' ? add(h, x) : config.residual_before_ln ? h : z;
          return { query: z, queryBeforeNorm: h, residual, state: { h: z } };
        },
        lowRank({ h: z }, standardize) {
          const linears = linearsAt(config, context, path, module);
          const down = form.values(linears.down, config, context, read);
          const up = form.values(linears.up, config, context, read);
          // Python drops paths in sequential adapters only.
          const p = parallel ? 0 : config.stochastic_depth;
          return {
            ...(config.ln_before
              ? foldNorm(
                  down.weight,
                  down.bias ?? expand(scalar(0), [down.weight.shape[0] as number]),
                  parameter('adapter_norm_before.weight'),
                  parameter('adapter_norm_before.bias'),
                )
              : { down: down.weight, ...(down.bias && { downBias: down.bias }) }),
            input: config.ln_before ? standardize(z) : z,
            activation: config.non_linearity,
            ...scaled(config, up, parameter),
            ...(p > 0 && { keep: keptRows(p, site, dropout, `${where}.path`) }),
          };
        },
        resume: (output) => ({ h: output }),
      };
      const prepare = (state: ResidualState): Required<ResidualState> => {
        const { state: prepared, residual } = open.read(state);
        return { ...prepared, residual };
      };
      return {
        prepare,
        apply(state) {
          const { h: z, residual } = state.residual ? { ...state, residual: state.residual } : prepare(state);
          const u = product(open.lowRank({ h: z }, standardize));
          let o = gated(config, context, parameter, dropout(u, config.dropout, where), z, site);
          if (config.adapter_residual_before_ln && !parallel) o = add(o, residual);
          if (config.ln_after) o = layerNorm(o, parameter('adapter_norm_after.weight'), parameter('adapter_norm_after.bias'), NORM_EPSILON);
          return { h: config.adapter_residual_before_ln || parallel ? o : add(o, residual) };
        },
        close({ h: o }) {
          // What a parallel adapter gives stands beside the sub-block's own output.
          const sum = parallel ? add(o, site.h) : o;
          return config.original_ln_after ? join(sum) : sum;
        },
        open,
      };
    },
  };
}

function places(config: BottleneckConfig): Place[] {
  return PLACES.filter((place) => (place === 'attention' ? config.mh_adapter : config.output_adapter));
}

/**
 * Where a norm stands before the sub-block and none after it, only an adapter that reads the sum with the residual, and adds what it
 * reads, may leave out what follows.
 */
function checkResidual(config: BottleneckConfig, { family }: MethodContext): void {
  const keepsSum = config.original_ln_before && config.residual_before_ln === false && !config.is_parallel;
  if (config.original_ln_after || keepsSum || places(config).every((place) => family.normPath(place, 0) !== undefined)) return;
  fail({
    code: 'method.config',
    subject: "key 'original_ln_after'",
    found: 'False',
    expected: `True on ${family.name}, whose residual nothing else would add`,
  });
}

function parametersAt<C extends BottleneckConfig>(
  config: C,
  context: MethodContext,
  form: LinearForm<C>,
  place: Place,
  module: number,
): ParameterSpec[] {
  const d = context.encoder.hidden;
  const path = adapterPath(context, place, module);
  const { down, up } = linearsAt(config, context, path, module);
  const norm = (name: string, alias?: string): ParameterSpec[] =>
    ['weight', 'bias'].map((part) => ({
      name: `${path}.${name}.${part}`,
      shape: [d],
      init: part === 'weight' ? ONE : ZERO,
      decay: false,
      ...(alias !== undefined && { aliases: [`${path}.${alias}.${part}`] }),
    }));
  return [
    // Python keeps this norm as an attribute and as the first member of the down-projection.
    ...(config.ln_before ? norm('adapter_norm_before', 'adapter_down.0') : []),
    ...form.parameters(down, config, context),
    ...form.parameters(up, config, context),
    ...(config.ln_after ? norm('adapter_norm_after') : []),
    ...(typeof config.scaling === 'string'
      ? [{ name: `${path}.scaling`, shape: [config.scaling === 'channel' ? d : 1], init: ONE, decay: true }]
      : []),
    ...(config.use_gating
      ? gateParameters(path, d, config.init_weights === 'houlsby' ? linearStart(d) : { weight: NORMAL, bias: ZERO })
      : []),
  ];
}

type ParameterOf = (tail: string) => Value;

function scaled({ scaling }: BottleneckConfig, { weight, bias }: LinearParameters, parameter: ParameterOf): Pick<LowRank, 'up' | 'upBias'> {
  if (scaling === 1) return { up: weight, ...(bias && { upBias: bias }) };
  const factor = typeof scaling === 'number' ? scalar(scaling) : parameter('scaling');
  const perRow = scaling === 'channel' ? reshape(factor, [weight.shape[0] as number, 1]) : factor;
  return { up: mul(weight, perRow), ...(bias && { upBias: mul(bias, factor) }) };
}

function gated(config: BottleneckConfig, context: MethodContext, parameter: ParameterOf, u: Value, z: Value, site: ResidualSite): Value {
  if (!config.use_gating) return u;
  const weights = [parameter('gate.weight'), parameter('gate.bias')] as const;
  return perSequence(u, sequenceGate(z, weights, config, site, site, context, site.place), site);
}
