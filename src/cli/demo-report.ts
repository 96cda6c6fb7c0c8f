import type { AutoAdapterModel, SummaryRow } from '../auto-adapter-model/index.ts';
import { joinPath } from '../base/index.ts';
import type { Task } from '../tasks/index.ts';
import { shownAnswer } from './demo-rows.ts';
import { duration } from './progress.ts';
import { alignColumns, grouped } from './table.ts';

/** What was given of the command's flags that name folders. */
interface DemoPlaces {
  readonly output?: string | undefined;
  readonly model?: string | undefined;
}

export interface DemoResult {
  readonly task: string;
  readonly metric: string;
  readonly rows: number;
  readonly majority: number | undefined;
  /** Logistic or ridge regression on TF-IDF features, from the card of the task. */
  readonly tfidf: number | undefined;
  readonly score: number;
  readonly trained: number;
  readonly seconds: number;
  readonly answers: readonly { readonly row: Readonly<Record<string, unknown>>; readonly prediction: unknown }[];
}

export function opening(model: AutoAdapterModel, tasks: readonly Task[]): string {
  const { parameters } = model.adapterSummary().at(-1) as SummaryRow;
  return `One frozen encoder, ${model.encoder.name} with ${grouped(parameters)} parameters, and ${tasks.length} small tasks: an adapter and a head are trained for each.\n`;
}

export function progressLine({ task, metric, majority, score, seconds }: DemoResult, i: number, of: number, { card }: Task): string {
  const floor = majority === undefined ? '' : ` (most frequent answer ${majority.toFixed(3)})`;
  return `${i}/${of}  ${task.padEnd(16)} ${`${metric} ${score.toFixed(3)}${floor}`.padEnd(45)} in ${duration(seconds).padEnd(12)} ${typeof card.description === 'string' ? card.description : ''}`.trimEnd();
}

export function closing(results: readonly DemoResult[], seconds: number, { output, model }: DemoPlaces): string {
  const on = model === undefined ? '' : ` --model ${model}`;
  const score = (value: number | undefined) => (value === undefined ? '–' : value.toFixed(3));
  const header = ['task', 'metric', 'majority', 'TF-IDF', 'adapter', 'trained parameters', 'seconds'];
  const cells = results.map((one) => [
    one.task,
    one.metric,
    score(one.majority),
    score(one.tfidf),
    score(one.score),
    grouped(one.trained),
    one.seconds.toFixed(0),
  ]);
  const judged = results.filter(({ tfidf }) => tfidf !== undefined);
  const above = judged.filter(({ tfidf, score: own }) => own > (tfidf as number)).length;
  const answers = results.flatMap(({ task, answers: answered }) => [
    `  ${task}`,
    ...answered.map(({ row, prediction }) => `    ${shownAnswer(row, prediction)}`),
  ]);
  return [
    '\nScores on test rows (majority: the most frequent answer; TF-IDF: a tuned linear model on words and word pairs)',
    ...alignColumns([header, ...cells], [2, 3, 4, 5, 6]).map((line) => `  ${line}`),
    `  The adapter is above the TF-IDF model on ${above} of the ${judged.length} tasks that have one. ${duration(seconds)} in all.`,
    '\nAsked something new',
    ...answers,
    '\nNext',
    ...(output === undefined
      ? [`  multigraft demo${on} --output my-adapters  keep the adapters`]
      : [`  multigraft predict${on} --adapter ${joinPath(output, results[0]?.task ?? '')} "The lamp I ordered is broken."`]),
    `  multigraft train${on} --task FOLDER --output my-adapter  your own task`,
    ...(model === undefined
      ? ['  multigraft train --model ENCODER --task FOLDER --output my-adapter  a larger encoder, from a Hugging Face folder']
      : []),
  ].join('\n');
}
