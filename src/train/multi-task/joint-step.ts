import { float32 } from '../../base/tensor.ts';
import { input, type Value } from '../../graph/index.ts';
import { drawModel } from '../../model/draw.ts';
import { modelDropout } from '../../model/dropout.ts';
import { type BatchTerms, feedsOf } from '../../model/feeds.ts';
import { drawLoss } from '../../model/loss.ts';
import { type Model, weightsOf } from '../../model/model.ts';
import { cutRuns, runSizeOf } from '../../model/runs.ts';
import type { TaskUnit } from '../../objectives/index.ts';
import type { Engine, Feeds } from '../../session/session.ts';
import { ADAMW } from '../../update/index.ts';
import { longest, partition } from '../parts.ts';
import { compileStep, type TrainingStep } from '../step.ts';
import type { JointParameters } from './parameters.ts';
import type { MultiTaskSettings } from './settings.ts';
import { uncertaintyWeighted } from './task-weights.ts';

/** How batches of several tasks are cut into parts, and the part that takes most. `trained` counts what trains. */
export function jointParts(model: Model, units: readonly (readonly TaskUnit[])[], settings: MultiTaskSettings, trained: number) {
  const { batchSize, microBatch } = settings;
  const size = runSizeOf(model.encoder, trained);
  const { accumulate, parts: inOrder } = partition(units.flat(), settings, size);
  const apart = model.attachment.oneTaskRuns === true;
  const groups = (batch: readonly TaskUnit[]) =>
    apart ? units.map((_, task) => batch.filter((unit) => unit.task === task)).filter(({ length }) => length > 0) : [batch];
  const cut = (group: readonly TaskUnit[]): TaskUnit[][] => {
    if (!accumulate) return inOrder(group);
    return microBatch === undefined ? cutRuns(group, size.mostTokens, size.cost) : inOrder(longest(group, group.length));
  };
  const parts = (batch: readonly TaskUnit[]) => groups(batch).flatMap(cut);
  const tokens = (part: readonly TaskUnit[]) => part.reduce((sum, unit) => sum + unit.encodings.length, 0) * (part[0]?.length ?? 0);
  const largest = (): TaskUnit[] => {
    const candidates = (apart ? units : [units.flat()]).flatMap((some) => parts(longest(some, batchSize)));
    return candidates.toSorted((a, b) => tokens(b) - tokens(a))[0] ?? [];
  };
  return { parts, largest };
}

/** What a part is fed of a batch that is cut into so many of them. */
export function partFeeds(part: readonly TaskUnit[], model: Model, terms: BatchTerms, parts: number): Feeds {
  return { ...feedsOf(part, model, terms), partShare: float32([], [1 / parts]) };
}

/** The training step of a model of several tasks; its terms are the losses of the tasks. @throws train.memory */
export async function createJointStep(
  engine: Engine,
  model: Model,
  { store, fixed, logVariances }: JointParameters,
  { seed, weightDecay, clip }: Pick<MultiTaskSettings, 'seed' | 'weightDecay' | 'clip'>,
  largest: Feeds,
): Promise<TrainingStep> {
  const plan = modelDropout(model.encoder, seed);
  const { logits, trainable } = drawModel(model, plan.dropout, (name) => store.values().has(name));
  const share = input('partShare', 'float32', []);
  const variances = new Map(logVariances.map(({ name, shape }) => [name, input(name, 'float32', shape)]));
  const { loss, losses } = drawLoss(model, logits, {
    scaled: (taskLoss, task) => {
      const variance = variances.get(logVariances[task]?.name ?? '');
      return variance ? uncertaintyWeighted(taskLoss, variance, share) : taskLoss;
    },
  });
  const goal = {
    loss,
    terms: Object.fromEntries(losses.map((value, task) => [task, value])),
    trainable: new Map<string, Value>([...trainable, ...variances]),
    weights: weightsOf(model, new Map([...fixed, ...plan.pools])),
    masks: plan.masks,
  };
  return compileStep(engine, goal, store, { adamw: { ...ADAMW, weightDecay, clip }, largest });
}
