import { SingleBar } from 'cli-progress';
import type { TrainEvent } from '../train/index.ts';
import { isNews } from './assets.ts';
import type { CommandContext } from './command.ts';

const LINE_MILLISECONDS = 10_000;

/** Shows a training run on the encoder that --model names: a bar on a terminal, a line now and then elsewhere, nothing with --json. */
export function trainingProgress(
  { isTTY, json, stderr }: CommandContext,
  model: string | undefined,
): { onEvent(event: TrainEvent): void; restart(): void; stop(): void } {
  if (json) return { onEvent() {}, restart() {}, stop() {} };
  const bar = isTTY
    ? new SingleBar({
        format: '{bar} {value}/{total} | loss {loss} | {speed} rows/s | {left} left{best}',
        hideCursor: true,
        clearOnComplete: true,
        linewrap: false,
      })
    : undefined;
  let best = '';
  let mean = 0;
  let steps = 0;
  let lastLine = performance.now();
  const say = (text: string) => {
    bar?.stop();
    stderr(text);
  };
  return {
    onEvent(event) {
      if (event.type === 'note') {
        if (isNews(event.text, model)) say(event.text);
      } else if (event.type === 'evaluation') {
        const value = event.metrics[event.metric] as number;
        if (event.best) best = ` | best ${event.metric} ${value.toFixed(4)}`;
        say(
          `step ${event.step}: ${Object.entries(event.metrics)
            .map(([name, score]) => `${name} ${score.toFixed(4)}`)
            .join(', ')}${event.best ? ' (best so far)' : ''}`,
        );
      } else {
        // Of all steps while they are few, then of about the last twenty.
        mean += Math.max(1 / ++steps, 0.05) * (event.loss - mean);
        const facts = { loss: mean.toFixed(4), speed: event.examplesPerSecond.toFixed(0), left: duration(event.secondsLeft), best };
        if (bar?.isActive) bar.update(event.step, facts);
        else bar?.start(event.steps, event.step, facts);
        if (!bar && performance.now() - lastLine > LINE_MILLISECONDS) {
          lastLine = performance.now();
          stderr(`step ${event.step}/${event.steps}, loss ${facts.loss}, ${facts.speed} rows/s, ${facts.left} left${best}`);
        }
      }
    },
    /** Another run begins: what was seen of the last one is forgotten. */
    restart() {
      [best, steps] = ['', 0];
    },
    stop: () => bar?.stop(),
  };
}

export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
