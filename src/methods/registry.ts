import { expectationIn, fail, nearest } from '../base/errors.ts';
import { BITFIT } from './bitfit.ts';
import { BOTTLENECK } from './bottleneck.ts';
import type { MethodConfig } from './context.ts';
import { formatLiteral, parseGrammar } from './grammar.ts';
import { INVERTIBLE } from './invertible.ts';
import { LN_TUNING } from './ln-tuning.ts';
import { LORA } from './lora.ts';
import type { Method } from './method.ts';
import { MTL_LORA } from './mtl-lora.ts';
import { FULL, HEAD } from './none.ts';
import { PALS } from './pals.ts';
import { PREFIX_TUNING } from './prefix-tuning.ts';

/** Every method there is. A new one: its own file, and a line here. */
export const METHODS: readonly Method[] = [
  BOTTLENECK,
  INVERTIBLE,
  LORA,
  MTL_LORA,
  PREFIX_TUNING,
  PALS,
  LN_TUNING,
  BITFIT,
  FULL,
  HEAD,
] as unknown as readonly Method[];

/** What trains where no method is named. */
export const DEFAULT_METHOD = 'seq_bn';

/** A method with a complete, checked configuration. */
export interface ConfiguredMethod {
  readonly method: Method;
  readonly config: MethodConfig;
  /** What the user wrote, for cards and summaries. */
  readonly text: string;
}

/** Every name that `--method` takes. */
export function methodNames(methods: readonly Method[] = METHODS): string[] {
  return methods.flatMap((method) => Object.keys(method.presets));
}

/**
 * Reads `name` or `name[key=value, …]` (values as Python literals, keys in snake_case or camelCase).
 * `methods` may hold more than this package's own.
 * @throws method.config naming the nearest method or key
 */
export function configureMethod(text: string, overrides: MethodConfig = {}, methods: readonly Method[] = METHODS): ConfiguredMethod {
  const { name, values } = parseGrammar(text);
  const method = methods.find((one) => Object.hasOwn(one.presets, name));
  if (!method) {
    const near = nearest(name, methodNames(methods));
    return fail({
      code: 'method.config',
      subject: 'method',
      found: `'${name}'`,
      expected: `one of ${methodNames(methods).join(', ')}`,
      ...(near && { next: `Did you mean '${near}'?` }),
    });
  }
  return { method, config: checkConfig(method, { ...method.presets[name], ...values, ...overrides }, `method ${name}`), text };
}

export interface ReadingOptions {
  readonly methods?: readonly Method[];
  /** Told of every key that the method does not have; such a key is an error where this is left out. */
  readonly onUnknownKey?: (key: string) => void;
}

/** The method that wrote a configuration, by its `architecture` and what those that share it claim. @throws method.config */
export function methodOfConfig(
  config: MethodConfig,
  subject: string,
  { methods = METHODS, onUnknownKey }: ReadingOptions = {},
): ConfiguredMethod {
  const architecture = config.architecture ?? null;
  const sharing = methods.filter((one) => one.architecture === architecture);
  const method = sharing.find((one) => one.claims?.(config)) ?? sharing.find((one) => !one.claims);
  if (!method)
    return fail({
      code: 'method.config',
      subject,
      found: `architecture ${JSON.stringify(architecture)}`,
      expected: [
        ...new Set(methods.flatMap((one) => (one.architecture === undefined ? [] : [one.architecture ?? 'none (bottleneck)']))),
      ].join(', '),
    });
  const known = onUnknownKey && new Set(knownKeys(method));
  const kept = Object.entries(config).filter(([key]) => {
    if (!known || known.has(key)) return true;
    onUnknownKey?.(key);
    return false;
  });
  return { method, config: checkConfig(method, Object.fromEntries(kept), subject), text: method.name };
}

/** The shortest `name[key=value, …]` that {@link configureMethod} reads as this configuration. */
export function shortestText({ method, config }: Pick<ConfiguredMethod, 'method' | 'config'>): string {
  const texts = Object.keys(method.presets).map((name) => {
    const usual = configureMethod(name, {}, [method]).config;
    const changed = Object.entries(config).filter(([key, value]) => formatLiteral(value) !== formatLiteral(usual[key]));
    const body = changed.map(([key, value]) => `${key}=${formatLiteral(value)}`).join(', ');
    return { text: body ? `${name}[${body}]` : name, changes: changed.length };
  });
  return texts.reduce((best, one) => (one.changes < best.changes ? one : best)).text;
}

function checkConfig(method: Method, values: MethodConfig, subject: string): MethodConfig {
  const result = method.schema.safeParse(Object.fromEntries(Object.entries(values).map(([key, value]) => [snakeCase(key), value])));
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const key = issue?.path.join('.') ?? '';
  const unknown = issue?.code === 'unrecognized_keys' ? (issue.keys[0] as string) : undefined;
  if (unknown !== undefined) {
    const known = knownKeys(method);
    const near = nearest(unknown, known);
    return fail({
      code: 'method.config',
      subject: `${subject}: key '${unknown}'`,
      found: 'no such key',
      expected: known.join(', '),
      ...(near && { next: `Did you mean '${near}'?` }),
    });
  }
  return fail({
    code: 'method.config',
    subject: key ? `${subject}: key '${key}'` : subject,
    found: shown(issue?.path ?? [], values),
    expected: issue ? expectationIn(issue.message) : 'another value',
  });
}

/** The value at a path, cut to what fits in a message. */
function shown(path: readonly PropertyKey[], values: MethodConfig): string {
  const value = path.reduce<unknown>((inner, key) => (inner as Record<PropertyKey, unknown> | null | undefined)?.[key], values);
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

function knownKeys(method: Method): string[] {
  const complete = Object.values(method.presets)
    .map((preset) => method.schema.safeParse(preset))
    .find((result) => result.success);
  return complete?.success ? Object.keys(complete.data) : [];
}

/** `nonLinearity` → `non_linearity`; names that are snake_case already stay. */
function snakeCase(key: string): string {
  return key.includes('_') ? key : key.replaceAll(/([a-z])([A-Z])/g, '$1_$2').toLowerCase();
}
