import { z } from 'zod';
import { fail } from '../base/index.ts';
import { add, concat, constant, type Dim, expand, matmul, reduceSum, reshape, scalar, transpose, type Value } from '../graph/index.ts';
import { ZERO } from '../nn/index.ts';
import { additiveAct, denseAct, refuseBefore } from './additive.ts';
import type { MethodContext } from './context.ts';
import { actsAtLinears, atLinears, dropoutPlace, linearFields, linearShape } from './linears.ts';
import { loraPath, type Method } from './method.ts';
import { peftAtLinears } from './peft-linears.ts';

const schema = z.strictObject({
  architecture: z.literal('miss').default('miss'),
  ...linearFields,
  linears: linearFields.linears.default(['query', 'value']),
  r: z.number().int().positive().default(64),
  miss_dropout: z.number().min(0).lt(1).default(0),
  mini_r: z.number().int().positive().default(1),
  init_weights: z.union([z.boolean(), z.enum(['bat', 'mini'])]).default(true),
});

type MissConfig = z.infer<typeof schema>;

/**
 * MiSS (Kang & Yin 2024), as PEFT has it: all shards of a weight have the same update,
 *
 *   y = W x + b + Dᵀ Σ_k x_k,    x_k the k-th r numbers of x (zeros behind the last), D [r, out]
 *
 * `init_weights` is 'mini' for D [r, mini_r], repeated along the outputs, and 'bat' for D_i [r, r] at each r rows of W, where each block
 * W_ik [r, r] of W has the update W_ik D_i + D_i. D starts at zero, or with `init_weights` false Kaiming-uniform.
 */
export const MISS: Method<MissConfig> = {
  name: 'matrix shard sharing',
  summary: 'one small matrix that all shards of a chosen linear share as their update',
  paper: 'Kang & Yin 2024',
  architecture: 'miss',
  schema,
  presets: { miss: {} },
  floatKeys: [],
  learningRate: 1e-3,
  mixesTokens: () => false,
  layouts: () => ['peft'],
  peft: peftAtLinears<MissConfig>({
    type: 'MISS',
    parts: { miss_block: 'miss_block' },
    prefix: 'miss_',
    keys: ['r', 'miss_dropout', 'mini_r', 'init_weights'],
    fixed: { bias: 'none' },
  }),
  parameters: (config, context) =>
    atLinears(config, context, (linear, module) => {
      const shape = shapeOf(config, context, linear);
      const init = config.init_weights === false ? ({ kind: 'fan-in-uniform', fanIn: shape.at(-1) as number } as const) : ZERO;
      return [{ name: `${loraPath(context, linear, module)}.miss_block`, shape, init, decay: true }];
    }),
  acts: (config, context, read, dropout) =>
    actsAtLinears(config, context, (site) => {
      const { name, module, weight } = site;
      const { fanIn, out } = linearShape(context, name);
      const { r } = config;
      const block = () => read(`${loraPath(context, name, module)}.miss_block`);
      if (config.init_weights === 'bat') {
        const act = denseAct(site, context, site.x, () => batUpdate(weight, block(), out, fanIn, r));
        // Of two such updates the second would be made of what the first leaves of W.
        return { ...act, apply: (state) => (state ? refuseBefore(context, `at '${name}'`) : act.apply(state)) };
      }
      const x = dropout(site.x, config.miss_dropout, dropoutPlace(site, context));
      const up = (): Value => {
        const half = block();
        const repeats = out / (half.shape[1] as number);
        return transpose(reshape(expand(reshape(half, [r, 1, out / repeats]), [r, repeats, out / repeats]), [r, out]), [1, 0]);
      };
      const shards = Math.ceil(fanIn / r);
      return additiveAct(
        site,
        context,
        () => ({ input: x, down: folding(r, fanIn), up: up() }),
        () => {
          const rows = x.shape[0] as Dim;
          const padding = shards * r - fanIn;
          const whole = padding === 0 ? x : concat([x, expand(scalar(0), [rows, padding])], 1);
          return matmul(reshape(reduceSum(reshape(whole, [rows, shards, r]), [1]), [rows, r]), up(), { transB: true });
        },
      );
    }),
};

/** D's. @throws method.config for numbers that do not fit a linear */
function shapeOf({ r, mini_r, init_weights: kind }: MissConfig, context: MethodContext, linear: string): number[] {
  const { fanIn, out } = linearShape(context, linear);
  const wrong = (subject: string, found: number, expected: string) =>
    fail({ code: 'method.config', subject: `${subject} at '${linear}' [${out}, ${fanIn}]`, found: String(found), expected });
  if (r > fanIn) wrong('r', r, `at most ${fanIn}`);
  if (kind === 'bat' && (fanIn % r !== 0 || out % r !== 0)) wrong('r', r, 'a divisor of both');
  if (kind === 'mini' && out % mini_r !== 0) wrong('mini_r', mini_r, `a divisor of ${out}`);
  if (kind === 'bat') return [out / r, r, r];
  return [r, kind === 'mini' ? mini_r : out];
}

/** W_ik D_i + D_i for each block of r rows and r columns: [out, in]. */
function batUpdate(weight: Value, blocks: Value, out: number, fanIn: number, r: number): Value {
  const [rows, columns] = [out / r, fanIn / r];
  // [out/r, in/r · r, r]: the r rows of each block below each other, so that D_i [r, r] stands for all blocks of its rows.
  const apart = reshape(transpose(reshape(weight, [rows, r, columns, r]), [0, 2, 1, 3]), [rows, columns * r, r]);
  const changed = reshape(matmul(apart, blocks), [rows, columns, r, r]);
  const whole = add(changed, reshape(blocks, [rows, 1, r, r]));
  return reshape(transpose(whole, [0, 2, 1, 3]), [out, fanIn]);
}

/** [r, in] with Σ_k x_k = folding · x. */
function folding(r: number, fanIn: number): Value {
  const data = new Float32Array(r * fanIn);
  for (let i = 0; i < fanIn; i++) data[(i % r) * fanIn + i] = 1;
  return constant({ dtype: 'float32', shape: [r, fanIn], data });
}
