import { joinPath } from '../base/index.ts';
import type { MultiTaskMethod, MultiTaskSummary } from '../train/index.ts';
import { caMtlLines } from './ca-mtl-report.ts';
import { duration } from './progress.ts';
import { alignColumns, grouped } from './table.ts';
import { resultFlags } from './train-report.ts';

/** A line for each task, what sampling chose, and the command to use the model. */
export function renderMultiTask(
  { parameters, encoderParameters, size, steps, seconds, tasks, sampling, best, report }: MultiTaskSummary,
  method: MultiTaskMethod,
  { output, model }: { output?: string | undefined; model?: string | undefined },
): string {
  const score = (value: number | undefined) => (value === undefined ? '–' : value.toFixed(4));
  const rows = tasks.map(({ name, rows, metric, metrics, majority, best: bestOfTask }) => [
    name,
    grouped(rows),
    metric,
    score(metrics.validation?.[metric]),
    score(metrics.test?.[metric]),
    score(majority),
    score(bestOfTask?.metric),
    bestOfTask === undefined ? '–' : String(bestOfTask.step),
  ]);
  const header = ['task', 'rows', 'metric', 'validation', 'test', 'most frequent answer', 'best', 'at step'];
  const times = (size / encoderParameters).toFixed(3);
  const place = resultFlags(output, model, method.trainsEncoder);
  const chosen = sampling && Object.values(sampling.chosen).reduce((a, b) => a + b, 0);
  return [
    `${method.text}: ${grouped(parameters)} trained parameters, ${times} × the encoder's in all, ${steps} steps in ${duration(seconds)}${best ? `, weights of step ${best.step}` : ''}`,
    ...alignColumns([header, ...rows], [1, 3, 4, 5, 6, 7]),
    ...(report ? ['', ...caMtlLines(report, tasks.length), ''] : []),
    ...(sampling
      ? [
          `Scoring took ${(100 * sampling.shareOfTime).toFixed(1)} % of the time. Chosen: ${Object.entries(sampling.chosen)
            .map(([name, count]) => `${name} ${((100 * count) / Math.max(1, chosen ?? 1)).toFixed(1)} %`)
            .join(', ')}.`,
          ...usedLines(tasks, sampling),
          ...(output === undefined ? [] : [`Drawn over the run in ${joinPath(output, 'sampling.svg')} and .png.`]),
        ]
      : []),
    ...(tasks.some(({ leftOut }) => leftOut > 0)
      ? [
          `Left out of training: ${tasks
            .filter(({ leftOut }) => leftOut > 0)
            .map(({ name, leftOut }) => `${name} ${grouped(leftOut)}`)
            .join(', ')}.`,
        ]
      : []),
    ...hints(tasks, sampling?.chosen),
    ...tasks.flatMap(({ name, begins }) => (begins ? [`${name} began as ${begins.as}.`] : [])),
    output === undefined
      ? 'Nothing was saved: give --output FOLDER to keep it.'
      : `Saved in ${output}. Next: multigraft predict ${place} --input rows.jsonl, each row with its "task"`,
  ].join('\n');
}

/** What to try where a task has learnt nothing, or hardly had rows. */
function hints(tasks: MultiTaskSummary['tasks'], chosen: Readonly<Record<string, number>> | undefined): string[] {
  const failed = tasks.filter(({ metric, metrics, majority = 0 }) => ((metrics.test ?? metrics.validation)?.[metric] ?? 1) <= majority);
  const all = Object.values(chosen ?? {}).reduce((a, b) => a + b, 0);
  const starved = tasks.filter(({ name }) => chosen && (chosen[name] ?? 0) * STARVED * tasks.length < all);
  const names = (some: typeof tasks) => some.map(({ name }) => name).join(', ');
  return [
    ...(failed.length > 0
      ? [`No better than the most frequent answer: ${names(failed)}. A higher --learning-rate, or more --epochs, may help.`]
      : []),
    ...(starved.length > 0 ? [`Hardly any rows were of ${names(starved)}: --no-task-factor or another --sampler gives more.`] : []),
  ];
}

/** A task has hardly any rows when it has less than this part of an equal share. */
const STARVED = 5;

/** How much of the data trained at all, and which rows most often. */
function usedLines(tasks: MultiTaskSummary['tasks'], { overTime }: NonNullable<MultiTaskSummary['sampling']>): string[] {
  if (!overTime) return [];
  const all = tasks.reduce((sum, { rows }) => sum + rows, 0);
  const used = Object.values(overTime.rows).reduce((sum, { distinct }) => sum + distinct, 0);
  const often = Object.entries(overTime.rows).flatMap(([name, { mostOften }]) =>
    mostOften.flatMap(({ row, times }) => (times > 1 ? [{ name, row, times }] : [])),
  );
  const sorted = often.toSorted((a, b) => b.times - a.times);
  // Where more than can be shown are alike, none stands out.
  const top = sorted[0]?.times === sorted[SHOWN]?.times ? [] : sorted.slice(0, SHOWN);
  return [
    `Of ${grouped(all)} rows ${grouped(used)} trained, ${((100 * used) / all).toFixed(0)} %.${
      top.length > 0 ? ` Most often: ${top.map(({ name, row, times }) => `${name} ${row} (${times} times)`).join(', ')}.` : ''
    }`,
  ];
}

const SHOWN = 5;
