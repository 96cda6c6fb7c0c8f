import { expectationIn, fail, nearest } from '../base/index.ts';
import { BITFIT } from './bitfit.ts';
import { BOTTLENECK } from './bottleneck.ts';
import { COMPACTER } from './compacter.ts';
import type { MethodConfig } from './context.ts';
import { DORA } from './dora.ts';
import { FOURIERFT } from './fourierft.ts';
import { formatLiteral, parseGrammar, splitUnion } from './grammar.ts';
import { IA3 } from './ia3.ts';
import { IA3_PEFT } from './ia3-peft.ts';
import { INVERTIBLE } from './invertible.ts';
import { LN_TUNING } from './ln-tuning.ts';
import { LOHA } from './loha.ts';
import { LOKR } from './lokr.ts';
import { LORA } from './lora.ts';
import type { ConfiguredMethod, Method, ReadingOptions } from './method.ts';
import { MISS } from './miss.ts';
import { MODULES_TO_SAVE } from './modules-to-save.ts';
import { MTL_LORA } from './mtl-lora.ts';
import { FULL, HEAD } from './none.ts';
import { OFT } from './oft.ts';
import { PALS } from './pals.ts';
import { PREFIX_TUNING } from './prefix-tuning.ts';
import { PROMPT_TUNING } from './prompt-tuning.ts';
import { RANDLORA } from './randlora.ts';
import { REFT } from './reft.ts';
import { ROAD } from './road.ts';
import { SHIRA } from './shira.ts';
import { union } from './union.ts';
import { VERA } from './vera.ts';

/** Every method that stands by itself. A new one: its own file, and a line here. */
const SINGLE = [
  BOTTLENECK,
  INVERTIBLE,
  COMPACTER,
  LORA,
  IA3,
  DORA,
  VERA,
  LOHA,
  LOKR,
  OFT,
  ROAD,
  MISS,
  IA3_PEFT,
  SHIRA,
  FOURIERFT,
  RANDLORA,
  MTL_LORA,
  PREFIX_TUNING,
  PROMPT_TUNING,
  REFT,
  PALS,
  LN_TUNING,
  BITFIT,
  MODULES_TO_SAVE,
  FULL,
  HEAD,
] as unknown as readonly Method[];

/** Every method there is. */
export const METHODS: readonly Method[] = [...SINGLE, union(SINGLE, methodOfConfig) as unknown as Method];

/** What trains where no method is named. */
export const DEFAULT_METHOD = 'seq_bn';

/** Every name that `--method` takes. */
export function methodNames(methods: readonly Method[] = METHODS): string[] {
  return methods.flatMap((method) => Object.keys(method.presets));
}

/**
 * Reads `name` or `name[key=value, …]` (values as Python literals, keys in snake_case or camelCase), or several of them with `|`
 * between. `methods` may hold more than this package's own.
 * @throws method.config naming the nearest method or key
 */
export function configureMethod(text: string, overrides: MethodConfig = {}, methods: readonly Method[] = METHODS): ConfiguredMethod {
  const parts = splitUnion(text);
  if (parts.length > 1) return configureUnion(parts, text, overrides, methods);
  const { name, values } = parseGrammar(text);
  const found = methods.find((one) => Object.hasOwn(one.presets, name));
  if (!found) {
    const near = nearest(name, methodNames(methods));
    return fail({
      code: 'method.config',
      subject: 'method',
      found: `'${name}'`,
      expected: `one of ${methodNames(methods).join(', ')}`,
      ...(near && { next: `Did you mean '${near}'?` }),
    });
  }
  const subject = `method ${name}`;
  const method = over(methods, found);
  const changes = snakeCased({ ...values, ...overrides });
  const preset = method.presets[name] ?? {};
  const { members } = method;
  if (members && !Object.hasOwn(changes, 'configs')) {
    const changed = members
      .of(checkConfig(method, preset, subject), subject)
      .map((member) => configuredAs(member.method, { ...member.config, ...changes }, methods, `${subject}: ${member.text}`));
    return { method, config: members.join(changed), text };
  }
  return { ...configuredAs(method, { ...preset, ...changes }, methods, subject), text };
}

/** A configuration of a method, or of another of its architecture that claims it. */
function configuredAs(method: Method, config: MethodConfig, methods: readonly Method[], subject: string): ConfiguredMethod {
  const chosen = method.architecture === undefined ? method : claimant(methods, method.architecture, config, method);
  return { method: chosen, config: checkConfig(chosen, config, subject), text: chosen.name };
}

