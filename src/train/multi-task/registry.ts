import { fail, nearest } from '../../base/index.ts';
import { CA_MTL_PRESETS, configureMethod, DEFAULT_METHOD, methodNames, parseGrammar, splitUnion } from '../../methods/index.ts';
import { caMtlMethod } from './ca-mtl.ts';
import type { MultiTaskMethod } from './method.ts';
import { moduleMethod } from './module-method.ts';

/** Names beside those of CA-MTL and of methods; any method's own name is one module for each task, `shared_` before it one for all. */
const NAMES: Readonly<Record<string, string>> = { joint: 'full', adapters: DEFAULT_METHOD, shared_adapter: `shared_${DEFAULT_METHOD}` };
const SHARED = 'shared_';

export function multiTaskMethodNames(): string[] {
  return [...Object.keys(CA_MTL_PRESETS), ...Object.keys(NAMES)];
}

/**
 * Reads `name` or `name[key=value, …]`; the keys are those of the configuration of CA-MTL, or of the module's method, which may be
 * several with `|` between.
 * `trainEncoder` trains the encoder with the modules. @throws method.config, usage.value
 */
export function multiTaskMethod(text: string, { trainEncoder = false }: { readonly trainEncoder?: boolean } = {}): MultiTaskMethod {
  if (splitUnion(text).length > 1) {
    const shared = text.startsWith(SHARED);
    return moduleMethod(text, configureMethod(shared ? text.slice(SHARED.length) : text), { shared, trainEncoder });
  }
  const { name, values } = parseGrammar(text);
  if (Object.hasOwn(CA_MTL_PRESETS, name)) {
    if (trainEncoder) refuseTraining(name);
    return caMtlMethod(text, name as keyof typeof CA_MTL_PRESETS, values);
  }
  const module = Object.hasOwn(NAMES, name) ? (NAMES[name] as string) : name;
  const preset = module.startsWith(SHARED) ? module.slice(SHARED.length) : module;
  if (!methodNames().includes(preset)) unknown(name);
  const [setting] = Object.keys(values);
  if (setting !== undefined && name === 'joint')
    fail({ code: 'method.config', subject: name, found: `the key '${setting}'`, expected: 'no settings in brackets' });
  const configured = configureMethod(preset, values);
  if (configured.config.solved === true)
    fail({
      code: 'method.config',
      subject: 'method',
      found: `'${name}'`,
      expected: 'a method that trains',
      next: 'Solve each task by itself: multigraft train.',
    });
  if (trainEncoder && configured.method.architecture === undefined) refuseTraining(name);
  return moduleMethod(text, configured, { shared: preset !== module, trainEncoder });
}

function refuseTraining(name: string): never {
  return fail({
    code: 'usage.value',
    subject: '--train-encoder',
    found: `it with the method ${name}`,
    expected: 'adapters, whose encoder is frozen otherwise',
    next: 'Leave it out: joint trains the encoder, and CA-MTL says with its key freeze what trains.',
  });
}

function unknown(name: string): never {
  const names = multiTaskMethodNames();
  const near = nearest(name, [...names, ...methodNames()]);
  return fail({
    code: 'method.config',
    subject: 'method',
    found: `'${name}'`,
    expected: `one of ${names.join(', ')}, or a name that multigraft methods lists`,
    ...(near && { next: `Did you mean '${near}'?` }),
  });
}
