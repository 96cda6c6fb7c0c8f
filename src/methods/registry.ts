import { fail, nearest } from '../base/errors.ts';
import { BOTTLENECK } from './bottleneck.ts';
import { parseGrammar } from './grammar.ts';
import { LORA } from './lora.ts';
import type { Method, MethodConfig } from './method.ts';
import { FULL, HEAD } from './none.ts';

/** Every method there is. A new one: its own file, and a line here. */
export const METHODS: readonly Method[] = [BOTTLENECK, LORA, FULL, HEAD] as unknown as readonly Method[];

/** A method with a complete, checked configuration. */
export interface ConfiguredMethod {
  readonly method: Method;
  readonly config: MethodConfig;
  /** What the user wrote, for cards and summaries. */
  readonly text: string;
}

/** Every name that `--method` takes. */
export function methodNames(): string[] {
  return METHODS.flatMap((method) => Object.keys(method.presets));
}

/**
 * Reads `name` or `name[key=value, …]` (values as Python literals, keys in snake_case or camelCase).
 * @throws method.config naming the nearest method or key
 */
export function configureMethod(text: string, overrides: MethodConfig = {}): ConfiguredMethod {
  const { name, values } = parseGrammar(text);
  const method = METHODS.find((one) => Object.hasOwn(one.presets, name));
  if (!method) {
    const near = nearest(name, methodNames());
    return fail({ code: 'method.config', subject: 'method', found: `'${name}'`, expected: `one of ${methodNames().join(', ')}`, ...(near && { next: `Did you mean '${near}'?` }) });
  }
  return { method, config: checkConfig(method, { ...method.presets[name], ...values, ...overrides }, `method ${name}`), text };
}

/** The method that wrote a configuration, by its `architecture`. @throws method.config */
export function methodOfConfig(config: MethodConfig, subject: string): ConfiguredMethod {
  const architecture = config.architecture ?? null;
  const method = METHODS.find((one) => one.architecture === architecture);
  if (!method)
    return fail({ code: 'method.config', subject, found: `architecture '${architecture}'`, expected: METHODS.flatMap((one) => (one.architecture === undefined ? [] : [one.architecture ?? 'none (bottleneck)'])).join(', ') });
  return { method, config: checkConfig(method, config, subject), text: method.name };
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
    return fail({ code: 'method.config', subject: `${subject}: key '${unknown}'`, found: 'no such key', expected: known.join(', '), ...(near && { next: `Did you mean '${near}'?` }) });
  }
  return fail({ code: 'method.config', subject: key ? `${subject}: key '${key}'` : subject, found: JSON.stringify(values[key] ?? null), expected: issue?.message ?? 'another value' });
}

function knownKeys(method: Method): string[] {
  const complete = Object.values(method.presets).map((preset) => method.schema.safeParse(preset)).find((result) => result.success);
  return complete?.success ? Object.keys(complete.data) : [];
}

/** `nonLinearity` → `non_linearity`; names that are snake_case already stay. */
function snakeCase(key: string): string {
  return key.includes('_') ? key : key.replaceAll(/([a-z])([A-Z])/g, '$1_$2').toLowerCase();
}
