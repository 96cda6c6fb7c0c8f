import { float32, type Tensor } from '../base/index.ts';
import { FUSION_MASK, type Fuse, fuse, lastOf } from '../methods/index.ts';
import { taskForHead } from '../model/head-task.ts';
import { type Prepared, prepare } from '../model/prepare.ts';
import { valuesOf } from '../model/start-values.ts';
import { attentionTable } from '../predict/attention.ts';
import { metricsOf } from '../predict/evaluation.ts';
import { createPredictor } from '../predict/predictor.ts';
import type { Engine } from '../session/session.ts';
import { loadRows, type Row, type Task } from '../tasks/index.ts';
import type { AttachedHead } from './attached.ts';
import { type ModelState, modelOf, tokensFor, trainedSteps, trainedValues } from './model-state.ts';
import type { PruneFusionOptions } from './options.ts';

interface PruneOptions {
  /** How much of the metric may be lost; 0.005 is half a point of accuracy. */
  readonly tolerance: number;
  readonly onProgress?: (done: number, of: number) => void;
}

/** What a fusion loses without some of its adapters. */
export interface Pruning {
  readonly metric: string;
  readonly rows: number;
  /** With all adapters. */
  readonly full: number;
  /** Each adapter: the mean attention it gets, and the metric when it alone is left out. */
  readonly adapters: readonly { readonly name: string; readonly attention: number; readonly without: number }[];
  /** What was dropped, in order, with the metric after it. */
  readonly dropped: readonly { readonly name: string; readonly metric: number }[];
  /** The smaller fusion, and its metric. */
  readonly kept: Fuse;
  readonly score: number;
}

/** {@link pruneFusion} on the rows of a task. @throws task.* */
export async function pruneAttached(
  engine: Engine,
  state: ModelState,
  setup: Fuse,
  head: AttachedHead,
  task: Task,
  { split = 'validation', limit, maxLength, tolerance = 0.005, onProgress }: PruneFusionOptions,
): Promise<Pruning> {
  const judged = taskForHead(task, head);
  const rows = await loadRows(state.files, judged, split, { limit });
  const { tokenizer } = state;
  const prepared = prepare(rows, { task: judged, tokenizer, maxLength: tokensFor(state, head, maxLength), kind: head.kind });
  return pruneFusion(engine, state, setup, head, { task: judged, rows, prepared }, { tolerance, ...(onProgress && { onProgress }) });
}

/**
 * Leaves out each adapter in turn, then drops the one that gets the least attention, again and again, until the metric is worse
 * than with all of them by more than the tolerance. Nothing is trained: a fusion's parameters do not depend on the number of its
 * adapters. One program answers all of it: what is left out gets a score of minus infinity.
 */
async function pruneFusion(
  engine: Engine,
  state: ModelState,
  setup: Fuse,
  head: AttachedHead,
  { task, rows, prepared }: { readonly task: Task; readonly rows: readonly Row[]; readonly prepared: Prepared },
  { tolerance, onProgress }: PruneOptions,
): Promise<Pruning> {
  const names = setup.children.map(lastOf);
  const model = await modelOf(state, setup, [head], { masked: true });
  let mask = maskOf(names, names);
  const steps = trainedSteps(state, setup);
  const predictor = await createPredictor(engine, model, {
    current: () => new Map([[FUSION_MASK, mask]]),
    fixed: await valuesOf(model, trainedValues(state, setup, [head])),
    steps: () => steps,
    observe: true,
  });
  // Each adapter left out once, all of them, and at most all but one dropped.
  const most = 2 * names.length;
  let done = 0;
  const judge = async (kept: readonly string[]) => {
    mask = maskOf(names, kept);
    const answers = await predictor.answers(rows, prepared);
    onProgress?.(++done, most);
    return {
      metric: metricsOf(task, rows, answers)[task.metric] as number,
      attention: attentionTable(answers, setup.name, names).mean,
    };
  };

  try {
    const full = await judge(names);
    const adapters = [];
    for (const [i, name] of names.entries()) {
      const without = names.length > 1 ? (await judge(names.filter((one) => one !== name))).metric : Number.NaN;
      adapters.push({ name, attention: full.attention[i] as number, without });
    }
    let [kept, last] = [names, full];
    const dropped: { name: string; metric: number }[] = [];
    while (kept.length > 1) {
      const least = kept.reduce((a, b) => (attentionOf(last.attention, b) < attentionOf(last.attention, a) ? b : a));
      const rest = kept.filter((name) => name !== least);
      const next = await judge(rest);
      if (full.metric - next.metric > tolerance) break;
      dropped.push({ name: least, metric: next.metric });
      [kept, last] = [rest, next];
    }
    const children = setup.children.filter((child) => kept.includes(lastOf(child)));
    const smaller = fuse(children, { name: setup.name });
    return { metric: task.metric, rows: rows.length, full: full.metric, adapters, dropped, kept: smaller, score: last.metric };
  } finally {
    await predictor.release();
  }

  function attentionOf(attention: readonly number[], name: string): number {
    return attention[names.indexOf(name)] as number;
  }
}

/** 0 for what is kept, and what makes a softmax forget the others. */
function maskOf(names: readonly string[], kept: readonly string[]): Tensor {
  return float32(
    [names.length],
    names.map((name) => (kept.includes(name) ? 0 : -1e30)),
  );
}
