/**
 * One zod object declares a command's options; flags, help and checks follow from it. `learningRate: z.number().default(1e-4).describe('…')`
 * becomes `--learning-rate <number>`. A boolean that is true by default becomes `--no-…`. An array may be given several times.
 * `.meta({ commas: true })` also splits an array at commas; `.meta({ value: 'folder' })` names the value in the help.
 */
import { Argument, type Command, Option } from 'commander';
import type { z } from 'zod';
import { fail, invariant, nearest } from '../base/index.ts';

type OptionKind = 'string' | 'number' | 'boolean' | 'enum' | 'any';

export interface OptionSpec {
  /** Name in the schema: camelCase. */
  readonly key: string;
  /** `--kebab-case`; `--no-kebab-case` for a boolean that is true by default. */
  readonly flag: string;
  readonly kind: OptionKind;
  readonly array: boolean;
  readonly commas: boolean;
  readonly required: boolean;
  readonly value: string;
  readonly choices: readonly string[];
  readonly expected: string;
  readonly help: string;
}

const RESERVED = ['json', 'debug', 'help', 'version'];

/** The options of a schema, in its order. */
export function optionsOf(schema: z.ZodObject): OptionSpec[] {
  return Object.entries(schema.shape).map(([key, type]) => {
    invariant(!RESERVED.includes(key), `option --${key}, which every command has already`);
    return specOf(key, type as z.ZodType);
  });
}

/** Adds the options and arguments of a schema to a commander command. */
export function addOptions(command: Command, schema: z.ZodObject, positional: readonly string[] = []): Command {
  for (const key of positional) {
    const spec = optionsOf(schema).find((candidate) => candidate.key === key);
    invariant(spec, `argument ${key}, which is not in the schema of ${command.name()}`);
    const name = `${spec.value}${spec.array ? '...' : ''}`;
    command.addArgument(new Argument(spec.required ? `<${name}>` : `[${name}]`, spec.help));
  }
  for (const spec of optionsOf(schema).filter(({ key }) => !positional.includes(key))) {
    const option = new Option(spec.kind === 'boolean' ? spec.flag : `${spec.flag} <${spec.value}>`, spec.help);
    if (spec.array) option.argParser((text: string, before: string[] | undefined) => [...(before ?? []), text]);
    command.addOption(option);
  }
  return command;
}

/**
 * Texts as typed → values as declared; absent ones take their defaults. Throws `usage.flag` (missing, or of the wrong type)
 * and `usage.value` (not among what is allowed), naming the flag, what was found, what was expected and the nearest choice.
 */
export function parseOptions<Schema extends z.ZodObject>(
  schema: Schema,
  raw: Readonly<Record<string, unknown>>,
  positional: readonly string[] = [],
): z.output<Schema> {
  const specs = optionsOf(schema);
  const values: Record<string, unknown> = {};
  for (const spec of specs) {
    const name = nameOf(spec, positional);
    const value = raw[spec.key];
    const absent = value === undefined || (Array.isArray(value) && value.length === 0);
    if (!absent) values[spec.key] = convert(spec, name, value, specs);
    else if (spec.required)
      fail({ code: 'usage.flag', subject: name, found: 'nothing', expected: spec.expected, next: `Give ${asTyped(spec, name)}.` });
  }
  const result = schema.safeParse(values);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  invariant(issue, 'zod refused options without saying why');
  const spec = specs.find(({ key }) => key === issue.path[0]);
  if (spec === undefined) return fail({ code: 'usage.value', subject: issue.message });
  const found = issue.path.slice(1).reduce<unknown>((value, step) => (value as Record<PropertyKey, unknown>)[step], values[spec.key]);
  const near = typeof found === 'string' ? nearest(found, spec.choices) : undefined;
  return fail({
    code: 'usage.value',
    subject: nameOf(spec, positional),
    found: JSON.stringify(found),
    expected: issue.code === 'custom' ? issue.message : spec.expected,
    ...(near && { next: `Did you mean ${near}?` }),
  });
}

function convert(spec: OptionSpec, name: string, given: unknown, specs: readonly OptionSpec[]): unknown {
  if (spec.kind === 'boolean') return given;
  const texts = (Array.isArray(given) ? given : [given]).map(String).flatMap((text) => (spec.commas ? text.split(',') : [text]));
  for (const text of texts) {
    const swallowed = specs.some(({ flag }) => flag === text) || RESERVED.some((flag) => `--${flag}` === text);
    if (swallowed || text === '') {
      const found = swallowed ? `the flag ${text}` : 'an empty text';
      fail({ code: 'usage.flag', subject: name, found, expected: spec.expected, next: `Give ${asTyped(spec, name)}.` });
    }
  }
  const values = texts.map((text) => (spec.kind === 'number' || spec.kind === 'any' ? toNumber(spec, name, text) : text));
  return spec.array ? values : values.at(-1);
}

