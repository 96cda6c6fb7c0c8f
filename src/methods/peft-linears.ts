import { fail, list, shown, type Tensor } from '../base/index.ts';
import { encoderSpecs } from '../encoders/index.ts';
import type { MethodConfig, MethodContext } from './context.ts';
import { type PlacedLinear, type Placing, placedLinears } from './linears.ts';
import { loraPath } from './method.ts';
import { isSet, LINEAR_FIELDS, type PeftFolder, type PeftLayout } from './peft-layout.ts';
import { pythonPattern } from './python-pattern.ts';

/** How PEFT keeps a method whose modules stand inside linears, and whose keys are PEFT's own. */
export interface PeftParts<C extends MethodConfig> {
  /** The `peft_type`. */
  readonly type: string;
  /** How PEFT calls a tensor after the path of its linear, by the end of its full name here, after `loras.NAME.`. */
  readonly parts: Readonly<Record<string, string>>;
  /** How all names of the method's tensors begin in PEFT: none of them is passed over. */
  readonly prefix: string;
  /** Keys that the configuration and adapter_config.json have in common. */
  readonly keys: readonly (keyof C & string)[];
  /** Fields of adapter_config.json that have one value here; others of them are refused. */
  readonly fixed?: Readonly<Record<string, unknown>>;
  /** Fields that change nothing of what is computed here, as they are written. */
  readonly idle?: Readonly<Record<string, unknown>>;
  /** Settings that the tensors say, whatever the fields do that say them too. */
  readonly told?: {
    readonly fields: readonly string[];
    read(linears: readonly PlacedLinear[], tensors: ReadonlyMap<string, Tensor>, context: MethodContext): MethodConfig;
    write(config: C, context: MethodContext): Readonly<Record<string, unknown>>;
  };
}

/** The layout of a method: see {@link PeftParts}. */
export function peftAtLinears<C extends MethodConfig & Placing>(own: PeftParts<C>): PeftLayout<C> {
  return {
    type: own.type,
    read(folder, context) {
      const values = checkFields(folder, own);
      const { linears, tensors, rest } = tensorsAtLinears(folder, context, own);
      return {
        config: { ...values, ...placingOf(linears, context), ...own.told?.read(linears, tensors, context) },
        tensors,
        rest,
        notes: [],
      };
    },
    write(config, tensors, context) {
      const { name } = context;
      const { prefix } = context.family;
      const written = new Map<string, Tensor>();
      const targets = new Set<string>();
      for (const [key, value] of tensors) {
        const [linear = '', part = ''] = key.split(`.loras.${name}.`);
        targets.add(linear.slice(prefix.length));
        written.set(`${linear}.${own.parts[part]}`, value);
      }
      const values = Object.fromEntries(own.keys.map((key) => [key, config[key]]));
      // Whole names: 'output.dense' alone would also be the end of 'attention.output.dense'.
      return {
        fields: { ...own.idle, ...own.fixed, ...values, ...own.told?.write(config, context), target_modules: [...targets] },
        tensors: written,
      };
    },
  };
}

/** What a pattern of PEFT's (`rank_pattern`, `alpha_pattern`, …) says of a linear; the first that the end of its path matches counts. */
export function patternValue(
  patterns: Readonly<Record<string, number>>,
  path: string,
  { family: { prefix } }: Pick<MethodContext, 'family'>,
): number | undefined {
  const ends = (pattern: string) => pythonPattern(`(.*\\.)?(${pattern})$`, 'method.config', 'a pattern of linears');
  return Object.entries(patterns).find(([pattern]) => ends(pattern)(path) || ends(pattern)(path.slice(prefix.length)))?.[1];
}

