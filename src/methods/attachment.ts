import type { Graft } from '../encoders/index.ts';
import type { Value } from '../graph/index.ts';
import type { Dropout, Initializer, ParameterSpec, Parameters } from '../nn/index.ts';
import type { MethodContext } from './method.ts';
import type { ConfiguredMethod } from './registry.ts';

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
  /** What trains with it. Other parameters that it reads are frozen. */
  readonly parameters: readonly ParameterSpec[];
  readonly start?: AttachmentStart;
  /** `observe` is told of the values that are worth looking at: [rows, columns], by name, with the names of columns that have some. */
  graft(parameters: Parameters, dropout: Dropout, observe?: (name: string, value: Value, columns?: readonly string[]) => void): Graft;
  /** A scalar whose gradient is added while the reported loss leaves it out. */
  regularizer?(parameters: Parameters): Value | undefined;
  /** Scalars that change while training goes on, by input name, after so many steps. */
  schedule?(steps: number): Readonly<Record<string, number>>;
}

/** First values that are neither the checkpoint's nor those of the parameters that train. */
export interface AttachmentStart {
  /** The encoder's tensors that are drawn anew, by full name. */
  readonly anew: ReadonlyMap<string, Initializer>;
  /** Parameters that begin as a copy of one of the encoder's tensors. */
  readonly copies: ReadonlyMap<string, string>;
  /** Tensors that it adds and that do not train. */
  readonly frozen: readonly ParameterSpec[];
}

/** One method under a name. @throws method.config, method.site */
export function attach({ method, config, text }: ConfiguredMethod, context: MethodContext): Attachment {
  return {
    name: context.name,
    text,
    learningRate: method.learningRate,
    trainsEncoder: method.trainsEncoder,
    mixesTokens: method.mixesTokens(config),
    parameters: method.parameters(config, context),
    graft: (parameters, dropout) => method.graft(config, context, parameters, dropout),
  };
}