function toNumber(spec: OptionSpec, name: string, text: string): unknown {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value)) return value;
  return spec.kind === 'any' ? text : fail({ code: 'usage.flag', subject: name, found: JSON.stringify(text), expected: spec.expected });
}

function nameOf(spec: OptionSpec, positional: readonly string[]): string {
  return positional.includes(spec.key) ? `argument ${spec.value}` : spec.flag;
}

function asTyped(spec: OptionSpec, name: string): string {
  return name === spec.flag ? `${spec.flag} <${spec.value}>` : `<${spec.value}>`;
}

/** The parts of a zod definition that are read here. */
interface Definition {
  readonly type: string;
  readonly innerType?: z.ZodType;
  readonly in?: z.ZodType;
  readonly element?: z.ZodType;
  readonly options?: readonly z.ZodType[];
  readonly values?: readonly unknown[];
  readonly entries?: Readonly<Record<string, string>>;
  readonly defaultValue?: unknown;
  readonly checks?: readonly { readonly _zod: { readonly def: Check } }[];
  readonly format?: string;
}

interface Check {
  readonly check: string;
  readonly format?: string;
  readonly value?: number;
  readonly inclusive?: boolean;
}

function specOf(key: string, type: z.ZodType): OptionSpec {
  const { inner, fallback, optional, meta } = unwrap(type);
  const array = definition(inner).type === 'array';
  const item = array ? unwrap(definition(inner).element as z.ZodType).inner : inner;
  const kind = kindOf(item);
  const choices = Object.values(definition(item).entries ?? {}).map(String);
  const kebab = key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const value = typeof meta.value === 'string' ? meta.value : valueName(kind, kebab);
  const notes = [
    kind === 'enum' && `one of: ${choices.join(', ')}`,
    fallback !== undefined && kind !== 'boolean' && !(array && (fallback as unknown[]).length === 0) && `default: ${fallback}`,
    !optional && 'required',
  ].filter(Boolean);
  return {
    key,
    flag: kind === 'boolean' && fallback === true ? `--no-${kebab}` : `--${kebab}`,
    kind,
    array,
    commas: meta.commas === true,
    required: !optional && kind !== 'boolean',
    value,
    choices,
    expected: expectation(item, value),
    help: [String(meta.description ?? ''), notes.length > 0 && kind !== 'boolean' ? `(${notes.join('; ')})` : ''].filter(Boolean).join(' '),
  };
}

/** Takes off `default`, `optional` and the like; the outermost description wins. */
function unwrap(type: z.ZodType): { inner: z.ZodType; fallback: unknown; optional: boolean; meta: Record<string, unknown> } {
  let inner = type;
  let fallback: unknown;
  let optional = false;
  let meta: Record<string, unknown> = {};
  for (;;) {
    meta = { ...inner.meta(), ...meta };
    const { type: kind, innerType, in: input, defaultValue } = definition(inner);
    if (kind === 'default' || kind === 'prefault') fallback ??= defaultValue;
    optional ||= kind === 'default' || kind === 'prefault' || kind === 'optional';
    const next = innerType ?? (kind === 'pipe' ? input : undefined);
    if (next === undefined) return { inner, fallback, optional, meta };
    inner = next;
  }
}

function kindOf(type: z.ZodType): OptionKind {
  const { type: kind } = definition(type);
  if (kind === 'string' || kind === 'number' || kind === 'boolean' || kind === 'enum') return kind;
  invariant(kind === 'union' || kind === 'literal', `option of zod type ${kind}, which has no flag`);
  return 'any';
}

function valueName(kind: OptionKind, kebab: string): string {
  return kind === 'number' ? 'number' : kind === 'string' ? 'text' : kebab;
}

function expectation(type: z.ZodType, value: string): string {
  const { type: kind, entries, options, values } = definition(type);
  if (entries) return `one of ${Object.values(entries).join(', ')}`;
  if (options) return options.map((option) => expectation(option, value)).join(' or ');
  if (values) return values.join(' or ');
  return kind === 'number' ? numberWording(type) : `${/^[aeiou]/.test(value) ? 'an' : 'a'} ${value}`;
}

/** `an integer >= 1`, `a number > 0 and <= 1`. */
function numberWording(type: z.ZodType): string {
  const { checks = [], format } = definition(type);
  const rules = checks.map((check) => check._zod.def);
  const integer = format === 'safeint' || rules.some((rule) => rule.format === 'safeint');
  const sign: Record<string, string> = { greater_than: '>', less_than: '<' };
  const bounds = rules
    .filter((rule) => rule.check in sign && Math.abs(rule.value ?? 0) < Number.MAX_SAFE_INTEGER)
    .map((rule) => `${sign[rule.check]}${rule.inclusive ? '=' : ''} ${rule.value}`);
  return [integer ? 'an integer' : 'a number', bounds.join(' and ')].filter(Boolean).join(' ');
}

function definition(type: z.ZodType): Definition {
  return type.def as unknown as Definition;
}
