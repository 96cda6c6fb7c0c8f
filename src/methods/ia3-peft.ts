import { z } from 'zod';
import { linearPath } from '../encoders/index.ts';
import { add, mul, reshape, sub } from '../graph/index.ts';
import { applyLinear, ONE } from '../nn/index.ts';
import { refuseBefore } from './additive.ts';
import type { MethodContext } from './context.ts';
import { actsAtLinears, atLinears, linearFields, linearShape, placedLinears } from './linears.ts';
import { loraPath, type Method } from './method.ts';
import { peftAtLinears } from './peft-linears.ts';

const schema = z.strictObject({
  architecture: z.literal('ia3_peft').default('ia3_peft'),
  ...linearFields,
  linears: linearFields.linears.default(['key', 'value', 'attentionOutput', 'output']),
  feedforward: z.array(z.string().min(1)).default(['attentionOutput', 'output']),
  init_ia3_weights: z.boolean().default(true),
});

type Ia3Config = z.infer<typeof schema>;

/**
 * (IA)³ (Liu et al. 2022), as PEFT has it: of most linears the output is scaled, of those in `feedforward` the input,
 *
 *   y = l ⊙ (W x + b),    y = W (l ⊙ x) + b
 *
 * l [out, 1] or [1, in] starts at one, or with `init_ia3_weights` false as normal numbers. The defaults are PEFT's for BERT, where the
 * name `output.dense` is the end of attention's output too.
 */
export const IA3_PEFT: Method<Ia3Config> = {
  name: 'rescaling as in PEFT',
  summary: 'a trained factor for each number that chosen linears give, or read',
  paper: 'Liu et al. 2022',
  architecture: 'ia3_peft',
  schema,
  presets: { ia3_peft: {} },
  floatKeys: [],
  learningRate: 1e-2,
  mixesTokens: () => false,
  layouts: () => ['peft'],
  peft: peftAtLinears<Ia3Config>({
    type: 'IA3',
    parts: { ia3_l: 'ia3_l' },
    prefix: 'ia3_',
    keys: ['init_ia3_weights'],
    fixed: { fan_in_fan_out: false },
    told: {
      fields: ['feedforward_modules'],
      read(linears, tensors, context) {
        const reads = linears.filter(({ linear, module }) => tensors.get(`${loraPath(context, linear, module)}.ia3_l`)?.shape[0] === 1);
        const paths = new Set(reads.map(({ path }) => path));
        const kinds = [...new Set(reads.map(({ linear }) => linear))];
        const whole = linears.every(({ linear, path }) => kinds.includes(linear) === paths.has(path));
        return { feedforward: whole ? kinds : [...paths].map((path) => path.slice(context.family.prefix.length)) };
      },
      write: (config, context) => ({
        feedforward_modules: [...readers(config, context)].map((path) => path.slice(context.family.prefix.length)),
      }),
    },
  }),
  parameters(config, context) {
    const scaled = readers(config, context);
    return atLinears(config, context, (linear, module) => {
      const { fanIn, out } = linearShape(context, linear);
      return [
        {
          name: `${loraPath(context, linear, module)}.ia3_l`,
          shape: scaled.has(linearPath(context.family, linear, module)) ? [1, fanIn] : [out, 1],
          init: config.init_ia3_weights ? ONE : { kind: 'normal', deviation: 1 },
          decay: true,
        },
      ];
    });
  },
  acts(config, context, read) {
    const scaled = readers(config, context);
    return actsAtLinears(config, context, ({ name, module, x, y, weight, bias }) => {
      const l = () => read(`${loraPath(context, name, module)}.ia3_l`);
      const { fanIn, out } = linearShape(context, name);
      const whole = () =>
        scaled.has(linearPath(context.family, name, module))
          ? applyLinear({ weight, bias }, mul(x, reshape(l(), [fanIn])))
          : mul(y, reshape(l(), [out]));
      return {
        // A factor on what another adapter adds would be neither library's.
        apply: (state) => (state ? refuseBefore(context, `at '${name}'`) : sub(whole(), y)),
        close: (update) => (update ? add(y, update) : y),
      };
    });
  },
};

/** Full paths of the adapted linears of which the input is scaled. @throws method.site for a name that none has */
function readers(config: Ia3Config, context: MethodContext): Set<string> {
  const { feedforward } = config;
  if (feedforward.length === 0) return new Set();
  const named = new Set(placedLinears({ linears: feedforward, leave_out: [] }, context).map(({ path }) => path));
  const adapted = placedLinears(config, context).map(({ path }) => path);
  return new Set(adapted.filter((path) => named.has(path)));
}
