import { z } from 'zod';
import type { Pruning } from '../auto-adapter-model/index.ts';
import { fail, joinPath } from '../base/index.ts';
import { lastOf } from '../methods/index.ts';
import { loadTask } from '../tasks/index.ts';
import { modelShape, openModel } from './attach.ts';
import { defineCommand } from './command.ts';
import { countProgress } from './count-progress.ts';
import { alignColumns } from './table.ts';
import { taskOptions, taskShape } from './task-options.ts';

const schema = z.object({
  ...modelShape,
  task: z.string().meta({ value: 'path', description: 'task folder with card.json: its validation rows are the judges' }),
  tolerance: z.number().min(0).default(0.005).meta({ description: "how much of the task's metric may be lost; 0.005 is half a point" }),
  output: z.string().optional().meta({ value: 'folder', description: 'where the smaller fusion goes, with its adapters and head' }),
  limit: z.number().int().positive().optional().meta({ description: 'judge by at most this many rows' }),
  ...taskShape,
});

export const command = defineCommand({
  name: 'prune',
  summary: 'leave out the adapters of a fusion that matter least, and say what each is worth',
  schema,
  async run(context, options) {
    const { files } = context;
    const { output, tolerance, limit, maxLength } = options;
    if (output !== undefined && (await files.kind(output)) !== 'none')
      fail({ code: 'usage.value', subject: '--output', found: `${output}, which exists`, expected: 'a new folder' });
    const task = await loadTask(files, options.task, taskOptions(options));
    const model = await openModel(context, options);
    const progress = await countProgress(context, 'evaluations');
    const pruning = await model.pruneAdapterFusion(task, {
      tolerance,
      onProgress: progress.onProgress,
      ...(limit !== undefined && { limit }),
      ...(maxLength !== undefined && { maxLength }),
    });
    progress.stop();
    await model.release();
    if (output !== undefined) {
      await model.saveAdapterSetup(output);
      await files.write(joinPath(output, 'pruning.json'), `${JSON.stringify(pruning, null, 1)}\n`);
    }
    context.stdout(context.json ? JSON.stringify(pruning) : render(pruning, output));
  },
});

function render({ metric, rows, full, adapters, dropped, kept, score }: Pruning, output: string | undefined): string {
  const names = kept.children.map(lastOf);
  const change = (value: number) => `${value >= full ? '+' : '−'}${Math.abs(value - full).toFixed(4)}`;
  const order = adapters.toSorted((a, b) => b.attention - a.attention);
  const table = order.map(({ name, attention, without }) => [
    name,
    `${(100 * attention).toFixed(1)} %`,
    Number.isNaN(without) ? '–' : without.toFixed(4),
    Number.isNaN(without) ? '–' : change(without),
    names.includes(name) ? 'kept' : `dropped, ${dropped.findIndex((one) => one.name === name) + 1}`,
  ]);
  return [
    `All ${adapters.length} adapters: ${metric} ${full.toFixed(4)} on ${rows} rows.`,
    ...alignColumns([['adapter', 'attention', `${metric} without it`, 'change', ''], ...table], [1, 2, 3]),
    dropped.length === 0
      ? 'Nothing can be left out within the tolerance.'
      : `${names.length} ${names.length === 1 ? 'adapter' : 'adapters'}: ${metric} ${score.toFixed(4)} (${change(score)}).`,
    output === undefined ? 'Nothing was saved: give --output FOLDER to keep the smaller fusion.' : `Saved in ${output}.`,
  ].join('\n');
}
