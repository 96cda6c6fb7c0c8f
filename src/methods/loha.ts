import { z } from 'zod';
import { linearPath } from '../encoders/index.ts';
import { matmul, mul, reshape, type Value } from '../graph/index.ts';
import { type ParameterSpec, ZERO } from '../nn/index.ts';
import { additiveAct, keptUpdate } from './additive.ts';
import type { MethodContext } from './context.ts';
import { actsAtLinears, atLinears, dropoutPlace, linearFields, linearShape } from './linears.ts';
import type { LowRank } from './low-rank.ts';
import { loraPath, type Method } from './method.ts';
import { patternValue, peftAtLinears } from './peft-linears.ts';

const PATTERN = z.record(z.string(), z.number().positive()).default({});
const schema = z.strictObject({
  architecture: z.literal('loha').default('loha'),
  ...linearFields,
  linears: linearFields.linears.default(['query', 'value']),
  r: z.number().int().positive().default(8),
  alpha: z.number().positive().default(8),
  rank_dropout: z.number().min(0).lt(1).default(0),
  module_dropout: z.number().min(0).lt(1).default(0),
  init_weights: z.boolean().default(true),
  rank_pattern: z.record(z.string(), z.number().int().positive()).default({}),
  alpha_pattern: PATTERN,
});

type LohaConfig = z.infer<typeof schema>;

/**
 * LoHa (Hyeon-Woo et al. 2022, FedPara, proposition 1), as PEFT has it: the Hadamard product of two updates of low rank,
 *
 *   y = W x + b + (α/r) · ((A₁ B₁) ∘ (A₂ B₂)) x
 *
 * A₁, A₂ [out, r] and B₁, B₂ [r, in]; all but B₂, which is zero, start Kaiming-uniform. Its rank is at most r²: column (i, j) of one
 * factor is A₁'s column i times A₂'s column j, and so for rows of the B. While training `rank_dropout` drops rows of ΔW, of which
 * the others are divided by the share that is left, and `module_dropout` all of it, for a whole run.
 */
export const LOHA: Method<LohaConfig> = {
  name: 'Hadamard product of low-rank updates',
  summary: 'the entrywise product of two low-rank updates beside chosen linears',
  paper: 'Hyeon-Woo et al. 2022',
  architecture: 'loha',
  schema,
  presets: { loha: {} },
  floatKeys: [],
  learningRate: 1e-3,
  mixesTokens: () => false,
  layouts: () => ['peft'],
  peft: peftAtLinears<LohaConfig>({
    type: 'LOHA',
    parts: { hada_w1_a: 'hada_w1_a', hada_w1_b: 'hada_w1_b', hada_w2_a: 'hada_w2_a', hada_w2_b: 'hada_w2_b' },
    prefix: 'hada_',
    keys: ['r', 'alpha', 'rank_dropout', 'module_dropout', 'init_weights', 'rank_pattern', 'alpha_pattern'],
    idle: { use_effective_conv2d: false },
  }),
  parameters: (config, context) =>
    atLinears(config, context, (linear, module): ParameterSpec[] => {
      const { fanIn, out } = linearShape(context, linear);
      const { r } = scaleAt(config, context, linearPath(context.family, linear, module));
      const part = (name: string, shape: readonly [number, number], zero = false): ParameterSpec => ({
        name: `${loraPath(context, linear, module)}.${name}`,
        shape,
        init: zero ? ZERO : { kind: 'fan-in-uniform', fanIn: shape[1] },
        decay: true,
      });
      return [
        part('hada_w1_a', [out, r]),
        part('hada_w1_b', [r, fanIn]),
        part('hada_w2_a', [out, r]),
        part('hada_w2_b', [r, fanIn], config.init_weights),
      ];
    }),
  acts: (config, context, read, dropout) =>
    actsAtLinears(config, context, (site) => {
      const { x, name, module } = site;
      const path = loraPath(context, name, module);
      const { fanIn, out } = linearShape(context, name);
      const { r, alpha } = scaleAt(config, context, linearPath(context.family, name, module));
      const part = (one: string) => read(`${path}.${one}`);
      const factors = keptUpdate(config, out, dropout, dropoutPlace(site, context));
      const kept = (value: Value): Value => (factors ? mul(value, reshape(factors, [factors.shape[1] as number, 1])) : value);
      const lowRank = (): LowRank => ({
        input: x,
        down: reshape(mul(reshape(part('hada_w1_b'), [r, 1, fanIn]), reshape(part('hada_w2_b'), [1, r, fanIn])), [r * r, fanIn]),
        up: kept(reshape(mul(reshape(part('hada_w1_a'), [out, r, 1]), reshape(part('hada_w2_a'), [out, 1, r])), [out, r * r])),
        scale: alpha / r,
      });
      const whole = () => {
        const delta = mul(matmul(part('hada_w1_a'), part('hada_w1_b')), matmul(part('hada_w2_a'), part('hada_w2_b')));
        return matmul(x, kept(delta), { transB: true, alpha: alpha / r });
      };
      return additiveAct(site, context, lowRank, r * r * (fanIn + out) < fanIn * out ? undefined : whole);
    }),
};

function scaleAt({ r, alpha, rank_pattern, alpha_pattern }: LohaConfig, context: MethodContext, path: string) {
  return { r: patternValue(rank_pattern, path, context) ?? r, alpha: patternValue(alpha_pattern, path, context) ?? alpha };
}
