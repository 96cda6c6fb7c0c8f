import type { Tensor } from '../base/index.ts';
import type { Hooks } from '../encoders/index.ts';
import { reshape, type Value } from '../graph/index.ts';
import type { Dropout, Initializer, ParameterSpec, Parameters } from '../nn/index.ts';
import { type Adapter, bindAdapter, readerOf } from './adapter.ts';
import type { MethodContext, Observe } from './context.ts';
import { hooksOf } from './hooks.ts';
import type { ConfiguredMethod, ReadParameter } from './method.ts';

/** What is attached to an encoder, ready to be drawn: one method under a name, or several adapters put together. */
export interface Attachment {
  readonly name: string;
  /** What the user wrote, for cards and logs. */
  readonly text: string;
  /** A learning rate that suits it where none is given. */
  readonly learningRate: number;
  /** Whether the encoder's own weights train: all, none, or those whose full names it takes. */
  readonly trainsEncoder: boolean | ((name: string) => boolean);
  /** Whether it mixes tokens after attention, so that the last layer must be computed for all of them. */
  readonly mixesTokens: boolean;
  /** The longest sequence it takes, where that is less than the encoder does. */
  readonly mostTokens?: number;
  /** The program's input [B] int32 that says which task each sequence belongs to, where it asks for that. */
  readonly taskIds?: Value;
  /** Parameters that belong to one task alone, by full name. */
  readonly perTask?: ReadonlyMap<string, number>;
  /** Whether all sequences of a run must be of one task. */
  readonly oneTaskRuns?: boolean;
  /** How many rows all batches have, where it must be so. */
  readonly rows?: number;
  /** The adapters that each answer all rows: what comes out is the batch for the first, then for the next. */
  readonly channels?: readonly string[];
  /** How many tokens all sequences are padded to, where it must be so. */
  readonly tokens?: number;
  /** Which of its adapters a row is for, where each answers rows of its own. */
  readonly shares?: Shares;
  /** What it reads of a run beside the tokens, by the run's sequences. @throws usage.value for rows that it is not made for */
  rowFeeds?(sequences: readonly Sequence[]): Readonly<Record<string, Tensor>>;
  /** All that it adds and reads, frozen tensors too. */
  readonly parameters: readonly ParameterSpec[];
  /** Weights of the encoder that are drawn anew, by full name. */
  readonly anew?: ReadonlyMap<string, Initializer>;
  /** `observe` is told of values that show what it does. */
  hooks(parameters: Parameters, dropout: Dropout, observe?: Observe): Hooks;
  /** A scalar whose gradient is added while the reported loss leaves it out. */
  regularizer?(parameters: Parameters): Value | undefined;
  /** Scalars that change while training goes on, by input name, after so many steps. */
  schedule?(steps: number): Readonly<Record<string, number>>;
}

/** What a run holds in one of its sequences: a part of a row of the batch, and what that was given as its task. */
export interface Sequence {
  readonly row: number;
  /** Undefined where none was given. */
  readonly task: number | undefined;
}

/** Who answers which rows. */
export interface Shares {
  /** The children's. */
  readonly names: readonly string[];
  /** Whether a row's task says which child it is for: its number. */
  readonly byTask: boolean;
  /** The number of a sequence's child; below 0 for none. */
  childOf(sequence: Sequence): number;
}

/** Those of an attachment's parameters that train. */
export function trained({ parameters }: Pick<Attachment, 'parameters'>): readonly ParameterSpec[] {
  return parameters.filter((spec) => spec.trains !== false);
}

/** One method under a name. @throws method.config, method.site */
export function attach(configured: ConfiguredMethod, context: MethodContext): Attachment {
  const { method, config, text } = configured;
  const adapter = bindAdapter(configured, context);
  return {
    name: context.name,
    text,
    learningRate: method.learningRate,
    trainsEncoder: method.trainsEncoder ?? false,
    mixesTokens: method.mixesTokens(config),
    parameters: adapter.parameters,
    hooks: (parameters, dropout, observe) => hooksOf(adapter.acts(alone(adapter, parameters), dropout, observe)),
  };
}

/** Of a method whose tasks share parameters, values of the others have an axis for the sequences: here all have the same. */
export function alone({ parameters: specs }: Pick<Adapter, 'parameters'>, parameters: Parameters): ReadParameter {
  const read = readerOf(specs, parameters);
  if (!specs.some(({ shared }) => shared)) return read;
  const shared = new Set(specs.flatMap((spec) => (spec.shared ? [spec.name] : [])));
  return (name) => {
    const value = read(name);
    return shared.has(name) ? value : reshape(value, [1, ...value.shape]);
  };
}