/** The method's own keys. @throws adapter.format for a field that would change what is computed */
function checkFields<C extends MethodConfig>({ raw, path }: PeftFolder, { keys, fixed = {}, idle = {}, told }: PeftParts<C>): MethodConfig {
  for (const [key, value] of Object.entries(raw)) {
    const constant = Object.hasOwn(fixed, key);
    if (!isSet(value) || LINEAR_FIELDS.includes(key) || keys.includes(key) || told?.fields.includes(key) || Object.hasOwn(idle, key))
      continue;
    if (constant && JSON.stringify(value) === JSON.stringify(fixed[key])) continue;
    fail({
      code: 'adapter.format',
      subject: `${path}: field '${key}'`,
      found: shown(value),
      expected: constant ? JSON.stringify(fixed[key]) : 'nothing: no such field is known',
      next: 'In Python, merge the adapter into the model and save that.',
    });
  }
  return Object.fromEntries(keys.flatMap((key) => (raw[key] === undefined || raw[key] === null ? [] : [[key, raw[key]]])));
}

/** The tensors of each linear under full names here. @throws adapter.format, adapter.mismatch */
function tensorsAtLinears<C extends MethodConfig>(folder: PeftFolder, context: MethodContext, { parts, prefix }: PeftParts<C>) {
  const { family } = context;
  const all = placedLinears({ linears: '.*', leave_out: [] }, context);
  const places = new Map(all.flatMap((one) => [one.path, one.path.slice(family.prefix.length)].map((path) => [path, one] as const)));
  const linears = new Set<PlacedLinear>();
  const tensors = new Map<string, Tensor>();
  const rest = new Map<string, Tensor>();
  for (const [key, value] of folder.tensors) {
    const [part, end] = Object.entries(parts).find(([, ending]) => key.endsWith(`.${ending}`)) ?? [];
    if (part === undefined || end === undefined) {
      if (key.includes(`.${prefix}`) || key.includes('.base_layer.'))
        refuse(folder, key, 'a tensor that this method does not have', Object.values(parts).join(', '));
      rest.set(key, value);
      continue;
    }
    const module = key.slice(0, -end.length - 1);
    const place = places.get(module) ?? refuseModule(folder, module, context);
    const name = `${loraPath(context, place.linear, place.module)}.${part}`;
    if (tensors.has(name)) refuse(folder, key, 'one tensor more of a linear', 'one');
    linears.add(place);
    tensors.set(name, value);
  }
  if (linears.size === 0)
    fail({
      code: 'adapter.format',
      subject: folder.weights,
      found: `no ${Object.values(parts).join(' or ')} of ${folder.model}${rest.size ? `, but ${list([...rest.keys()], 4)}` : ''}`,
      expected: 'at least one linear with them',
      next: 'Load the encoder it was made for.',
    });
  return { linears: all.filter((one) => linears.has(one)), tensors, rest };
}

/** These linears as keys of a configuration: by their kinds where whole layers have the same, else each by its name. */
function placingOf(linears: readonly PlacedLinear[], context: MethodContext): MethodConfig {
  const { encoder, family } = context;
  const kinds = [...new Set(linears.map(({ linear }) => linear))];
  const layers = new Set(linears.flatMap(({ module }) => module ?? []));
  const leaveOut = Array.from({ length: encoder.groups }, (_, module) => module).filter((module) => layers.size > 0 && !layers.has(module));
  const byKind = { linears: kinds, leave_out: leaveOut };
  const paths = new Set(linears.map(({ path }) => path));
  const same = placedLinears(byKind, context);
  if (same.length === paths.size && same.every(({ path }) => paths.has(path))) return byKind;
  return { linears: [...paths].map((path) => path.slice(family.prefix.length)), leave_out: [] };
}

/** @throws adapter.format for a module that is no linear, adapter.mismatch for one that the encoder does not have */
function refuseModule(folder: PeftFolder, module: string, { encoder, family }: MethodContext): never {
  const names = new Set(encoderSpecs(family, encoder).map(({ name }) => name));
  const there = names.has(`${module}.weight`) || names.has(`${family.prefix}${module}.weight`);
  return fail({
    code: there ? 'adapter.format' : 'adapter.mismatch',
    subject: `${folder.weights}: ${module}`,
    found: there ? 'a module that is no linear' : 'a module that the encoder does not have',
    expected: `one of the linears of ${folder.model}`,
    next: there ? 'Adapt linears alone.' : 'Load the encoder it was made for.',
  });
}

function refuse({ weights }: PeftFolder, key: string, found: string, expected: string): never {
  return fail({ code: 'adapter.format', subject: `${weights}: ${key}`, found, expected });
}
