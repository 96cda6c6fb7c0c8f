import { z } from 'zod';
import { linearPath } from '../encoders/index.ts';
import { type Dim, matmul, mul, multiplyDims, reshape, scalar, transpose, type Value } from '../graph/index.ts';
import { type ParameterSpec, ZERO } from '../nn/index.ts';
import { additiveAct, identity, keptUpdate } from './additive.ts';
import type { MethodContext } from './context.ts';
import { actsAtLinears, atLinears, dropoutPlace, linearFields, linearShape } from './linears.ts';
import { loraPath, type Method } from './method.ts';
import { patternValue, peftAtLinears } from './peft-linears.ts';

const schema = z.strictObject({
  architecture: z.literal('lokr').default('lokr'),
  ...linearFields,
  linears: linearFields.linears.default(['query', 'value']),
  r: z.number().int().positive().default(8),
  alpha: z.number().positive().default(8),
  decompose_both: z.boolean().default(false),
  decompose_factor: z
    .number()
    .int()
    .refine((factor) => factor === -1 || factor > 0, 'a positive number, or -1')
    .default(-1),
  rank_dropout: z.number().min(0).lt(1).default(0),
  rank_dropout_scale: z.boolean().default(false),
  module_dropout: z.number().min(0).lt(1).default(0),
  init_weights: z.union([z.boolean(), z.literal('lycoris')]).default(true),
  rank_pattern: z.record(z.string(), z.number().int().positive()).default({}),
  alpha_pattern: z.record(z.string(), z.number().positive()).default({}),
});

type LokrConfig = z.infer<typeof schema>;

const PARTS = ['lokr_w1', 'lokr_w1_a', 'lokr_w1_b', 'lokr_w2', 'lokr_w2_a', 'lokr_w2_b'];

/**
 * LoKr (Yeh et al. 2024, LyCORIS; KronA of Edalati et al. 2022 is near to it), as PEFT has it: a Kronecker product,
 *
 *   y = W x + b + (α/r) · (W₁ ⊗ W₂) x,    out = a·b, in = c·d, W₁ [a, c], W₂ [b, d]
 *
 * a, c are the smaller factors of out and in. W₂ is a product [b, r]·[r, d] where r < max(b, d)/2, and with `decompose_both` W₁ one of
 * [a, r]·[r, c] where r < max(a, c)/2. It is drawn as W₁ X W₂ᵀ with x as X [c, d], so ΔW stands nowhere but in fusions.
 */
export const LOKR: Method<LokrConfig> = {
  name: 'Kronecker product',
  summary: 'the Kronecker product of two small matrices beside chosen linears',
  paper: 'Yeh et al. 2024',
  architecture: 'lokr',
  schema,
  presets: { lokr: {} },
  floatKeys: [],
  learningRate: 1e-3,
  mixesTokens: () => false,
  layouts: () => ['peft'],
  peft: peftAtLinears<LokrConfig>({
    type: 'LOKR',
    parts: Object.fromEntries(PARTS.map((part) => [part, part])),
    prefix: 'lokr_',
    keys: [
      'r',
      'alpha',
      'decompose_both',
      'decompose_factor',
      'rank_dropout',
      'rank_dropout_scale',
      'module_dropout',
      'init_weights',
      'rank_pattern',
      'alpha_pattern',
    ],
    idle: { use_effective_conv2d: false },
  }),
  parameters: (config, context) =>
    atLinears(config, context, (linear, module): ParameterSpec[] => {
      const { fanIn, out } = linearShape(context, linear);
      const { r, a, b, c, d, first, second } = shapesAt(config, context, linearPath(context.family, linear, module), fanIn, out);
      const part = (name: string, shape: readonly [number, number], zero: boolean): ParameterSpec => ({
        name: `${loraPath(context, linear, module)}.${name}`,
        shape,
        init: zero ? ZERO : { kind: 'fan-in-uniform', fanIn: shape[1] },
        decay: true,
      });
      const [zeroFirst, zeroSecond] = [config.init_weights === true, config.init_weights === 'lycoris'];
      return [
        ...(first ? [part('lokr_w1_a', [a, r], zeroFirst), part('lokr_w1_b', [r, c], false)] : [part('lokr_w1', [a, c], zeroFirst)]),
        ...(second ? [part('lokr_w2_a', [b, r], false), part('lokr_w2_b', [r, d], zeroSecond)] : [part('lokr_w2', [b, d], zeroSecond)]),
      ];
    }),
  acts: (config, context, read, dropout) =>
    actsAtLinears(config, context, (site) => {
      const { x, name, module } = site;
      const path = loraPath(context, name, module);
      const { fanIn, out } = linearShape(context, name);
      const sizes = shapesAt(config, context, linearPath(context.family, name, module), fanIn, out);
      const { a, b, c, d, first, second } = sizes;
      const scale = sizes.alpha / sizes.r;
      const rows = x.shape[0] as Dim;
      const factors = keptUpdate(config, out, dropout, dropoutPlace(site, context), config.rank_dropout_scale);
      const part = (one: string) => read(`${path}.${one}`);
      const w1 = () => (first ? matmul(part('lokr_w1_a'), part('lokr_w1_b')) : part('lokr_w1'));
      const times = (value: Value, matrix: Value) => matmul(value, matrix, { transB: true });
      const update = (): Value => {
        const given = reshape(x, [multiplyDims(rows, c), d]);
        const inner = second ? times(times(given, part('lokr_w2_b')), part('lokr_w2_a')) : times(given, part('lokr_w2'));
        const turned = reshape(transpose(reshape(inner, [rows, c, b]), [0, 2, 1]), [multiplyDims(rows, b), c]);
        const outer = mul(reshape(times(turned, w1()), [rows, b, a]), scalar(scale));
        const u = reshape(transpose(outer, [0, 2, 1]), [rows, out]);
        return factors ? mul(u, factors) : u;
      };
      const delta = (): Value => {
        const w2 = second ? matmul(part('lokr_w2_a'), part('lokr_w2_b')) : part('lokr_w2');
        const whole = reshape(mul(reshape(w1(), [a, 1, c, 1]), reshape(w2, [1, b, 1, d])), [out, fanIn]);
        return factors ? mul(whole, reshape(factors, [factors.shape[1] as number, 1])) : whole;
      };
      return additiveAct(site, context, () => ({ input: x, down: delta(), up: identity(out), scale }), update);
    }),
};

/** r, α and the sizes of both factors at a linear; `first` and `second` say which of them is a product of low rank. */
function shapesAt(config: LokrConfig, context: MethodContext, path: string, fanIn: number, out: number) {
  const r = patternValue(config.rank_pattern, path, context) ?? config.r;
  const alpha = patternValue(config.alpha_pattern, path, context) ?? config.alpha;
  const [a, b] = factorsOf(out, config.decompose_factor);
  const [c, d] = factorsOf(fanIn, config.decompose_factor);
  return { r, alpha, a, b, c, d, first: config.decompose_both && r < Math.max(a, c) / 2, second: r < Math.max(b, d) / 2 };
}

/**
 * Two factors of a size, as PEFT chooses them: `wanted` and the rest where it divides; else the divisors that are nearest to each other,
 * the first at most `wanted`, which -1 leaves open.
 */
function factorsOf(size: number, wanted: number): [number, number] {
  if (wanted > 0 && size % wanted === 0) return [wanted, size / wanted];
  const most = wanted === -1 ? size : wanted;
  let best = 1;
  for (let divisor = 2; divisor * divisor <= size && divisor <= most; divisor++) if (size % divisor === 0) best = divisor;
  return [best, size / best];
}
