import { expect, it } from 'vitest';
import { type Batch, type Position, type RunHooks, runSteps, START, type StepLoop } from './run-steps.ts';
import { createSchedule, type ScheduleOptions } from './schedule.ts';

const linear: ScheduleOptions = { steps: 5, learningRate: 1, warmupSteps: 0, shape: 'linear' };

/** A run without a model: what happens in it, in order. `better` says of each evaluation whether it is. */
async function follow(
  options: Partial<ScheduleOptions>,
  { better, from = START, ...hooks }: { better?: boolean[]; from?: Position } & RunHooks<Position> = {},
): Promise<{ done: string[]; end: Position }> {
  const done: string[] = [];
  const verdicts = [...(better ?? [])];
  const loop: StepLoop<Batch, Position> = {
    schedule: createSchedule({ ...linear, ...options }),
    step: {
      async run(_, learningRate, t, frozen) {
        done.push(`step ${t} at ${learningRate.toFixed(1)}${frozen ? `, ${[...frozen]} frozen` : ''}`);
        return { loss: t, gradientNorm: 0, terms: {} };
      },
      async release() {},
    },
    from,
    next: (steps) => ({ parts: [], size: 2, epoch: Math.floor(steps / 2), ...(steps === 1 && { frozen: new Set(['x']) }) }),
    ...(better && { judge: async () => ({ metrics: { f1: 0.5 }, metric: 'f1', best: true, better: verdicts.shift() ?? false }) }),
    state: (at) => at,
  };
  const end = await runSteps(loop, {
    begin: async () => void done.push('begin'),
    onEvent: async (event) => void done.push(event.type === 'note' ? event.text : `${event.type} ${event.step} of epoch ${event.epoch}`),
    save: async ({ step, stale }) => void done.push(`saved ${step}, stale ${stale}`),
    ...hooks,
  });
  return { done, end };
}

it('each step is told before it is judged, and saved after that', async () => {
  const { done, end } = await follow({ steps: 3, evalEvery: 2 }, { better: [true, false] });
  expect(done).toEqual([
    'begin',
    'step 1 at 1.0',
    'step 1 of epoch 0',
    'step 2 at 0.7, x frozen',
    'step 2 of epoch 0',
    'evaluation 2 of epoch 0',
    'saved 2, stale 0',
    'step 3 at 0.3',
    'step 3 of epoch 1',
    'evaluation 3 of epoch 1',
    'saved 3, stale 1',
  ]);
  expect(end).toEqual({ step: 3, stale: 1 });
});

const saves = (done: readonly string[]) => done.filter((text) => text.startsWith('saved'));

it('the state is saved after so many steps, or milliseconds, and at the end', async () => {
  expect(saves((await follow({ saveEvery: 2 })).done)).toEqual(['saved 2, stale 0', 'saved 4, stale 0', 'saved 5, stale 0']);
  expect(saves((await follow({ saveMilliseconds: -1 })).done)).toHaveLength(5);
  expect(saves((await follow({ saveMilliseconds: 1e6 })).done)).toEqual(['saved 5, stale 0']);
});

it('evaluations without a better one use up patience, also those before a resume', async () => {
  const patient = { steps: 20, evalEvery: 1, patience: 3 };
  expect((await follow(patient, { better: [false, false, true] })).end).toEqual({ step: 6, stale: 3 });
  expect((await follow(patient, { better: [], from: { step: 4, stale: 1 } })).end).toEqual({ step: 6, stale: 3 });
  expect((await follow(patient, { better: [], from: { step: 4, stale: 3 } })).done).toEqual(['begin']);
});

it('a signal ends a run after its step, which is saved; the last step is no stop', async () => {
  const stop = new AbortController();
  const onEvent = (event: { type: string; step?: number }) => void (event.step === 2 && stop.abort());
  const saved: number[] = [];
  const save = async ({ step }: Position) => void saved.push(step);
  await expect(follow({}, { signal: stop.signal, onEvent, save })).rejects.toThrow(
    'Stopped after step 2 of 5. Run the same command with --resume to go on.',
  );
  expect(saved).toEqual([2]);
  expect((await follow({ steps: 1 }, { signal: stop.signal, save })).end.step).toBe(1);
  expect(saved).toEqual([2, 1]);
});
