import type { Model } from '../../model/model.ts';
import { cutRuns, runSizeOf } from '../../model/runs.ts';
import type { TaskUnit } from '../../objectives/index.ts';
import { longest, partition } from '../parts.ts';
import type { MultiTaskSettings } from './settings.ts';

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
