import { z } from 'zod';
import { fail } from '../base/index.ts';
import { encoderNorms, linearPath } from '../encoders/index.ts';
import { add, expand, sub } from '../graph/index.ts';
import { copyOf } from '../nn/index.ts';
import type { Act } from './act.ts';
import type { MethodContext } from './context.ts';
import type { Method } from './method.ts';

const schema = z.strictObject({
  architecture: z.literal('bitfit').default('bitfit'),
  linears: z.array(z.string()).nullable().default(null),
  norms: z.boolean().default(true),
});

type BitFitConfig = z.infer<typeof schema>;

/**
 * BitFit (Ben Zaken et al. 2022): of the encoder only biases train, as copies that the adapter has: y + (b' − b), at the linears of
 * layers, by name or all, and at norms. The paper's smaller form is `linears=['query', 'intermediate'], norms=False`.
 */
export const BITFIT: Method<BitFitConfig> = {
  name: 'biases',
  summary: 'trained copies of the biases of linears and layer norms',
  paper: 'Ben Zaken et al. 2022',
  architecture: 'bitfit',
  schema,
  presets: { bitfit: {} },
  floatKeys: [],
  learningRate: 1e-3,
  mixesTokens: () => false,
  parameters: (config, context) =>
    [...biases(config, context)].map(([path, width]) => ({
      name: copyPath(path, context),
      shape: [width],
      init: copyOf(`${path}.bias`),
      decay: false,
    })),
  acts(config, context, read) {
    const copied = biases(config, context);
    return {
      linear({ name, module, y, bias }): Act<'linear'> | undefined {
        const path = linearPath(context.family, name, module);
        if (!bias || !copied.has(path)) return undefined;
        return {
          apply(update) {
            const shift = sub(read(copyPath(path, context)), bias);
            return update ? add(update, shift) : expand(shift, y.shape);
          },
          close: (update) => (update ? add(y, update) : y),
        };
      },
      norm({ path, bias }): Act<'norm'> | undefined {
        if (!copied.has(path)) return undefined;
        return { apply: (y) => add(y, sub(read(copyPath(path, context)), bias)) };
      },
    };
  },
};

function copyPath(path: string, { name }: MethodContext): string {
  return `${path}.adapters.${name}.bias`;
}

/** Widths of the biases that train, by the full names of their linears and norms. @throws method.site */
function biases({ linears: wanted, norms }: BitFitConfig, { encoder, family }: MethodContext): Map<string, number> {
  const biased = family.linears.filter(({ bias }) => bias?.(encoder) ?? true);
  const other = wanted?.find((name) => !biased.some((place) => place.name === name));
  if (other !== undefined)
    fail({ code: 'method.site', subject: 'linears', found: `'${other}'`, expected: `of ${biased.map(({ name }) => name).join(', ')}` });
  const paths = Array.from({ length: encoder.groups }, (_, module) => module).flatMap((module) =>
    biased
      .filter(({ name }) => wanted?.includes(name) ?? true)
      .map(({ name, out }) => [linearPath(family, name, module), out(encoder)] as const),
  );
  const ofNorms = encoderNorms(family, encoder).filter(({ bias }) => norms && bias);
  const all = new Map([...paths, ...ofNorms.map(({ path, width }) => [path, width] as const)]);
  if (all.size === 0) fail({ code: 'method.site', subject: 'linears, norms', found: 'no bias', expected: 'at least one that trains' });
  return all;
}
