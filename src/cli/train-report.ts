import type { Task } from '../tasks/index.ts';
import type { TrainTaskResult } from '../train/index.ts';
import type { CommandContext } from './command.ts';
import { duration } from './progress.ts';
import { alignColumns } from './table.ts';

/** A line for each task. */
export function renderSeveral(results: readonly TrainTaskResult[], tasks: readonly Task[], output: string): string {
  const score = (value: number | undefined) => (value === undefined ? '–' : value.toFixed(4));
  const rows = results.map(({ name, metrics, majority, steps, seconds }, i) => {
    const { metric } = tasks[i] as Task;
    return [
      name,
      metric,
      score(metrics.validation?.[metric]),
      score(metrics.test?.[metric]),
      score(majority),
      `${steps}`,
      duration(seconds),
    ];
  });
  const header = ['task', 'metric', 'validation', 'test', 'majority accuracy', 'steps', 'time'];
  return [...alignColumns([header, ...rows], [2, 3, 4, 5, 6]), `Saved in ${output}, a folder for each task.`].join('\n');
}

/** What training one task gave, `more` that is to be seen, and the command to use it. */
export function render(result: TrainTaskResult, output: string | undefined, next: string, more: readonly string[] = []): string {
  const { name, method, parameters, steps, seconds, metrics, majority } = result;
  const lines = Object.entries(metrics).map(([split, values]) => {
    const scores = Object.entries(values).map(([metric, value]) => `${metric} ${value.toFixed(4)}`);
    return `  ${split.padEnd(10)} ${scores.join(', ')}`;
  });
  return [
    `${name}: ${method}, ${parameters.toLocaleString('en')} trained parameters, ${steps === 0 ? 'solved' : `${steps} steps`} in ${duration(seconds)}`,
    ...lines,
    ...(majority === undefined ? [] : [`  the most frequent answer alone scores ${majority.toFixed(4)} accuracy`]),
    ...more,
    output === undefined ? 'Nothing was saved: give --output FOLDER to keep it.' : `Saved in ${output}. Next: ${next}`,
  ].join('\n');
}

/** The flags that name a saved result to the commands that answer with it; a trained encoder is a model by itself. */
export function resultFlags(output: string | undefined, model: string | undefined, trainsEncoder = false): string {
  if (trainsEncoder) return `--model ${output}`;
  return `${model === undefined ? '' : `--model ${model} `}--adapter ${output}`;
}

/** Says before a long run, not only after it, that it will leave nothing behind. */
export function noteUnsaved({ json, stderr }: CommandContext, output: string | undefined): void {
  if (output === undefined && !json) stderr('A trial: nothing will be saved. --output FOLDER keeps the result.');
}
