import { z } from 'zod';
import { AutoAdapterModel, type SummaryRow } from '../auto-adapter-model/index.ts';
import { fail, joinPath, nearest } from '../base/index.ts';
import { SETUP_CONFIG } from '../checkpoint/index.ts';
import { CA_MTL_PRESETS, type ConfiguredMethod, methodNames, parseComposition } from '../methods/index.ts';
import { maxTokens } from '../model/index.ts';
import { multiTaskMethod } from '../train/index.ts';
import { encoderFolder, isNews } from './assets.ts';
import { openFolder } from './attach.ts';
import { caMtlLines } from './ca-mtl-report.ts';
import { defineCommand } from './command.ts';
import { methodOf, usageOf } from './method-option.ts';
import { alignColumns, grouped } from './table.ts';

const schema = z.object({
  model: z.string().optional().meta({ value: 'folder', description: 'encoder (default: the embedded seedling)' }),
  adapter: z.array(z.string()).default([]).meta({ value: 'folder', description: 'a saved adapter or setup to count; may be repeated' }),
  fusion: z
    .array(z.string())
    .default([])
    .meta({ value: 'folder', description: 'a saved fusion of adapters that are given beside it; may be repeated' }),
  setup: z.string().optional().meta({
    value: 'setup',
    description: 'which of them are active, "Stack(language, task)" by their names, or the folder of a saved setup (default: the last)',
  }),
  method: z
    .array(z.string())
    .default([])
    .meta({ value: 'method', description: 'a method to count as if it were added, or ca_mtl_…; may be repeated' }),
  tasks: z.number().int().positive().optional().meta({ description: 'with ca_mtl_…: how many tasks share the encoder (default: 8)' }),
});

export const command = defineCommand({
  name: 'summary',
  summary: 'count the parameters of an encoder and of adapters on it',
  schema,
  async run(context, options) {
    const conditional = options.method.filter(isCaMtl);
    if (options.tasks !== undefined && conditional.length === 0)
      fail({
        code: 'usage.flag',
        subject: '--tasks',
        found: 'it without a method of CA-MTL',
        expected: '--method ca_mtl_base, …_large or …_compact',
      });
    const { tasks = 8 } = options;
    const model = await AutoAdapterModel.fromPretrained(await encoderFolder(context.files, options.model), { files: context.files });
    for (const folder of options.adapter) await openFolder(context, model, folder);
    for (const folder of options.fusion) await model.loadAdapterFusion(folder);
    if (options.setup !== undefined)
      if ((await context.files.kind(joinPath(options.setup, SETUP_CONFIG))) === 'file') await model.loadAdapterSetup(options.setup);
      else model.setActiveAdapters(parseComposition(options.setup));
    const methods = options.method.filter((text) => !isCaMtl(text)).map(countable);
    if (methods.some(({ method }) => method.architecture === undefined && !method.trainsEncoder))
      context.stderr('note: The head is not counted: its size depends on the task.');
    for (const note of model.notes.filter((text) => isNews(text, options.model))) context.stderr(`note: ${note}`);
    const rows = model.adapterSummary(methods);
    const names = Array.from({ length: tasks }, (_, i) => `task${i}`);
    const { encoder } = model;
    const reports = conditional.flatMap((text) => {
      const method = usageOf(() => multiTaskMethod(text));
      const attachment = method.attach(encoder, names, Math.min(TOKENS, maxTokens(encoder)));
      const report = method.report?.({ encoder, attachment, heads: [] });
      return report ? [{ method: text, report }] : [];
    });
    if (context.json) context.stdout(JSON.stringify(reports.length > 0 ? { rows, reports } : rows));
    else {
      const tables = reports.map(({ method, report }) => [
        '',
        `${method} on ${tasks} tasks, without their heads:`,
        ...caMtlLines(report, tasks),
      ]);
      context.stdout([render(rows), ...tables.flat()].join('\n'));
    }
  },
});

/** The longest input where the method does not say: its tables of conditional attention are for so many tokens. */
const TOKENS = 128;

/** @throws usage.value */
function countable(text: string): ConfiguredMethod {
  const name = text.split('[')[0] as string;
  const presets = Object.keys(CA_MTL_PRESETS);
  const near = nearest(name, [...methodNames(), ...presets]);
  if (near === undefined || !presets.includes(near)) return methodOf(text);
  return fail({
    code: 'usage.value',
    subject: '--method',
    found: `'${name}'`,
    expected: `one of ${presets.join(', ')}, or a name that multigraft methods lists`,
    next: `Did you mean '${near}'?`,
  });
}

function isCaMtl(text: string): boolean {
  return Object.keys(CA_MTL_PRESETS).some((preset) => text === preset || text.startsWith(`${preset}[`));
}

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
