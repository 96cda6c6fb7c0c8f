import { fail, pause } from '../base/index.ts';
import type { Feeds } from '../session/session.ts';
import type { Schedule } from './schedule.ts';
import type { EvaluationEvent, StepEvent, TrainEvent } from './settings.ts';
import type { StepResult, TrainingStep } from './step.ts';
import { stepEvents } from './step-events.ts';

/** How far a run has come. Plain data. */
export interface Position {
  readonly step: number;
  /** Evaluations since the last better one. */
  readonly stale: number;
}

export const START: Position = { step: 0, stale: 0 };

/** What one step learns from. */
export interface Batch {
  /** Each is computed at once. */
  readonly parts: readonly Feeds[];
  /** How many rows there are in all of them. */
  readonly size: number;
  readonly epoch: number;
  /** Parameters that the step leaves as they are. */
  readonly frozen?: ReadonlySet<string>;
}

/** What an evaluation found, and whether it is better than all before: patience counts those that are not. */
export interface Verdict extends Pick<EvaluationEvent, 'metrics' | 'metric' | 'best'> {
  readonly better: boolean;
}

/** A run as its steps see it; `B` is a batch of its kind, `S` what it saves. */
export interface StepLoop<B extends Batch, S> {
  readonly schedule: Schedule;
  readonly step: TrainingStep;
  /** Where it begins or goes on. */
  readonly from: Position;
  /** The batch that follows `done` steps. */
  next(done: number): B | Promise<B>;
  /** Is told what a step gave; returns what its event says beside that. */
  learnt?(batch: B, result: StepResult): Pick<StepEvent, 'losses' | 'rows'>;
  /** Evaluates the model after so many steps, and keeps its parameters where they are the best. */
  judge?(done: number): Promise<Verdict>;
  /** All that the run needs to go on from there. Tensors may be views. */
  state(at: Position): S;
}

/** What a caller may do while a run goes on. */
export interface RunHooks<S> {
  readonly onEvent?: (event: TrainEvent) => void | Promise<void>;
  /** Called when everything is compiled, before the first step: what is wrong with the options has been told by then. */
  readonly begin?: () => Promise<void>;
  /**
   * Called when the state is worth keeping: after each evaluation, and every so often between. The tensors are views: they change
   * once the promise is kept.
   */
  readonly save?: (state: S) => Promise<void>;
  /** Stops the run after the step that is being computed; its state is saved first. */
  readonly signal?: AbortSignal;
}

/** Runs steps until the schedule is exhausted. @throws train.non-finite, train.stopped */
export async function runSteps<B extends Batch, S>(loop: StepLoop<B, S>, { begin, onEvent, save, signal }: RunHooks<S>): Promise<Position> {
  const { schedule } = loop;
  const eventOf = stepEvents(schedule.total);
  let { step: done, stale } = loop.from;
  let savedAt = performance.now();
  await begin?.();
  while (!schedule.exhausted(done, stale)) {
    const batch = await loop.next(done);
    const { size, epoch } = batch;
    const learningRate = schedule.learningRate(done);
    const result = await loop.step.run(batch.parts, learningRate, done + 1, batch.frozen);
    done++;
    const { loss, gradientNorm } = result;
    const more = loop.learnt?.(batch, result);
    await onEvent?.(eventOf(size, { step: done, epoch, loss, learningRate, gradientNorm, ...more }));

    const verdict = loop.judge && schedule.evaluatesAfter(done) ? await loop.judge(done) : undefined;
    if (verdict) {
      const { better, ...found } = verdict;
      stale = better ? 0 : stale + 1;
      await onEvent?.({ type: 'evaluation', step: done, epoch, ...found });
    }

    await pause();
    const last = schedule.exhausted(done, stale);
    const stop = signal?.aborted && !last;
    if (save && (verdict || stop || last || schedule.savesAfter(done, performance.now() - savedAt))) {
      await save(loop.state({ step: done, stale }));
      savedAt = performance.now();
    }
    if (stop)
      fail({
        code: 'train.stopped',
        subject: `Stopped after step ${done} of ${schedule.total}`,
        next: save ? 'Run the same command with --resume to go on.' : '',
      });
  }
  return { step: done, stale };
}
