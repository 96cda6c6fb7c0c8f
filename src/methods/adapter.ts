import { fail, nearest } from '../base/index.ts';
import type { Dropout, ParameterSpec, Parameters } from '../nn/index.ts';
import type { Acts } from './act.ts';
import type { MethodContext, Observe } from './context.ts';
import type { ConfiguredMethod, ReadParameter } from './method.ts';

/** A configured method under a name, bound to an encoder. */
export interface Adapter {
  readonly name: string;
  readonly configured: ConfiguredMethod;
  /** All that it adds, frozen tensors too. */
  readonly parameters: readonly ParameterSpec[];
  /** `read` takes full names of {@link parameters}. */
  acts(read: ReadParameter, dropout: Dropout, observe?: Observe): Acts;
}

/** @throws method.config, method.site */
export function bindAdapter(configured: ConfiguredMethod, context: MethodContext): Adapter {
  const { method, config } = configured;
  return {
    name: context.name,
    configured,
    parameters: method.parameters(config, context),
    acts: (read, dropout, observe) => method.acts(config, { ...context, observe }, read, dropout),
  };
}

/** Reads declared parameters by name alone. @throws method.contract for another */
export function readerOf(specs: readonly ParameterSpec[], parameters: Parameters): ReadParameter {
  const shapes = new Map(specs.map(({ name, shape }) => [name, shape]));
  return (name) => {
    const shape = shapes.get(name);
    if (shape) return parameters(name, shape);
    const near = nearest(name, [...shapes.keys()]);
    return fail({
      code: 'method.contract',
      subject: `the parameter '${name}'`,
      found: 'no specification of it',
      expected: "one among the method's parameters",
      ...(near && { next: `Did you mean '${near}'?` }),
    });
  };
}
