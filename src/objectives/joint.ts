import { add, cast, constant, type Dim, equal, expand, gather, input, mul, reshape, slice, type Value } from '../graph/index.ts';
import type { Head, HeadType } from './head.ts';
import { drawLoss, type Target } from './loss.ts';

export interface JointLoss {
  /** Σ over tasks of task weight · task loss: a scalar. */
  readonly loss: Value;
  /** Each task's weighted sum over its units: its mean where the weights fed are 1/count. Scalars, by task. */
  readonly taskLosses: readonly Value[];
}

/**
 * One loss over a batch of 'B' sequences that belong to different tasks; head t answers for task t, and its logits are those
 * of all sequences or tokens. Parts of a batch add up, as in {@link drawLoss}.
 *
 * `taskIds` [B] int32 is the input that says which task each sequence belongs to. Further inputs: `taskWeights` [T]: 1/(tasks present) gives the mean of the task means, 0 is for absent
 * ones. By the kinds there are: `labels` and `lossWeights` [B] (classification and regression; class numbers as float32);
 * `tokenLabels`, `tokenWeights` [B·S] float32 (tagging); `labelSets` [B, C], C the most labels of any head, and
 * `lossWeights` (multilabel); `startPositions`, `endPositions` int32, `startWeights`, `endWeights` [B] (spans). For a choice
 * head t, whose logits are one number per sequence: `choices.t` [Rt, choices] int32 (the sequences of each row, by their
 * place in the batch), `labels.t` int32 and `lossWeights.t` [Rt]. A weight is 1/count over the task's units in the whole
 * batch, or 0. `scaled` makes of each task's loss what its weight is for.
 */
export function drawJointLoss(
  heads: readonly Head[],
  logits: readonly Value[],
  taskIds: Value,
  { scaled = (loss) => loss }: { readonly scaled?: (loss: Value, task: number) => Value } = {},
): JointLoss {
  const shared = sharedInputs();
  const labelSets = Math.max(
    ...heads.map(({ config }) => (config.head_type === 'multilabel_classification' ? (config.num_labels ?? 0) : 0)),
  );
  const taskLosses = heads.map((head, task) => {
    const answers = logits[task] as Value;
    if (head.config.head_type === 'multiple_choice') return choiceLoss(head, answers, task);
    const mine = cast(equal(taskIds, constant({ dtype: 'int32', shape: [], data: Int32Array.of(task) })), 'float32');
    return drawLoss(head, answers, ownTargets(head.config.head_type, shared, mine, labelSets));
  });
  const weights = input('taskWeights', 'float32', [heads.length]);
  const weighted = taskLosses.map((loss, task) => mul(scaled(loss, task), reshape(slice(weights, 0, task, task + 1), [])));
  return { loss: weighted.reduce(add), taskLosses };
}

/** One value for each name, however many heads read it. */
function sharedInputs(): Target {
  const known = new Map<string, Value>();
  return (name, dtype, shape) => {
    const value = known.get(name) ?? input(name, dtype, shape);
    known.set(name, value);
    return value;
  };
}

/**
 * The shared inputs with other tasks' rows at weight 0. Their labels become 0 too: they may be numbers that this head does
 * not have.
 */
function ownTargets(type: HeadType, shared: Target, mine: Value, labelSets: number): Target {
  return (name, dtype, shape) => {
    if (type === 'question_answering') return dtype === 'int32' ? shared(name, dtype, shape) : mul(shared(name, dtype, shape), mine);
    if (type === 'multilabel_classification' && name === 'labels')
      return slice(shared('labelSets', 'float32', ['B', labelSets]), 1, 0, shape[1] as number);
    const masked = type === 'tagging' ? perToken() : mul(shared(name, 'float32', shape), mine);
    return dtype === 'int32' ? cast(masked, 'int32') : masked;

    function perToken(): Value {
      const rows = reshape(expand(reshape(mine, ['B', 1]), ['B', 'S']), shape);
      return mul(shared(name === 'labels' ? 'tokenLabels' : 'tokenWeights', 'float32', shape), rows);
    }
  };
}

/** Scores of sequences [B, 1] are put together to rows of choices. */
function choiceLoss(head: Head, scores: Value, task: number): Value {
  const count: Dim = `R${task}`;
  const choices = input(`choices.${task}`, 'int32', [count, head.config.num_choices as number]);
  const rows = gather(reshape(scores, ['B']), choices);
  return drawLoss(head, rows, (name, dtype, shape) => input(`${name}.${task}`, dtype, shape));
}
