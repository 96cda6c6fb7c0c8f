import { createRandom, fail, type Random } from '../base/index.ts';
import { lengthBuckets } from './sampler.ts';
import { taskStreams } from './task-streams.ts';

/**
 * How often tasks take part when one model learns several, with N rows of a task, α an exponent and p ∝ N^α:
 *
 *   proportional  α = 1: every row of every task once an epoch
 *   uniform       α = 0
 *   annealed      α = 1 − 0.8·(e − 1)/(E − 1) in epoch e of E (Stickland & Murray 2019, section 3.4)
 *   temperature   α = 1/τ
 */
export const TASK_RULES = ['proportional', 'uniform', 'annealed', 'temperature'] as const;
export type TaskRule = (typeof TASK_RULES)[number];

export interface TaskPick {
  readonly task: number;
  readonly row: number;
}

export interface TaskBatch {
  readonly picks: readonly TaskPick[];
  readonly epoch: number;
}

interface TaskSamplerOptions {
  /** Tokens of each row, by task. */
  readonly lengths: readonly Int32Array[];
  readonly batchSize: number;
  readonly rule: TaskRule;
  /** τ */
  readonly temperature: number;
  /** E */
  readonly epochs: number;
  /** Where a run has a number of steps instead, E is the epochs that these come to. */
  readonly steps?: number;
  /** Whether all rows of a batch are of one task. */
  readonly oneTask: boolean;
  readonly seed: number;
}

/** Where a sampler stands: the batch that comes next, and how many rows each task had given when its epoch began. Plain data. */
export interface TaskSamplerState {
  readonly epoch: number;
  readonly batch: number;
  readonly drawn: readonly number[];
}

/** An endless stream of batches over several tasks. An epoch has as many rows as all tasks together, rounded up to whole batches where each is of one task. */
export interface TaskSampler {
  readonly batchesPerEpoch: number;
  next(): TaskBatch;
  state(): TaskSamplerState;
}

/** The probability of each task, by its number of rows. `epoch` counts from 0. */
export function taskShares(
  sizes: readonly number[],
  { rule, temperature, epochs }: { readonly rule: TaskRule; readonly temperature: number; readonly epochs: number },
  epoch: number,
): number[] {
  const annealed = 1 - 0.8 * (epochs > 1 ? Math.min(1, epoch / (epochs - 1)) : 0);
  const exponent = { proportional: 1, uniform: 0, annealed, temperature: 1 / temperature }[rule];
  const largest = Math.max(...sizes);
  const weights = sizes.map((size) => (size / largest) ** exponent);
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / total);
}

/** Continues from `state` when given. Throws `usage.value`, `task.empty`, and `train.resume` for a state of other tasks. */
export function createTaskSampler(options: TaskSamplerOptions, state?: TaskSamplerState): TaskSampler {
  const { lengths, batchSize, seed, oneTask } = options;
  const sizes = checkSizes(lengths, batchSize);
  checkDrawn(state?.drawn, sizes);
  const count = sizes.reduce((a, b) => a + b, 0);
  const batchesPerEpoch =
    oneTask && options.rule === 'proportional'
      ? sizes.reduce((sum, size) => sum + Math.ceil(size / batchSize), 0)
      : Math.ceil(count / batchSize);
  const epochs = options.steps === undefined ? options.epochs : Math.ceil(options.steps / batchesPerEpoch);
  let { epoch, batch } = state ?? { epoch: 0, batch: 0 };
  // Of the epoch at hand; what its rows leave behind is the start of the next.
  let before = [...(state?.drawn ?? sizes.map(() => 0))];
  let plan: { readonly batches: readonly (readonly TaskPick[])[]; readonly drawn: readonly number[] } | undefined;
  return {
    batchesPerEpoch,
    next() {
      plan ??= planEpoch();
      const picks = plan.batches[batch];
      // Only a state that was read can be beyond.
      if (picks === undefined)
        return fail({
          code: 'train.resume',
          subject: 'sampler',
          found: `batch ${batch} of epoch ${epoch}`,
          expected: `one below ${plan.batches.length}`,
          next: 'Start a new run.',
        });
      const result = { picks, epoch };
      batch++;
      if (batch === plan.batches.length) {
        before = [...plan.drawn];
        [batch, epoch, plan] = [0, epoch + 1, undefined];
      }
      return result;
    },
    state: () => ({ epoch, batch, drawn: before }),
  };

  function planEpoch() {
    const random = createRandom(seed, epoch);
    const streams = taskStreams(sizes, seed, before);
    const tasks =
      options.rule === 'proportional'
        ? Int32Array.from(sizes.flatMap((size, task) => new Array<number>(size).fill(task)))
        : drawn(taskShares(sizes, { ...options, epochs }, epoch), random);
    const slots = Array.from(tasks, (task) => ({ task, row: streams.next(task) }));
    return { batches: bucketed(slots, random), drawn: streams.drawn() };
  }

  /** Where a batch has rows of one task, tasks of whole batches are drawn: an epoch has the same number of them whatever comes. */
  function drawn(shares: readonly number[], random: Random): Int32Array {
    if (!oneTask) return drawTasks(shares, count, random);
    return Int32Array.from([...drawTasks(shares, batchesPerEpoch, random)].flatMap((task) => new Array<number>(batchSize).fill(task)));
  }

  function bucketed(slots: readonly TaskPick[], random: Random): (readonly TaskPick[])[] {
    if (!oneTask) return cutByLength(slots, random);
    const groups = sizes.map((_, task) => slots.filter((slot) => slot.task === task));
    return random.shuffle(groups.flatMap((group) => cutByLength(group, random)));
  }

  function cutByLength(slots: readonly TaskPick[], random: Random): (readonly TaskPick[])[] {
    if (slots.length === 0) return [];
    const tokens = Int32Array.from(slots, ({ task, row }) => (lengths[task] as Int32Array)[row] as number);
    return lengthBuckets(tokens, batchSize, random).map((rows) => Array.from(rows, (slot) => slots[slot] as TaskPick));
  }
}

/** @throws usage.value, task.empty */
export function checkSizes(lengths: readonly Int32Array[], batchSize: number): number[] {
  if (!Number.isInteger(batchSize) || batchSize < 1)
    fail({ code: 'usage.value', subject: 'batch size', found: `${batchSize}`, expected: 'an integer ≥ 1' });
  const sizes = lengths.map((rows) => rows.length);
  const empty = sizes.indexOf(0);
  if (sizes.length === 0 || empty >= 0)
    fail({ code: 'task.empty', subject: sizes.length === 0 ? 'the tasks to train on' : `task ${empty}`, found: 'none to sample from' });
  return sizes;
}

/** @throws train.resume */
export function checkDrawn(drawn: readonly number[] | undefined, sizes: readonly number[]): void {
  if (drawn && drawn.length !== sizes.length)
    fail({
      code: 'train.resume',
      subject: 'sampler',
      found: `${sizes.length} tasks now`,
      expected: `${drawn.length}, as in the saved run`,
      next: 'Resume with the same tasks, or start a new run.',
    });
}

function drawTasks(shares: readonly number[], count: number, random: Random): Int32Array {
  return Int32Array.from({ length: count }, () => {
    let rest = random.uniform();
    const task = shares.findIndex((share) => {
      rest -= share;
      return rest < 0;
    });
    // Shares add up to one but for rounding.
    return task < 0 ? shares.length - 1 : task;
  });
}
