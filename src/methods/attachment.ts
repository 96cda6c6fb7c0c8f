import type { Graft } from '../encoders/index.ts';
import type { Value } from '../graph/index.ts';
import type { Dropout, ParameterSpec, Parameters } from '../nn/index.ts';
import type { MethodContext } from './method.ts';
import type { ConfiguredMethod } from './registry.ts';

/** What is attached to an encoder, ready to be drawn: one method under a name, or several adapters put together. */
export interface Attachment {
  readonly name: string;
  /** What the user wrote, for cards and logs. */
  readonly text: string;
  /** A learning rate that suits it where none is given. */
  readonly learningRate: number;
  readonly trainsEncoder: boolean;
  /** Whether it mixes tokens after attention, so that the last layer must be computed for all of them. */
  readonly mixesTokens: boolean;
  /** What trains with it. Other parameters that it reads are frozen. */
  readonly parameters: readonly ParameterSpec[];
  /** `observe` is told of the values that are worth looking at, by name. */
  graft(parameters: Parameters, dropout: Dropout, observe?: (name: string, value: Value) => void): Graft;
  /** A scalar whose gradient is added while the reported loss leaves it out. */
  regularizer?(parameters: Parameters): Value | undefined;
  /** Scalars that change while training goes on, by input name, after so many steps. */
  schedule?(steps: number): Readonly<Record<string, number>>;
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
