import { float32, int32, type Tensor } from '../base/tensor.ts';
import type { Head } from '../objectives/index.ts';
import { encoderFeeds, lossTerms, type Target, type Unit } from './data.ts';
import type { MultiTaskModel } from './multi-task.ts';
import type { LabelScale } from './standardize.ts';

/** A unit of one of several tasks. */
export interface TaskUnit extends Unit {
  readonly task: number;
}

/** What the loss of a whole batch is made of, of which a run may hold a part. */
export interface JointTerms {
  /** Loss terms of each task. */
  readonly counts: readonly number[];
  /** The weight of each task's mean; 0 for tasks without rows. */
  readonly weights: readonly number[];
  /** By task: labels that are numbers count in standard units. */
  readonly scales?: readonly (LabelScale | undefined)[];
}

/** Counts a batch. `share` is the weight of a task, 1 on average: each task that is there has that share of the mean over them. */
export function jointTerms(batch: readonly TaskUnit[], tasks: number, share: (task: number) => number = () => 1): JointTerms {
  const counts = new Array<number>(tasks).fill(0);
  for (const unit of batch) (counts[unit.task] as number) += lossTerms(unit);
  const present = new Set(batch.map(({ task }) => task));
  const shares = counts.map((_, task) => (present.has(task) ? share(task) : 0));
  return { counts, weights: shares.map((one) => one / present.size) };
}

/**
 * The feeds of one run over units of any tasks: what the encoder reads, `taskIds`, and with `terms` the targets and weights
 * that {@link drawJointLoss} names. @throws text.too-long, text.tokenizer
 */
export function jointFeeds(
  units: readonly TaskUnit[],
  { heads, encoder, attachment }: MultiTaskModel,
  terms?: JointTerms,
): Record<string, Tensor> {
  const feeds = encoderFeeds(
    units.flatMap((unit) => unit.encodings),
    encoder,
    attachment.mostTokens,
  );
  const taskIds = units.flatMap((unit) => unit.encodings.map(() => unit.task));
  const [sequences, width] = (feeds.inputIds as Tensor).shape as [number, number];
  return {
    ...feeds,
    taskIds: int32([sequences], taskIds),
    ...(terms && jointTargets(units, heads, [sequences, width], terms)),
  };
}

function jointTargets(
  units: readonly TaskUnit[],
  heads: readonly Head[],
  [sequences, width]: [number, number],
  { counts, weights, scales = [] }: JointTerms,
): Record<string, Tensor> {
  const labelSets = Math.max(
    0,
    ...heads.map(({ config }) => (config.head_type === 'multilabel_classification' ? (config.num_labels ?? 0) : 0)),
  );
  const rows = () => new Float32Array(sequences);
  const tokens = () => new Float32Array(sequences * width);
  const labels = rows();
  const lossWeights = rows();
  const sets = new Float32Array(sequences * labelSets);
  const [tokenLabels, tokenWeights] = [tokens(), tokens()];
  const [starts, ends, spanWeights] = [new Int32Array(sequences), new Int32Array(sequences), rows()];
  const choices = heads.map(() => ({ places: [] as number[], labels: [] as number[] }));
  let place = 0;
  for (const { task, encodings, target } of units) {
    const each = 1 / Math.max(1, counts[task] as number);
    const known = target as Target;
    if (heads[task]?.config.head_type === 'multiple_choice') {
      const own = choices[task] as (typeof choices)[number];
      own.places.push(...encodings.map((_, i) => place + i));
      own.labels.push((known as { label: number }).label);
    } else if (known.kind === 'tokens') {
      known.labels.forEach((label, i) => {
        if (label < 0) return;
        tokenLabels[place * width + i] = label;
        tokenWeights[place * width + i] = each;
      });
    } else if (known.kind === 'span') {
      [starts[place], ends[place], spanWeights[place]] = [known.start, known.end, each / 2];
    } else {
      lossWeights[place] = each;
      if (known.kind === 'classes') sets.set(known.values, place * labelSets);
      else labels[place] = known.kind === 'class' ? known.label : standardized((known as { value: number }).value, scales[task]);
    }
    place += encodings.length;
  }
  return {
    taskWeights: float32([heads.length], weights),
    labels: float32([sequences], labels),
    lossWeights: float32([sequences], lossWeights),
    labelSets: float32([sequences, labelSets], sets),
    tokenLabels: float32([sequences * width], tokenLabels),
    tokenWeights: float32([sequences * width], tokenWeights),
    startPositions: int32([sequences], starts),
    endPositions: int32([sequences], ends),
    startWeights: float32([sequences], spanWeights),
    endWeights: float32([sequences], spanWeights),
    ...Object.assign({}, ...heads.map((head, task) => choiceTargets(head, task, choices[task] as (typeof choices)[number], counts))),
  };
}

function standardized(value: number, scale: LabelScale | undefined): number {
  return scale ? (value - scale.mean) / scale.deviation : value;
}

/** A batch without rows of a choice task still has one, of weight 0: its program has no empty tensors. */
function choiceTargets(
  { config }: Head,
  task: number,
  { places, labels }: { readonly places: readonly number[]; readonly labels: readonly number[] },
  counts: readonly number[],
): Record<string, Tensor> {
  if (config.head_type !== 'multiple_choice') return {};
  const each = config.num_choices as number;
  const count = Math.max(1, labels.length);
  const weight = labels.length > 0 ? 1 / Math.max(1, counts[task] as number) : 0;
  return {
    [`choices.${task}`]: int32([count, each], labels.length > 0 ? places : new Int32Array(each)),
    [`labels.${task}`]: int32([count], labels.length > 0 ? labels : [0]),
    [`lossWeights.${task}`]: float32([count], new Float32Array(count).fill(weight)),
  };
}
