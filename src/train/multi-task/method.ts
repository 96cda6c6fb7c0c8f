import { fail, nearest } from '../../base/errors.ts';
import type { Tensor } from '../../base/tensor.ts';
import type { Encoder } from '../../encoders/index.ts';
import {
  type Attachment,
  attach,
  attachCaMtl,
  attachPerTask,
  CA_MTL_PRESETS,
  type CaMtlAttachment,
  type ConfiguredMethod,
  caMtlConfig,
  configureMethod,
  DEFAULT_METHOD,
  methodNames,
  parseGrammar,
  SHARED_NAME,
} from '../../methods/index.ts';
import type { MultiTaskModel } from '../../model/multi-task.ts';
import type { Head } from '../../objectives/index.ts';
import type { SavedCaMtl } from './ca-mtl-folder.ts';

/** A way to make one model of several tasks. */
export interface MultiTaskMethod {
  /** What the user wrote. */
  readonly text: string;
  /** What becomes of the encoder: CA-MTL in it; one module of a method for all tasks, or one for each; nothing but training. */
  readonly kind: 'ca_mtl' | 'shared' | 'per_task' | 'encoder';
  /** The module of the method, where there is one. */
  readonly configured?: ConfiguredMethod;
  /** Whether encoder weights train, and must be saved. */
  readonly trainsEncoder: boolean;
  /** The longest sequence that it takes, where that is settled before rows are read. */
  readonly mostTokens?: number;
  /** `tokens` is the most that any sequence has. @throws method.config, method.site */
  attach(encoder: Encoder, names: readonly string[], tokens: number): Attachment | CaMtlAttachment;
  /** The trained model that tasks are added to, and the task that new ones are to begin as, where one was asked for. */
  readonly base?: SavedCaMtl;
  readonly like?: string;
  /** First values in place of drawn ones; `features` are those of {@link taskFeatures} of the new tasks. */
  initial?(heads: readonly Head[], features: readonly Tensor[]): FirstValues;
  /** The whole of what is saved, where only a part is trained. */
  complete?(model: MultiTaskModel, parameters: ReadonlyMap<string, Tensor>): TrainedModel;
}

export interface FirstValues {
  readonly parameters: ReadonlyMap<string, Tensor>;
  /** By task. */
  readonly begins: readonly Beginning[];
}

/** The earlier task that a new one begins as, and why. */
export interface Beginning {
  readonly as: string;
  /** It was asked for; its rows are the most alike; its head is, where nothing is known of the rows. */
  readonly by: 'choice' | 'features' | 'head';
  /** Cosines of the features of the new task and of each earlier one. */
  readonly similarities?: Readonly<Record<string, number>>;
}

export interface TrainedModel {
  readonly model: MultiTaskModel;
  readonly parameters: ReadonlyMap<string, Tensor>;
}

/** Names beside those of CA-MTL and of methods; any method's own name is one module for each task, `shared_` before it one for all. */
const NAMES: Readonly<Record<string, string>> = { joint: 'full', adapters: DEFAULT_METHOD, shared_adapter: `shared_${DEFAULT_METHOD}` };
const SHARED = 'shared_';

const ENCODER_RATE = 5e-5;

export function multiTaskMethodNames(): string[] {
  return [...Object.keys(CA_MTL_PRESETS), ...Object.keys(NAMES)];
}

/**
 * Reads `name` or `name[key=value, …]`; the keys are those of the configuration of CA-MTL, or of the module's method.
 * `trainEncoder` trains the encoder with the modules. @throws method.config, usage.value
 */
export function multiTaskMethod(text: string, { trainEncoder = false }: { readonly trainEncoder?: boolean } = {}): MultiTaskMethod {
  const { name, values } = parseGrammar(text);
  if (Object.hasOwn(CA_MTL_PRESETS, name)) {
    if (trainEncoder) refuseTraining(name);
    const preset = name as keyof typeof CA_MTL_PRESETS;
    const { max_length: mostTokens } = caMtlConfig(preset, values);
    return {
      text,
      kind: 'ca_mtl',
      trainsEncoder: true,
      ...('max_length' in values && { mostTokens }),
      attach: ({ config, family }, names, tokens) =>
        attachCaMtl(caMtlConfig(preset, { max_length: tokens, ...values }), { encoder: config, family, tasks: names.length }),
    };
  }
  const module = Object.hasOwn(NAMES, name) ? (NAMES[name] as string) : name;
  const preset = module.startsWith(SHARED) ? module.slice(SHARED.length) : module;
  if (!methodNames().includes(preset)) unknown(name);
  const [setting] = Object.keys(values);
  if (setting !== undefined && name === 'joint')
    fail({ code: 'method.config', subject: name, found: `the key '${setting}'`, expected: 'no settings in brackets' });
  const configured = configureMethod(preset, values);
  const { architecture, trainsEncoder } = configured.method;
  const kind = architecture === undefined ? 'encoder' : preset === module ? 'per_task' : 'shared';
  if (trainEncoder && kind === 'encoder') refuseTraining(name);
  return {
    text,
    kind,
    configured,
    trainsEncoder: trainEncoder || trainsEncoder,
    attach({ config, family }, names) {
      const facts = { encoder: config, family };
      const attachment =
        kind === 'per_task' ? attachPerTask(configured, names, facts) : attach(configured, { ...facts, name: SHARED_NAME });
      return trainEncoder ? { ...attachment, text, trainsEncoder: true, learningRate: ENCODER_RATE } : { ...attachment, text };
    },
  };
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
