import { z } from 'zod';
import { fail, list } from '../base/index.ts';
import { type LinearName, type LinearSite, linearPath, linearPlace, outerLinears } from '../encoders/index.ts';
import type { Act, Acts } from './act.ts';
import type { MethodContext } from './context.ts';
import { modules } from './method.ts';
import { pythonPattern } from './python-pattern.ts';

const NAMES = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]).nullable();

/**
 * Which linears of an encoder a method adapts, for a schema: `z.strictObject({ …, ...linearFields, … })`. A method that `adapters` has
 * too keeps the Python library's keys beside them ({@link loraFields}), which count where `linears` is null.
 *
 * - `linears`: a list of names; or one text, a regular expression of Python's over the whole path; or `'all-linear'`. A name is the path
 *   of a linear or its end from a dot on, with or without the family's prefix (`attention.output.dense`), or this library's name for it:
 *   `query`, `key`, `value`, `attentionOutput`, `intermediate`, `output`, and outside of the layers `projection` and `pooler`.
 *   `'all-linear'` is every matrix that the tokens pass: all of the layers and the projection, not the pooler.
 * - `exclude_linears`: the same, of those that are not adapted all the same.
 * - `leave_out`: layers in which none is adapted, from 0.
 */
export const linearFields = {
  linears: NAMES.default(null),
  exclude_linears: NAMES.default(null),
  leave_out: z.array(z.number().int().nonnegative()).default([]),
};

/** Keys of {@link linearFields} that the layout of `adapters` has no place for. */
export const LINEAR_KEYS = ['linears', 'exclude_linears'];

/** What says where: {@link linearFields}, and those of `adapters`. */
export interface Placing {
  readonly linears?: string | readonly string[] | null;
  readonly exclude_linears?: string | readonly string[] | null;
  readonly leave_out: readonly number[];
  readonly selfattn_lora?: boolean;
  readonly attn_matrices?: readonly (keyof typeof ATTENTION_LETTERS)[];
  readonly intermediate_lora?: boolean;
  readonly output_lora?: boolean;
}

/** The linears of attention by their letters in `attn_matrices`. */
export const ATTENTION_LETTERS = { q: 'query', k: 'key', v: 'value', o: 'attentionOutput' } as const satisfies Readonly<
  Record<string, LinearName>
>;

const IN_ADAPTERS: readonly LinearName[] = [...Object.values(ATTENTION_LETTERS), 'intermediate', 'output'];

const ALL = 'all-linear';

/** What a configuration without any linear is told. */
export const SOME_LINEAR = 'some linear to adapt: selfattn_lora with attn_matrices, intermediate_lora, output_lora or linears';

/** Whether a configuration names any linear. */
export function namesLinears(config: Placing): boolean {
  return (config.linears ?? undefined) !== undefined || kindsOf(config).length > 0;
}

/** Whether the layout of `adapters` can say which linears are adapted. It never wraps the attention's output. */
export function placedAsInAdapters(config: Placing): boolean {
  return (
    (config.linears ?? undefined) === undefined &&
    (config.exclude_linears ?? undefined) === undefined &&
    !kindsOf(config).includes('attentionOutput')
  );
}

/** A linear that is adapted; `module` is undefined outside of the layers. `path` is its full name. */
export interface PlacedLinear {
  readonly linear: LinearName;
  readonly module: number | undefined;
  readonly path: string;
}

/**
 * Every linear that a configuration adapts, each once: the projection, the layers in order, the pooler.
 * @throws method.site for names that mean nothing here, and where no linear is left; method.config for patterns that are not read
 */
export function placedLinears(config: Placing, context: Pick<MethodContext, 'encoder' | 'family'>): PlacedLinear[] {
  const { encoder, family } = context;
  const wanted = config.linears ?? undefined;
  const excluded = config.exclude_linears ?? undefined;
  const at = (linear: LinearName, module: number | undefined) => ({ linear, module, path: linearPath(family, linear, module) });
  const candidates =
    wanted === undefined
      ? modules(encoder, config.leave_out).flatMap((module) => kindsOf(config).map((linear) => at(linear, module)))
      : everyLinear(context).filter(selected(wanted, 'linears', context));
  const barred = excluded === undefined ? () => false : selected(excluded, 'exclude_linears', context);
  const kept = candidates.filter((one) => !(one.module !== undefined && config.leave_out.includes(one.module)) && !barred(one));
  if (kept.length === 0)
    fail({
      code: 'method.site',
      subject: 'exclude_linears and leave_out',
      found: `all ${candidates.length} linears`,
      expected: 'at least one linear to adapt',
    });
  const paths = new Set(kept.map(({ path }) => path));
  for (const { linear, module, path } of kept) {
    const { partOf } = linearPlace(family, linear);
    const whole = partOf && linearPath(family, partOf.name, module);
    if (whole !== undefined && paths.has(whole))
      fail({ code: 'method.site', subject: 'linears', found: `${whole} and its part ${path}`, expected: 'the whole or its parts' });
  }
  return kept;
}

/** Something for each linear that a configuration adapts, such as parameters; `module` is undefined outside of the layers. */
export function atLinears<T>(
  config: Placing,
  context: MethodContext,
  itemsAt: (linear: LinearName, module: number | undefined) => readonly T[],
): T[] {
  return placedLinears(config, context).flatMap(({ linear, module }) => itemsAt(linear, module));
}

