import { fail, type Tensor } from '../../base/index.ts';
import { inverse, rescaleHeads } from '../../model/label-scales.ts';
import type { Model } from '../../model/model.ts';
import { startStore } from '../../model/start-values.ts';
import type { ParameterSpec } from '../../nn/index.ts';
import { headParameters, type LabelScale } from '../../objectives/index.ts';
import type { ParameterStore } from '../../update/index.ts';
import type { MultiTaskSettings } from './settings.ts';
import { logVariance } from './task-weights.ts';

/** What a run over several tasks trains, and what is drawn for it and stays. */
interface JointParameters {
  readonly store: ParameterStore;
  readonly fixed: ReadonlyMap<string, Tensor>;
  /** By task: the numbers that weigh losses, where they train. */
  readonly logVariances: readonly ParameterSpec[];
  /** The task of each parameter that belongs to one alone. */
  readonly owners: ReadonlyMap<string, number>;
  /** Of all that trains, what is the model's, as it is used: heads answer in the labels' own units. */
  modelValues(trained?: ReadonlyMap<string, Tensor>): ReadonlyMap<string, Tensor>;
}

/** First values are drawn but for those of the checkpoint and of `initial`; heads learn in units of `scales`. @throws usage.value */
export async function jointParameters(
  model: Model,
  { seed, taskWeights, keep }: Pick<MultiTaskSettings, 'seed' | 'taskWeights' | 'keep'>,
  scales: readonly (LabelScale | undefined)[],
  initial: ReadonlyMap<string, Tensor> = new Map(),
): Promise<JointParameters> {
  const { heads, encoder } = model;
  const logVariances = taskWeights === 'uncertainty' ? heads.map(({ name }) => logVariance(name)) : [];
  const inverses = scales.map((scale) => scale && inverse(scale));
  const start = { initial: rescaleHeads(initial, heads, encoder.config, inverses), more: logVariances };
  const { store, fixed } = await startStore(model, seed, start);
  const owners = taskOwners(model);
  if (keep === 'task') checkApart(store, owners);
  const ofLoss = new Set(logVariances.map(({ name }) => name));
  return {
    store,
    fixed,
    logVariances,
    owners,
    modelValues(trained = store.values()) {
      const values = ofLoss.size === 0 ? trained : new Map([...trained].filter(([name]) => !ofLoss.has(name)));
      return rescaleHeads(values, heads, encoder.config, scales);
    },
  };
}

/** Heads, adapters of their own, weights of losses. */
function taskOwners({ encoder, attachment, heads }: Model): Map<string, number> {
  return new Map([
    ...(attachment.perTask ?? []),
    ...heads.flatMap((head, task) => headParameters(head, encoder.config).map(({ name }) => [name, task] as const)),
    ...heads.map(({ name }, task) => [logVariance(name).name, task] as const),
  ]);
}

/** @throws usage.value */
function checkApart(store: ParameterStore, owners: ReadonlyMap<string, number>): void {
  const shared = store.specs.find(({ name }) => !owners.has(name));
  if (shared)
    fail({
      code: 'usage.value',
      subject: '--keep',
      found: `'task', where tasks share what trains (${shared.name})`,
      expected: "'average'",
      next: 'Each task keeps its own best only where it trains nothing but what is its own: adapters on a frozen encoder.',
    });
}
