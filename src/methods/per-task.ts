import { elementCount } from '../base/tensor.ts';
import { concat, gather, input, reshape, slice, type Value } from '../graph/index.ts';
import type { ParameterSpec, Parameters } from '../nn/index.ts';
import { type Attachment, attach } from './attachment.ts';
import type { MethodContext } from './method.ts';
import type { ConfiguredMethod } from './registry.ts';

/**
 * One module of a method for each task, under the tasks' names: a run answers to the module of its first sequence's task, so
 * all sequences of a run must be of one task. With the encoder trained too this is MT-A of Pfeiffer et al. 2021.
 * @throws method.config, method.site
 */
export function attachPerTask(
  configured: ConfiguredMethod,
  names: readonly string[],
  { encoder, family }: Pick<MethodContext, 'encoder' | 'family'>,
): Attachment {
  const { method, config } = configured;
  const specsOf = (name: string) => method.parameters(config, { encoder, family, name });
  const specs = names.map(specsOf);
  const shared = attach(configured, { encoder, family, name: SELECTED });
  const taskIds = input('taskIds', 'int32', ['B']);
  return {
    ...shared,
    name: names.join('+'),
    parameters: specs.flat(),
    taskIds,
    perTask: new Map(specs.flatMap((own, task) => own.map(({ name }) => [name, task] as const))),
    graft(parameters, dropout, observe) {
      const task = slice(taskIds, 0, 0, 1);
      const places = new Map(shared.parameters.map(({ name }, place) => [name, place]));
      const known = new Map<string, Value>();
      const selected: Parameters = (name, shape) => {
        const place = places.get(name);
        if (place === undefined) return parameters(name, shape);
        const value = known.get(name) ?? choose(specs.map((own) => own[place] as ParameterSpec));
        known.set(name, value);
        return value;
      };
      const choose = (own: readonly ParameterSpec[]): Value => {
        const [{ shape }] = own as [ParameterSpec];
        const rows = own.map((spec) => reshape(parameters(spec.name, spec.shape), [1, elementCount(shape)]));
        return reshape(gather(concat(rows, 0), task), shape);
      };
      return shared.graft(selected, dropout, observe);
    },
  };
}

/** The name that the method is told: no task has it, since names have no spaces. */
const SELECTED = 'the selected task';
