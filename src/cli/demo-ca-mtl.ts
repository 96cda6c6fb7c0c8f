import type { Engine } from '../session/session.ts';
import type { Task } from '../tasks/index.ts';
import { multiTaskMethod, multiTaskSettings, runMultiTask } from '../train/index.ts';
import type { CommandContext } from './command.ts';
import type { DemoResult } from './demo-report.ts';
import { CA_MTL, DEMO } from './demo-settings.ts';
import { duration, trainingProgress } from './progress.ts';
import { alignColumns } from './table.ts';

export interface CaMtlComparison {
  readonly method: string;
  /** Passes over the training rows. */
  readonly epochs: { readonly adapters: number; readonly caMtl: number };
  /** Test scores by the metric that decides. */
  readonly tasks: readonly { readonly task: string; readonly metric: string; readonly adapter: number; readonly caMtl: number }[];
  /** All numbers of encoder, modules and heads against those of the encoder. */
  readonly size: { readonly adapters: number; readonly caMtl: number };
  readonly seconds: number;
}

export interface CaMtlRun {
  readonly engine: Engine;
  /** Folder of the encoder. */
  readonly model: string;
  readonly epochs?: number | undefined;
  readonly limit?: number | undefined;
  readonly seed: number;
}

/** One CA-MTL model of all tasks, beside the adapters that were trained for each. */
export async function compareCaMtl(
  context: CommandContext,
  { engine, model, epochs: asked, limit, seed }: CaMtlRun,
  tasks: readonly Task[],
  adapters: readonly DemoResult[],
): Promise<CaMtlComparison> {
  const progress = trainingProgress(context, undefined);
  const { method, learningRate } = CA_MTL;
  const epochs = asked ?? CA_MTL.epochs;
  try {
    const result = await runMultiTask({
      files: context.files,
      engine,
      model,
      tasks,
      method: multiTaskMethod(method),
      // One evaluation, at the end: nothing is chosen by it.
      settings: multiTaskSettings.parse({ epochs, learningRate, seed, evalEvery: Number.MAX_SAFE_INTEGER }),
      ...(limit !== undefined && { limit: { train: limit, validation: limit } }),
      ...(context.isTTY && { onEvent: (event) => void (event.type === 'step' && progress.onEvent(event)) }),
      signal: context.signal,
    });
    const { encoderParameters: encoder } = result;
    const added = adapters.reduce((sum, { trained }) => sum + trained, 0);
    return {
      method,
      epochs: { adapters: asked ?? DEMO.epochs, caMtl: epochs },
      tasks: result.tasks.map(({ task, metric, metrics }) => ({
        task,
        metric,
        adapter: adapters.find((one) => one.task === task)?.score as number,
        caMtl: metrics.test?.[metric] as number,
      })),
      size: { adapters: (encoder + added) / encoder, caMtl: result.size / encoder },
      seconds: result.seconds,
    };
  } finally {
    progress.stop();
  }
}

export function caMtlLines({ epochs, tasks, size, seconds }: CaMtlComparison): string {
  const mean = (which: 'adapter' | 'caMtl') => tasks.reduce((sum, one) => sum + one[which], 0) / tasks.length;
  const rows = [
    ['task', 'metric', 'adapters', 'CA-MTL'],
    ...tasks.map(({ task, metric, adapter, caMtl }) => [task, metric, adapter.toFixed(3), caMtl.toFixed(3)]),
    ['mean', '', mean('adapter').toFixed(3), mean('caMtl').toFixed(3)],
    ['size', '× encoder', size.adapters.toFixed(2), size.caMtl.toFixed(2)],
  ];
  return [
    `CA-MTL: one model for all ${tasks.length} tasks (${epochs.caMtl} passes over their rows, ${duration(seconds)}), beside an adapter for each (${epochs.adapters} passes)`,
    ...alignColumns(rows, [2, 3]).map((line) => `  ${line}`),
  ].join('\n');
}
