import type { StepEvent } from './settings.ts';

/** Makes the event of each step of a run of `steps`, with speed and time left as of now. `rows` are those of the step. */
export function stepEvents(
  steps: number,
): (rows: number, facts: Pick<StepEvent, 'step' | 'epoch' | 'loss' | 'learningRate' | 'gradientNorm' | 'losses' | 'rows'>) => StepEvent {
  const clock = stopwatch();
  return (rows, facts) => {
    const { perSecond, secondsPerStep } = clock(rows);
    return { type: 'step', ...facts, examplesPerSecond: perSecond, steps, secondsLeft: secondsPerStep * (steps - facts.step) };
  };
}

/** Rows per second and seconds per step over the last steps, so that a pause is soon forgotten. */
function stopwatch(): (rows: number) => { perSecond: number; secondsPerStep: number } {
  const window: { at: number; rows: number }[] = [{ at: performance.now(), rows: 0 }];
  return (rows) => {
    window.push({ at: performance.now(), rows });
    if (window.length > 21) window.shift();
    const seconds = ((window.at(-1)?.at ?? 0) - (window[0]?.at ?? 0)) / 1000;
    const count = window.slice(1).reduce((sum, { rows }) => sum + rows, 0);
    return { perSecond: count / Math.max(seconds, 1e-9), secondsPerStep: seconds / (window.length - 1) };
  };
}