/** Of methods that share an architecture the one that claims a configuration, or the one that takes the rest. */
function claimant<T extends Method | undefined>(
  methods: readonly Method[],
  architecture: unknown,
  config: MethodConfig,
  otherwise: T,
): Method | T {
  const sharing = methods.filter((one) => one.architecture === architecture);
  return sharing.find((one) => one.claims?.(config)) ?? sharing.find((one) => !one.claims) ?? otherwise;
}

function configureUnion(parts: readonly string[], text: string, overrides: MethodConfig, methods: readonly Method[]): ConfiguredMethod {
  const members = parts.map((part) => configureMethod(part, {}, methods));
  const found = methods.find((one) => one.members);
  if (!found?.members)
    return fail({ code: 'method.config', subject: 'method', found: `'${text}'`, expected: 'one method: none here is made of others' });
  const method = over(methods, found);
  return { method, config: checkConfig(method, { ...found.members.join(members), ...overrides }, `method ${text}`), text };
}

/** A method that is made of others, with all of `methods` to choose from. */
function over(methods: readonly Method[], method: Method): Method {
  return method.members?.among(methods) ?? method;
}

/** The method that wrote a configuration, by its `architecture` and what those that share it claim. @throws method.config */
export function methodOfConfig(config: MethodConfig, subject: string, options: ReadingOptions = {}): ConfiguredMethod {
  const { methods = METHODS, onUnknownKey } = options;
  const architecture = config.architecture ?? null;
  const found = claimant(methods, architecture, config, undefined);
  if (!found)
    return fail({
      code: 'method.config',
      subject,
      found: `architecture ${JSON.stringify(architecture)}`,
      expected: [
        ...new Set(methods.flatMap((one) => (one.architecture === undefined ? [] : [one.architecture ?? 'none (bottleneck)']))),
      ].join(', '),
    });
  const method = over(methods, found);
  const keys = onUnknownKey && new Set(knownKeys(method));
  const kept = Object.entries(config).filter(([key, value]) => {
    if (!keys || keys.has(key)) return true;
    onUnknownKey?.(key, value);
    return false;
  });
  return { method, config: checkConfig(method, Object.fromEntries(kept), subject, options), text: method.name };
}

/** The shortest `name[key=value, …]`, or several with `|` between, that {@link configureMethod} reads as this configuration. */
export function shortestText({ method, config }: Pick<ConfiguredMethod, 'method' | 'config'>): string {
  const texts = Object.entries(method.presets).map(([name, preset]) => {
    const usual = checkConfig(method, preset, `method ${name}`);
    const changed = Object.entries(config).filter(([key, value]) => formatLiteral(value) !== formatLiteral(usual[key]));
    const body = changed.map(([key, value]) => `${key}=${formatLiteral(value)}`).join(', ');
    return { text: body ? `${name}[${body}]` : name, changes: changed.length };
  });
  const best = texts.reduce((least, one) => (one.changes < least.changes ? one : least));
  if (method.members && best.changes > 0) return method.members.of(config).map(shortestText).join('|');
  return best.text;
}

function checkConfig(method: Method, values: MethodConfig, subject: string, options: ReadingOptions = {}): MethodConfig {
  const result = method.schema.safeParse(snakeCased(values));
  const { members } = method;
  if (result.success) return members ? members.join(members.of(result.data, subject, options)) : result.data;
  const issue = result.error.issues[0];
  const key = issue?.path.join('.') ?? '';
  const unknown = issue?.code === 'unrecognized_keys' ? (issue.keys[0] as string) : undefined;
  if (unknown !== undefined) {
    const keys = knownKeys(method);
    const near = nearest(unknown, keys);
    return fail({
      code: 'method.config',
      subject: `${subject}: key '${unknown}'`,
      found: 'no such key',
      expected: keys.join(', '),
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

/** What a method says of its configuration, each thing once. */
export function notesOf({ method, config }: ConfiguredMethod): string[] {
  return [...new Set(method.notes?.(config))];
}

function knownKeys(method: Method): string[] {
  const { shape } = method.schema as { shape?: Readonly<Record<string, unknown>> };
  if (shape) return Object.keys(shape);
  const complete = Object.values(method.presets)
    .map((preset) => method.schema.safeParse(preset))
    .find((result) => result.success);
  return complete?.success ? Object.keys(complete.data) : [];
}

function snakeCased(values: MethodConfig): MethodConfig {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [snakeCase(key), value]));
}

/** `nonLinearity` → `non_linearity`; names that are snake_case already stay. */
function snakeCase(key: string): string {
  return key.includes('_') ? key : key.replaceAll(/([a-z])([A-Z])/g, '$1_$2').toLowerCase();
}
