import { z } from 'zod';
import { fail } from '../base/index.ts';
import { add, concat, cos, type Dim, mul, neg, reshape, sin, slice, sub, type Value } from '../graph/index.ts';
import { type Initializer, ONE, ZERO } from '../nn/index.ts';
import { actsAtLinears, atLinears, linearFields, linearShape } from './linears.ts';
import { loraPath, type Method } from './method.ts';
import { peftAtLinears } from './peft-linears.ts';

const schema = z.strictObject({
  architecture: z.literal('road').default('road'),
  ...linearFields,
  linears: linearFields.linears.default(['query', 'value']),
  variant: z.enum(['road_1', 'road_2', 'road_4']).default('road_1'),
  group_size: z
    .number()
    .int()
    .positive()
    .refine((size) => size % 2 === 0, 'an even number')
    .default(64),
  init_weights: z.boolean().default(true),
});

type RoadConfig = z.infer<typeof schema>;

/** Angles, and as many scales, for each number that a linear gives. */
const SHARES: Readonly<Record<RoadConfig['variant'], number>> = { road_1: 0.5, road_2: 1, road_4: 2 };

/**
 * RoAd (Liao & Monz 2024), as PEFT has it: what a linear gives is turned and scaled in pairs,
 *
 *   y = a ⊙ h + b ⊙ h*,    h = W x + b,    a = α cos θ,    b = α sin θ
 *
 * A pair stands half a group apart, and h* is the group with its halves (h₁, h₂) as (−h₂, h₁). θ and α are one for each pair (`road_1`),
 * for each number (`road_2`), or of a and of b apart (`road_4`, in each group those of a first). After other updates it turns what they give.
 */
export const ROAD: Method<RoadConfig> = {
  name: 'rotary adapter',
  summary: 'rotations and scales of pairs of numbers that chosen linears give',
  paper: 'Liao & Monz 2024',
  architecture: 'road',
  schema,
  presets: { road: {} },
  floatKeys: [],
  learningRate: 1e-2,
  mixesTokens: () => false,
  layouts: () => ['peft'],
  peft: peftAtLinears<RoadConfig>({
    type: 'ROAD',
    parts: { road_theta: 'road_theta', road_alpha: 'road_alpha' },
    prefix: 'road_',
    keys: ['variant', 'group_size', 'init_weights'],
  }),
  parameters: (config, context) =>
    atLinears(config, context, (linear, module) => {
      const { out } = linearShape(context, linear);
      if (out % config.group_size !== 0)
        fail({
          code: 'method.config',
          subject: `group_size at '${linear}'`,
          found: String(config.group_size),
          expected: `a number that divides the ${out} that it gives`,
        });
      const part = (name: string, fresh: Initializer) => ({
        name: `${loraPath(context, linear, module)}.${name}`,
        shape: [out * SHARES[config.variant]],
        init: fresh,
        decay: true,
      });
      return [
        part('road_theta', config.init_weights ? ZERO : { kind: 'normal', deviation: 0.5 }),
        part('road_alpha', config.init_weights ? ONE : aboutOne(out * SHARES[config.variant])),
      ];
    }),
  acts: (config, context, read) =>
    actsAtLinears(config, context, ({ y, name, module }) => {
      const path = loraPath(context, name, module);
      const turned = (h: Value): Value => {
        const { group_size: size, variant } = config;
        const [rows, out] = h.shape as [Dim, number];
        const [first, second] = columns(variant, size, out, read(`${path}.road_theta`), read(`${path}.road_alpha`));
        const halves = reshape(h, [rows, out / size, 2, size / 2]);
        const half = (at: number) => slice(halves, 2, at, at + 1);
        const partner = reshape(concat([neg(half(1)), half(0)], 2), [rows, out]);
        return add(mul(h, first), mul(partner, second));
      };
      let last: { readonly output: Value; readonly update: Value } | undefined;
      return {
        apply(state) {
          const output = turned(state ? add(y, state) : y);
          last = { output, update: sub(output, y) };
          return last.update;
        },
        close: (update) => (update && update === last?.update ? last.output : update ? add(y, update) : y),
      };
    }),
};

/** α cos θ and α sin θ for each of `out` numbers. */
function columns(variant: RoadConfig['variant'], size: number, out: number, theta: Value, alpha: Value): [Value, Value] {
  const groups = out / size;
  if (variant === 'road_4') {
    const half = (value: Value, at: number) => reshape(slice(reshape(value, [groups, 2, size]), 1, at, at + 1), [out]);
    return [mul(half(alpha, 0), cos(half(theta, 0))), mul(half(alpha, 1), sin(half(theta, 1)))];
  }
  const [first, second] = [mul(alpha, cos(theta)), mul(alpha, sin(theta))];
  if (variant === 'road_2') return [first, second];
  const twice = (value: Value): Value => {
    const pairs = reshape(value, [groups, 1, size / 2]);
    return reshape(concat([pairs, pairs], 1), [out]);
  };
  return [twice(first), twice(second)];
}

function aboutOne(count: number): Initializer {
  return { kind: 'derived', reads: [], make: (_, random) => Float32Array.from({ length: count }, () => 1 + 0.5 * random.normal()) };
}
