import { z } from 'zod';
import { AutoAdapterModel, type SummaryRow } from '../train/index.ts';
import { encoderFolder, isNews } from './assets.ts';
import { defineCommand } from './command.ts';
import { methodOf } from './method-option.ts';
import { alignColumns, grouped } from './table.ts';

const schema = z.object({
  model: z.string().optional().meta({ value: 'folder', description: 'encoder (default: the embedded seedling)' }),
  adapter: z.array(z.string()).default([]).meta({ value: 'folder', description: 'a saved adapter to count; may be repeated' }),
  method: z.array(z.string()).default([]).meta({ value: 'method', description: 'a method to count as if it were added; may be repeated' }),
});

export const command = defineCommand({
  name: 'summary',
  summary: 'count the parameters of an encoder and of adapters on it',
  schema,
  async run(context, options) {
    const model = await AutoAdapterModel.fromPretrained(await encoderFolder(context.files, options.model), { files: context.files });
    for (const folder of options.adapter) await model.loadAdapter(folder);
    const methods = options.method.map(methodOf);
    if (methods.some(({ method }) => method.architecture === undefined && !method.trainsEncoder))
      context.stderr('note: The head is not counted: its size depends on the task.');
    for (const note of model.notes.filter((text) => isNews(text, options.model))) context.stderr(`note: ${note}`);
    const rows = model.adapterSummary(methods);
    context.stdout(context.json ? JSON.stringify(rows) : render(rows));
  },
});

function render(rows: readonly SummaryRow[]): string {
  const yesNo = (value: boolean) => (value ? 'yes' : 'no');
  const header = ['name', 'architecture', 'parameters', '% of encoder', 'active', 'train'];
  const cells = rows.map((row) => [
    row.name,
    row.architecture,
    grouped(row.parameters),
    row.percent.toFixed(3),
    yesNo(row.active),
    yesNo(row.train),
  ]);
  return alignColumns([header, ...cells], [2, 3]).join('\n');
}