/** What a method does at every linear that a configuration adapts. */
export function actsAtLinears(config: Placing, context: MethodContext, actAt: (site: LinearSite) => Act<'linear'>): Acts {
  const { family } = context;
  const paths = new Set(placedLinears(config, context).map(({ path }) => path));
  return { linear: (site) => (paths.has(linearPath(family, site.name, site.module)) ? actAt(site) : undefined) };
}

/** W is [out, fanIn]. */
export function linearShape(
  { family, encoder }: Pick<MethodContext, 'encoder' | 'family'>,
  linear: LinearName,
): { readonly fanIn: number; readonly out: number } {
  const place = linearPlace(family, linear);
  return { fanIn: place.fanIn(encoder), out: place.out(encoder) };
}

/** The path of a linear in the encoder, without the family's prefix. */
export function pathIn({ family }: Pick<MethodContext, 'family'>, linear: LinearName, module: number | undefined): string {
  return linearPath(family, linear, module).slice(family.prefix.length);
}

/** The keys that place a method at given linears: those of `adapters` where they can say it, else names that take their place. */
export function placingOf(
  linears: readonly Pick<PlacedLinear, 'linear' | 'module'>[],
  context: Pick<MethodContext, 'encoder' | 'family'>,
): Placing {
  const inside = linears.filter(({ module }) => module !== undefined);
  const outside = linears.filter(({ module }) => module === undefined).map(({ linear }) => linear);
  const adapted = new Set(inside.map(({ module }) => module));
  const leaveOut = Array.from({ length: context.encoder.groups }, (_, module) => module).filter((module) => !adapted.has(module));
  const kinds = [...new Set(inside.map(({ linear }) => linear))];
  if (kinds.length * adapted.size !== inside.length)
    return { linears: linears.map(({ linear, module }) => pathIn(context, linear, module)), leave_out: [] };
  if (outside.length > 0 || !kinds.every((kind) => IN_ADAPTERS.includes(kind)))
    return { linears: [...kinds, ...outside], leave_out: adapted.size > 0 ? leaveOut : [] };
  const letters = (Object.keys(ATTENTION_LETTERS) as (keyof typeof ATTENTION_LETTERS)[]).filter((letter) =>
    kinds.includes(ATTENTION_LETTERS[letter]),
  );
  return {
    selfattn_lora: letters.length > 0,
    attn_matrices: letters,
    intermediate_lora: kinds.includes('intermediate'),
    output_lora: kinds.includes('output'),
    leave_out: leaveOut,
  };
}

/** Names a linear's place among streams of dropout. */
export function dropoutPlace({ layer, name }: Pick<LinearSite, 'layer' | 'name'>, { name: adapter }: MethodContext): string {
  return `${layer === undefined ? '' : `layer.${layer}.`}${name}.${adapter}`;
}

/** The kinds of linears that the keys of `adapters` name. `o`, the attention's output, has no form there; PEFT has it. */
function kindsOf({ selfattn_lora, attn_matrices = [], intermediate_lora, output_lora }: Omit<Placing, 'leave_out'>): LinearName[] {
  return [
    ...(selfattn_lora ? attn_matrices.map((letter) => ATTENTION_LETTERS[letter]) : []),
    ...(intermediate_lora ? ['intermediate'] : []),
    ...(output_lora ? ['output'] : []),
  ];
}

/** All linears of an encoder, whole ones and then their parts, layer by layer. */
export function everyLinear({ encoder, family }: Pick<MethodContext, 'encoder' | 'family'>): PlacedLinear[] {
  const outer = outerLinears(family)
    .filter(({ present }) => present?.(encoder) ?? true)
    .map(({ name }) => ({ linear: name, module: undefined, path: linearPath(family, name, undefined) }));
  const inner = Array.from({ length: encoder.groups }, (_, module) =>
    family.linears.flatMap(({ name, parts = [] }) =>
      [name, ...parts].map((linear) => ({ linear, module, path: linearPath(family, linear, module) })),
    ),
  );
  return [...outer.filter(({ linear }) => linear !== 'pooler'), ...inner.flat(), ...outer.filter(({ linear }) => linear === 'pooler')];
}

/** Which linears are meant. @throws method.site for a name that none has */
function selected(
  wanted: string | readonly string[],
  key: string,
  context: Pick<MethodContext, 'encoder' | 'family'>,
): (one: PlacedLinear) => boolean {
  const { family } = context;
  const { prefix } = family;
  const all = everyLinear(context);
  // Of Python's libraries none knows parts: patterns mean whole matrices.
  const whole = ({ linear }: PlacedLinear) => linearPlace(family, linear).partOf === undefined;
  if (wanted === ALL) return (one) => whole(one) && one.linear !== 'pooler';
  if (typeof wanted === 'string') {
    const pattern = pythonPattern(wanted, 'method.config', key);
    const meant = (one: PlacedLinear) => whole(one) && (pattern(one.path) || pattern(one.path.slice(prefix.length)));
    if (!all.some(meant)) refuseName(key, wanted, all);
    return meant;
  }
  const named = (name: string, { linear, path }: PlacedLinear) => name === linear || name === path || path.endsWith(`.${name}`);
  for (const name of wanted) if (!all.some((one) => named(name, one))) refuseName(key, name, all);
  return (one) => wanted.some((name) => named(name, one));
}

function refuseName(key: string, name: string, all: readonly PlacedLinear[]): never {
  return fail({
    code: 'method.site',
    subject: key,
    found: `'${name}', which no linear of the encoder has`,
    expected: list(
      all.map(({ path }) => path),
      8,
    ),
    next: 'Word tables, norms and heads are not adapted so: a head trains as it is.',
  });
}
