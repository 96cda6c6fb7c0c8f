import { z } from 'zod';
import { fail, list, type Tensor } from '../base/index.ts';
import { encoderNorms, encoderSpecs, linearPath, linearPlace } from '../encoders/index.ts';
import { add, layerNorm, sub } from '../graph/index.ts';
import { applyLinear, copyOf, type ParameterSpec } from '../nn/index.ts';
import type { Act } from './act.ts';
import { refuseBefore } from './additive.ts';
import type { MethodContext } from './context.ts';
import { everyLinear } from './linears.ts';
import type { Method } from './method.ts';
import type { PeftBeside } from './peft-layout.ts';

const schema = z.strictObject({
  architecture: z.literal('modules_to_save').default('modules_to_save'),
  modules: z.array(z.string().min(1)).min(1).default(['pooler']),
});

type SavedConfig = z.infer<typeof schema>;

/** A linear or a layer norm of the encoder, by its full name. */
interface Leaf {
  readonly path: string;
  readonly norm: boolean;
  readonly parts: readonly { readonly part: string; readonly shape: readonly number[] }[];
}

/** How PEFT keeps whole modules beside another method: under their own names in the encoder. */
const BESIDE: PeftBeside<SavedConfig> = {
  read(rest, { weights, model }, context) {
    const { prefix } = context.family;
    const specs = new Set(encoderSpecs(context.family, context.encoder).map(({ name }) => name));
    const leaves = leavesOf(context).map(({ path }) => path);
    const tensors = new Map<string, Tensor>();
    const left = new Map<string, Tensor>();
    const modules = new Set<string>();
    for (const [key, value] of rest) {
      const name = [key, prefix + key].find((one) => specs.has(one));
      if (name === undefined) {
        left.set(key, value);
        continue;
      }
      const [, path = '', part = ''] = /^(.*)\.([^.]+)$/.exec(name) ?? [];
      const copy = copyPath(path, part, context);
      if (!leaves.includes(path) || tensors.has(copy))
        fail({
          code: 'adapter.format',
          subject: `${weights}: ${key}`,
          found: tensors.has(copy) ? 'a second copy of it' : 'a copy of a weight of the encoder that is in no linear and no layer norm',
          expected: `linears and layer norms of ${model}, each once`,
          next: 'In Python, merge the adapter into the model and save that.',
        });
      modules.add(path);
      tensors.set(copy, value);
    }
    const own = leaves.filter((path) => modules.has(path)).map((path) => path.slice(prefix.length));
    return own.length === 0 ? undefined : { config: { modules: own }, tensors, rest: left };
  },
  write(config, tensors, context) {
    const { prefix } = context.family;
    const leaves = targets(config, context);
    const written = leaves.flatMap(({ path, parts }) =>
      parts.map(({ part }) => [`${path}.${part}`, tensors.get(copyPath(path, part, context)) as Tensor] as const),
    );
    return { modules: leaves.map(({ path }) => path.slice(prefix.length)), tensors: new Map(written) };
  },
};

/**
 * Whole modules of the encoder that train, as PEFT's `modules_to_save` has them beside LoRA: a copy of each linear and layer norm of
 * `modules` stands in its place, y = W' x + b'. Names are whole between dots: the end of a module's path, such as `pooler`,
 * `layer.2.output` or `LayerNorm`, of which all linears and norms are meant; or this library's name of a linear. Word tables and what
 * else an encoder has are not copied: a name that means them too is refused.
 */
export const MODULES_TO_SAVE: Method<SavedConfig> = {
  name: 'whole modules',
  summary: 'trained copies of whole linears and layer norms of the encoder',
  paper: 'none: modules_to_save of PEFT',
  architecture: 'modules_to_save',
  schema,
  presets: { modules_to_save: {} },
  floatKeys: [],
  learningRate: 1e-4,
  mixesTokens: () => false,
  peftBeside: BESIDE,
  parameters: (config, context) =>
    targets(config, context).flatMap(({ path, norm, parts }) =>
      parts.map(
        ({ part, shape }): ParameterSpec => ({
          name: copyPath(path, part, context),
          shape,
          init: copyOf(`${path}.${part}`),
          decay: !norm && part === 'weight',
        }),
      ),
    ),
  acts(config, context, read) {
    const leaves = new Map(targets(config, context).map((leaf) => [leaf.path, leaf]));
    const copies = ({ path, parts }: Leaf) => {
      const bias = parts.some(({ part }) => part === 'bias') ? read(copyPath(path, 'bias', context)) : undefined;
      return { weight: read(copyPath(path, 'weight', context)), bias };
    };
    return {
      linear({ name, module, x, y }): Act<'linear'> | undefined {
        const leaf = leaves.get(linearPath(context.family, name, module));
        if (!leaf) return undefined;
        return {
          apply: (state) => (state ? refuseBefore(context, `at ${leaf.path}`) : sub(applyLinear(copies(leaf), x), y)),
          close: (update) => (update ? add(y, update) : y),
        };
      },
      norm({ path, x, y, bias, epsilon }): Act<'norm'> | undefined {
        const leaf = leaves.get(path);
        if (!leaf) return undefined;
        return {
          apply(state) {
            if (state !== y) refuseBefore(context, `at ${path}`);
            const own = copies(leaf);
            return layerNorm(x, own.weight, own.bias ?? bias, epsilon);
          },
        };
      },
    };
  },
};

function copyPath(path: string, part: string, { name }: MethodContext): string {
  return `${path}.modules_to_save.${name}.${part}`;
}

/** All that can be copied: linears in whole matrices, and layer norms. */
function leavesOf({ encoder, family }: MethodContext): Leaf[] {
  const shapes = new Map(encoderSpecs(family, encoder).map(({ name, shape }) => [name, shape]));
  const leaf = (path: string, norm: boolean): Leaf => ({
    path,
    norm,
    parts: ['weight', 'bias'].flatMap((part) => {
      const shape = shapes.get(`${path}.${part}`);
      return shape ? [{ part, shape }] : [];
    }),
  });
  const whole = everyLinear({ encoder, family }).filter(({ linear }) => linearPlace(family, linear).partOf === undefined);
  return [...whole.map(({ path }) => leaf(path, false)), ...encoderNorms(family, encoder).map(({ path }) => leaf(path, true))];
}

/** @throws method.site for a name that no module has, and for one that means weights of which no copy can stand */
function targets({ modules }: SavedConfig, context: MethodContext): Leaf[] {
  const { encoder, family } = context;
  const means = (module: string, path: string) => `.${path}.`.includes(`.${module}.`);
  const leaves = leavesOf(context);
  const named = new Map(everyLinear(context).map(({ path, linear }) => [path, linear]));
  const meant = (module: string, { path }: Leaf) => means(module, path) || named.get(path) === module;
  const known = new Set(leaves.map(({ path }) => path));
  for (const module of modules) {
    const other = encoderSpecs(family, encoder)
      .map(({ name }) => name.slice(0, name.lastIndexOf('.')))
      .find((path) => !known.has(path) && means(module, path));
    const found = other === undefined ? `'${module}', which nothing in the encoder is called` : `'${module}', of which ${other} is a part`;
    if (other !== undefined || !leaves.some((leaf) => meant(module, leaf)))
      fail({
        code: 'method.site',
        subject: 'modules',
        found,
        expected: `linears and layer norms: ${list(
          leaves.map(({ path }) => path),
          4,
        )}`,
      });
  }
  return leaves.filter((leaf) => modules.some((module) => meant(module, leaf)));
}
