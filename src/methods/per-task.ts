import { elementCount, fail } from '../base/index.ts';
import type { LinearSite } from '../encoders/index.ts';
import { concat, type Dim, gather, input, reshape, slice, type Value } from '../graph/index.ts';
import type { ParameterSpec, Parameters } from '../nn/index.ts';
import { type Adapter, bindAdapter, readerOf } from './adapter.ts';
import { type Attachment, attach } from './attachment.ts';
import type { EncoderFacts } from './context.ts';
import { hooksOf } from './hooks.ts';
import type { ConfiguredMethod } from './method.ts';

/** Names what belongs to all tasks. */
export const SHARED_NAME = 'shared';

/**
 * One module of a method for each task, under the tasks' names. Where the method says what its tasks share, that is there once,
 * under {@link SHARED_NAME}, and each sequence reads what is its own task's. Otherwise a run answers to the module of its first
 * sequence's task, so all sequences of a run must be of one task; with the encoder trained too this is MT-A of Pfeiffer et al. 2021.
 * @throws method.config, method.site
 */
export function attachPerTask(configured: ConfiguredMethod, names: readonly string[], facts: EncoderFacts): Attachment {
  const adapters = names.map((name) => bindAdapter(configured, { ...facts, name }));
  return sharesAmongTasks(adapters[0]) ? attachMixed(configured, adapters, facts) : attachApart(configured, adapters, facts);
}

/** By the full name of each parameter of a task's module, the name under which {@link attachPerTask} trains it. */
export function namesAmongTasks(configured: ConfiguredMethod, name: string, facts: EncoderFacts): Map<string, string> {
  const common = bindAdapter(configured, { ...facts, name: SHARED_NAME }).parameters;
  const { parameters } = bindAdapter(configured, { ...facts, name });
  return new Map(parameters.map((spec, place) => [spec.name, spec.shared ? (common[place] as ParameterSpec).name : spec.name]));
}

function sharesAmongTasks(adapter: Adapter | undefined): boolean {
  return adapter?.parameters.some(({ shared }) => shared) ?? false;
}

function attachApart(configured: ConfiguredMethod, adapters: readonly Adapter[], facts: EncoderFacts): Attachment {
  const specs = adapters.map(({ parameters }) => parameters);
  const selected = attach(configured, { ...facts, name: SELECTED });
  const taskIds = input('taskIds', 'int32', ['B']);
  return {
    ...selected,
    name: nameOf(adapters),
    parameters: specs.flat(),
    taskIds,
    perTask: ownersOf(specs),
    oneTaskRuns: true,
    hooks(parameters, dropout, observe) {
      const task = slice(taskIds, 0, 0, 1);
      return selected.hooks(chosen(specs, selected.parameters, task, parameters), dropout, observe);
    },
  };
}

function attachMixed(configured: ConfiguredMethod, adapters: readonly Adapter[], facts: EncoderFacts): Attachment {
  const context = { ...facts, name: SHARED_NAME };
  const common = bindAdapter(configured, context);
  const apart = (specs: readonly ParameterSpec[]) => specs.filter(({ shared }) => !shared);
  const specs = adapters.map(({ parameters }) => apart(parameters));
  const taskIds = input('taskIds', 'int32', ['B']);
  return {
    ...attach(configured, context),
    name: nameOf(adapters),
    parameters: [...common.parameters.filter(({ shared }) => shared), ...specs.flat()],
    taskIds,
    perTask: ownersOf(specs),
    hooks(parameters, dropout) {
      const acts = common.acts(readerOf(common.parameters, chosen(specs, apart(common.parameters), taskIds, parameters)), dropout);
      const { linear } = acts;
      if (!linear) return hooksOf(acts);
      return hooksOf({ ...acts, linear: (site) => (site.batch === 1 ? refuseShared(site, facts) : linear(site)) });
    },
  };
}

/** DeBERTa's tables of distances go through the matrices of queries and keys once for all sequences. */
function refuseShared({ name }: LinearSite, { family }: EncoderFacts): never {
  return fail({
    code: 'method.site',
    subject: `the linear '${name}' of ${family.name}`,
    found: 'rows that belong to no sequence',
    expected: 'tokens alone, where each sequence has parameters of its own',
  });
}

function nameOf(adapters: readonly Adapter[]): string {
  return adapters.map(({ name }) => name).join('+');
}

function ownersOf(specs: readonly (readonly ParameterSpec[])[]): Map<string, number> {
  return new Map(specs.flatMap((ofTask, task) => ofTask.map(({ name }) => [name, task] as const)));
}

/**
 * Hands out the parameters named by `templates` as rows of those of the tasks, `specs` by task in the same order: one for each of
 * `tasks` [n], [n, …shape], and for one task as it is. All others are `parameters`' own.
 */
function chosen(
  specs: readonly (readonly ParameterSpec[])[],
  templates: readonly ParameterSpec[],
  tasks: Value,
  parameters: Parameters,
): Parameters {
  const places = new Map(templates.map(({ name }, place) => [name, place]));
  const drawn = new Map<string, Value>();
  const draw = (place: number, shape: readonly number[]): Value => {
    const rows = specs.map((ofTask) => {
      const spec = ofTask[place] as ParameterSpec;
      return reshape(parameters(spec.name, spec.shape), [1, elementCount(shape)]);
    });
    const [count] = tasks.shape as [Dim];
    return reshape(gather(concat(rows, 0), tasks), count === 1 ? shape : [count, ...shape]);
  };
  return (name, shape) => {
    const place = places.get(name);
    if (place === undefined) return parameters(name, shape);
    const value = drawn.get(name) ?? draw(place, shape);
    drawn.set(name, value);
    return value;
  };
}

/** The name that the method is told: no task has it, since names have no spaces. */
const SELECTED = 'the selected task';
