import { type SCHEDULES, scheduleFactor } from '../update/index.ts';
import type { TrainSettings } from './settings.ts';

/** A run saves its state at least this often. */
const SAVE_MILLISECONDS = 30_000;

/** How many steps a run has, how fast each of them learns, and after which it evaluates, saves and ends. */
export interface Schedule {
  readonly total: number;
  /** Of the step that follows `done` others. */
  learningRate(done: number): number;
  evaluatesAfter(done: number): boolean;
  /** Whether the state is to be saved that was last saved so many milliseconds ago. */
  savesAfter(done: number, milliseconds: number): boolean;
  /** Whether no step follows `done` others, `stale` evaluations after the last better one. */
  exhausted(done: number, stale: number): boolean;
}

export interface ScheduleOptions {
  readonly steps: number;
  readonly learningRate: number;
  readonly warmupSteps: number;
  readonly shape: (typeof SCHEDULES)[number];
  /** Steps between evaluations, and between saves; never when left out. */
  readonly evalEvery?: number;
  readonly saveEvery?: number | undefined;
  readonly saveMilliseconds?: number;
  readonly patience?: number | undefined;
}

export function createSchedule({
  steps,
  learningRate,
  warmupSteps,
  shape,
  evalEvery = Number.POSITIVE_INFINITY,
  saveEvery = Number.POSITIVE_INFINITY,
  saveMilliseconds = Number.POSITIVE_INFINITY,
  patience = Number.POSITIVE_INFINITY,
}: ScheduleOptions): Schedule {
  return {
    total: steps,
    learningRate: (done) => learningRate * scheduleFactor(shape, done, steps, warmupSteps),
    evaluatesAfter: (done) => done % evalEvery === 0 || done === steps,
    savesAfter: (done, milliseconds) => done % saveEvery === 0 || milliseconds > saveMilliseconds,
    exhausted: (done, stale) => done >= steps || stale >= patience,
  };
}

/** The schedule that settings ask for. `usualRate` is the learning rate that suits the method. */
export function scheduleOf(settings: Omit<TrainSettings, 'shuffle'>, batchesPerEpoch: number, usualRate: number): Schedule {
  const { epochs, maxSteps, warmup, schedule, evalEvery = batchesPerEpoch, learningRate = usualRate, saveEvery, patience } = settings;
  const steps = maxSteps ?? Math.max(1, Math.round(epochs * batchesPerEpoch));
  const warmupSteps = warmup < 1 ? Math.round(warmup * steps) : warmup;
  return createSchedule({
    steps,
    learningRate,
    warmupSteps,
    shape: schedule,
    evalEvery,
    saveEvery,
    saveMilliseconds: SAVE_MILLISECONDS,
    patience,
  });
}
