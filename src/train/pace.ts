import { fail } from '../base/errors.ts';
import { pause } from '../base/pause.ts';
import { scheduleFactor } from '../update/index.ts';
import type { TrainSettings } from './settings.ts';

/** A run saves its state at least this often. */
const SAVE_MILLISECONDS = 30_000;

/** How many steps a run has, after which of them it evaluates, and how fast it learns. `usualRate` is what suits the method. */
export function paceOf(
  settings: Pick<TrainSettings, 'epochs' | 'maxSteps' | 'warmup' | 'schedule' | 'learningRate' | 'evalEvery' | 'patience'>,
  batchesPerEpoch: number,
  usualRate: number,
) {
  const total = settings.maxSteps ?? Math.max(1, Math.round(settings.epochs * batchesPerEpoch));
  const warmup = settings.warmup < 1 ? Math.round(settings.warmup * total) : settings.warmup;
  const evalEvery = settings.evalEvery ?? batchesPerEpoch;
  const peak = settings.learningRate ?? usualRate;
  return {
    total,
    /** Of the step that follows `done` others. */
    learningRate: (done: number) => peak * scheduleFactor(settings.schedule, done, total, warmup),
    evaluatesAfter: (done: number) => done % evalEvery === 0 || done === total,
    /** Whether no step follows `done` others, `stale` evaluations after the best one. */
    exhausted: (done: number, stale: number) => done >= total || (settings.patience !== undefined && stale >= settings.patience),
  };
}

/**
 * Makes what ends each step of a run of `total` steps: it saves the state where that is due, and stops where `signal` asks for it.
 * @throws train.stopped
 */
export function stepEnds<S>({
  total,
  saveEvery = Number.POSITIVE_INFINITY,
  save,
  signal,
}: {
  readonly total: number;
  readonly saveEvery: number | undefined;
  readonly save: ((state: S) => Promise<void>) | undefined;
  readonly signal: AbortSignal | undefined;
}): (step: { readonly done: number; readonly evaluated: boolean; readonly last: boolean }, state: () => S) => Promise<void> {
  let savedAt = performance.now();
  return async ({ done, evaluated, last }, state) => {
    // A run computes on this thread: without pauses no signal would ever be heard.
    await pause();
    const stop = signal?.aborted && !last;
    const due = done % saveEvery === 0 || performance.now() - savedAt > SAVE_MILLISECONDS;
    if (save && (evaluated || due || stop || last)) {
      await save(state());
      savedAt = performance.now();
    }
    if (stop)
      fail({
        code: 'train.stopped',
        subject: `Stopped after step ${done} of ${total}`,
        next: save ? 'Run the same command with --resume to go on.' : '',
      });
  };
}
