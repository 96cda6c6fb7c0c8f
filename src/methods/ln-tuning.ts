import { z } from 'zod';
import { fail, list } from '../base/index.ts';
import { type EncoderNorm, encoderNorms } from '../encoders/index.ts';
import { layerNorm } from '../graph/index.ts';
import { copyOf, type ParameterSpec } from '../nn/index.ts';
import type { Act } from './act.ts';
import type { MethodContext } from './context.ts';
import { LN_TUNING_PEFT, lnTuningPath } from './ln-tuning-peft.ts';
import type { Method } from './method.ts';

const schema = z.strictObject({
  architecture: z.literal('ln_tuning').default('ln_tuning'),
  target_modules: z.array(z.string().min(1)).min(1).nullable().default(null),
});

type LnTuningConfig = z.infer<typeof schema>;

/**
 * LayerNorm tuning (Zhao et al. 2024), as PEFT has it: a copy of a layer norm, gain and bias, stands in its place and trains. Several
 * adapters can have copies of the norms of one frozen encoder. `target_modules` are ends of the norms' names, whole between dots;
 * null means all norms.
 */
export const LN_TUNING: Method<LnTuningConfig> = {
  name: 'layer norm tuning',
  summary: 'trained copies of the gain and bias of layer norms',
  paper: 'Zhao et al. 2024',
  architecture: 'ln_tuning',
  schema,
  presets: { ln_tuning: {} },
  floatKeys: [],
  learningRate: 1e-3,
  mixesTokens: () => false,
  layouts: () => ['peft'],
  peft: LN_TUNING_PEFT,
  parameters: (config, context) => targets(config, context).flatMap((norm) => parametersOf(norm, context)),
  acts(config, context, read) {
    const norms = new Map(targets(config, context).map((norm) => [norm.path, norm]));
    return {
      norm({ path, x, y, bias, epsilon }): Act<'norm'> | undefined {
        const norm = norms.get(path);
        if (!norm) return undefined;
        const copy = lnTuningPath(path, context);
        return {
          apply(state) {
            if (state !== y)
              fail({
                code: 'method.config',
                subject: `adapter '${context.name}'`,
                found: `another adapter before it at ${path}`,
                expected: 'none before it there, since a copy takes the place of the norm',
              });
            return layerNorm(x, read(`${copy}.weight`), norm.bias ? read(`${copy}.bias`) : bias, epsilon);
          },
        };
      },
    };
  },
};

function parametersOf({ path, width, bias }: EncoderNorm, context: MethodContext): ParameterSpec[] {
  return (bias ? ['weight', 'bias'] : ['weight']).map((part) => ({
    name: `${lnTuningPath(path, context)}.${part}`,
    shape: [width],
    init: copyOf(`${path}.${part}`),
    decay: false,
  }));
}

/** @throws method.site for a name that no norm's ends with */
function targets({ target_modules: wanted }: LnTuningConfig, { encoder, family }: MethodContext): readonly EncoderNorm[] {
  const norms = encoderNorms(family, encoder);
  if (wanted === null) return norms;
  const means = (target: string, { path }: EncoderNorm) => `.${path}`.endsWith(`.${target}`);
  const nowhere = wanted.find((target) => !norms.some((norm) => means(target, norm)));
  if (nowhere !== undefined)
    fail({
      code: 'method.site',
      subject: 'target_modules',
      found: `'${nowhere}'`,
      expected: `the end of a norm's name: ${list(
        norms.map(({ path }) => path),
        4,
      )}`,
    });
  return norms.filter((norm) => wanted.some((target) => means(target, norm)));
}
