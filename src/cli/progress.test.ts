import { afterEach, expect, it, vi } from 'vitest';
import type { TrainEvent } from '../train/index.ts';
import { isNews } from './assets.ts';
import type { CommandContext } from './command.ts';
import { trainingProgress } from './progress.ts';

afterEach(() => void vi.useRealTimers());

it('shows the mean of few losses, and nothing of the run before', () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  const lines: string[] = [];
  const context = { isTTY: false, json: false, stderr: (text: string) => void lines.push(text) } as unknown as CommandContext;
  const progress = trainingProgress(context, 'minilm');
  const step = (number: number, loss: number) => {
    vi.advanceTimersByTime(11_000);
    progress.onEvent({ type: 'step', step: number, steps: 4, loss, examplesPerSecond: 8, secondsLeft: 3 } as TrainEvent);
  };
  step(1, 2);
  progress.onEvent({ type: 'evaluation', step: 1, epoch: 0, metrics: { accuracy: 0.5 }, metric: 'accuracy', best: true });
  step(2, 1);
  progress.restart();
  step(1, 4);
  expect(lines).toEqual([
    'step 1/4, loss 2.0000, 8 rows/s, 3 s left',
    'step 1: accuracy 0.5000 (best so far)',
    'step 2/4, loss 1.5000, 8 rows/s, 3 s left | best accuracy 0.5000',
    'step 1/4, loss 4.0000, 8 rows/s, 3 s left',
  ]);
});

it('keeps from a newcomer how the embedded encoder is stored, and nothing else', () => {
  const stored = '85 float16 tensors are expanded to float32 at load.';
  expect([isNews(stored, undefined), isNews(stored, './minilm'), isNews('Not part of a bert encoder, ignored: x.', undefined)]).toEqual([
    false,
    true,
    true,
  ]);
});
