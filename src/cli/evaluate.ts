import { z } from 'zod';
import { describe } from '../methods/index.ts';
import { loadTask, SPLITS } from '../tasks/index.ts';
import type { Evaluation } from '../train/index.ts';
import { modelShape, openModel } from './attach.ts';
import { defineCommand } from './command.ts';
import { countProgress, duration } from './progress.ts';
import { taskOptions, taskShape } from './task-options.ts';

const schema = z.object({
  ...modelShape,
  task: z.string().meta({ value: 'path', description: 'task folder with card.json, or one file of labelled rows' }),
  split: z.enum(SPLITS).default('test').describe('which rows of a task folder'),
  limit: z.number().int().positive().optional().meta({ description: 'read at most this many rows' }),
  ...taskShape,
});

export const command = defineCommand({
  name: 'evaluate',
  summary: 'score a trained adapter on a split of a task, beside what the most frequent answer scores',
  schema,
  async run(context, options) {
    const { split, limit, maxLength } = options;
    const task = await loadTask(context.files, options.task, { ...taskOptions(options), split });
    const model = await openModel(context, options);
    const started = performance.now();
    const progress = countProgress(context, 'rows');
    const evaluation = await model.evaluate(task, split, {
      onNote: (text) => context.stderr(`note: ${text}`),
      onProgress: progress.onProgress,
      ...(limit !== undefined && { limit }),
      ...(maxLength !== undefined && { maxLength }),
    });
    progress.stop();
    await model.release();
    const seconds = (performance.now() - started) / 1000;
    const active = model.activeAdapters;
    const name =
      typeof active === 'object' && active.type === 'fuse' ? active.name : active === undefined ? model.activeHead : describe(active);
    const report = { task: task.name, split, adapter: name, metric: task.metric, ...evaluation, seconds };
    context.stdout(context.json ? JSON.stringify(report) : render(`${task.name} (${split}), ${name}`, evaluation, seconds));
  },
});

function render(title: string, { rows, metrics, warnings, majority }: Evaluation, seconds: number): string {
  const entries = Object.entries(metrics);
  const width = Math.max(...entries.map(([name]) => name.length), 'majority answer'.length);
  return [
    `${title}: ${rows} rows in ${duration(seconds)}`,
    ...entries.map(
      ([name, value]) => `  ${name.padEnd(width)}  ${value.toFixed(4)}${warnings[name] ? `  (undefined: ${warnings[name]})` : ''}`,
    ),
    ...(majority
      ? [
          `  ${'majority answer'.padEnd(width)}  ${majority.accuracy.toFixed(4)}  (accuracy of always giving ${JSON.stringify(majority.answer)})`,
        ]
      : []),
  ].join('\n');
}
