import { z } from 'zod';
import type { AutoAdapterModel } from '../auto-adapter-model/index.ts';
import { fail } from '../base/index.ts';
import { asName } from '../checkpoint/index.ts';
import { describe, fusionsOf } from '../methods/index.ts';
import { kindForTask } from '../objectives/index.ts';
import { type Answer, answerTasks, idOfTask, namesTask, type Observations, rowInWords } from '../predict/index.ts';
import { type Field, loadTask, type Task } from '../tasks/index.ts';
import type { SavedMultiTask } from '../train/index.ts';
import { answerByRow } from './adapters-by-row.ts';
import { modelShape, openModel, openMultiTask } from './attach.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { countProgress } from './count-progress.ts';
import { checkOutput, type InputRow, readRows, sourceOf } from './input-rows.ts';
import { columnShape, columnsOf } from './task-options.ts';
import { engineOf } from './training-options.ts';

const schema = z.object({
  texts: z.array(z.string()).default([]).meta({ value: 'text', description: 'texts to answer, each a row' }),
  ...modelShape,
  input: z
    .string()
    .optional()
    .meta({ value: 'file', description: 'rows: .jsonl, .csv, .tsv or .parquet; - reads JSON lines from standard input' }),
  output: z.string().default('-').meta({
    value: 'file',
    description: 'one JSON object a line, in the order of the rows; a file is replaced; - writes to standard output',
  }),
  scores: z.boolean().default(false).meta({ description: 'also give what the head computed ("logits"; "spans" for questions)' }),
  explain: z.boolean().default(false).meta({ description: 'also give how much a fusion listens to each adapter ("attention")' }),
  task: z.string().optional().meta({
    value: 'path',
    description: 'task whose card says which columns hold what; to a model of several tasks, that of rows that name none',
  }),
  ...columnShape,
});

export const command = defineCommand({
  name: 'predict',
  summary: 'answer rows with a trained adapter, or a model of several tasks: one line out for each row in',
  arguments: ['texts'],
  schema,
  async run(context, options) {
    const output = options.output === '/dev/stdout' ? '-' : options.output;
    if (output !== '-') await checkOutput(context, options);
    const task = options.task === undefined ? undefined : await loadTask(context.files, options.task);
    const columns: Partial<Record<Field, string>> = { ...task?.columns, ...columnsOf(options) };
    const rows = await readRows(context, { ...options, text: columns.text });
    const started = performance.now();
    const progress = await countProgress(context, 'rows');
    const how = {
      columns,
      place: (i: number) => ({ file: sourceOf(options), line: rows[i]?.line ?? i + 1 }),
      onNote: (text: string) => context.stderr(`note: ${text}`),
      onProgress: progress.onProgress,
      ...(options.maxLength !== undefined && { maxLength: options.maxLength }),
    };
    const several = await openMultiTask(context, options);
    const answers = several ? await answersOfTasks(context, several) : await answersOfAdapters();
    progress.stop();
    // Where several answer each row, its lines stand together.
    const each = answers.length / Math.max(1, rows.length);
    const lines = answers.map((answer, i) => JSON.stringify(lineOf(answer, rows[Math.floor(i / each)]?.value.id, options.scores)));
    if (output === '-') return lines.length > 0 ? context.stdout(lines.join('\n')) : undefined;
    await context.files.write(output, lines.map((line) => `${line}\n`).join(''));
    const seconds = (performance.now() - started) / 1000;
    const report = { rows: rows.length, output, seconds };
    context.stdout(context.json ? JSON.stringify(report) : `${rows.length} rows answered in ${seconds.toFixed(1)} s, in ${output}`);

    async function answersOfTasks({ files }: CommandContext, saved: SavedMultiTask): Promise<Answer[]> {
      if (options.explain) refuseExplain('a model of several tasks');
      if (task) idOfTask(task, saved.heads);
      const engine = await engineOf(options);
      // What the card says is of its own task; what flags say is of all.
      const addressed = rows.map(({ value }) => (task && !namesTask(value) ? { ...value, task: task.name } : value));
      const ofTask = addressed.map((row) => task !== undefined && asName(String(row.task)) === asName(task.name));
      return answerTasks(saved, addressed, { ...how, columns: (i) => (ofTask[i] ? columns : columnsOf(options)), files, engine });
    }

    async function answersOfAdapters(): Promise<Answer[]> {
      if (options.adapter.length > 1 && options.setup === undefined && options.fusion.length === 0) {
        if (options.explain) refuseExplain('several adapters');
        return answerByRow(context, options, rows, how);
      }
      const model = await openModel(context, options);
      if (options.explain) checkExplainable(model);
      const several = Array.isArray(model.activeHead);
      const given = several ? rows.map(({ value }) => value) : fitted(context, rows, columns, model.task);
      const answers = await model.predict(given, { ...how, explain: options.explain });
      await model.release();
      return answers;
    }
  },
});

/** The rows as the model wants them; notes tell what was made of them. */
function fitted(
  { stderr }: CommandContext,
  rows: readonly InputRow[],
  columns: Partial<Record<Field, string>>,
  { kind }: Task,
): Readonly<Record<string, unknown>>[] {
  const inWords = rows.map(({ value }) => rowInWords(value, kindForTask(kind), columns));
  if (inWords.some((row) => row !== undefined))
    stderr('note: Texts were split at white space: the head answers one word at a time. Give "tokens" to split them yourself.');
  return rows.map(({ value }, i) => inWords[i] ?? value);
}

/** `id` is the row's own, so that answers can be joined with what was asked. */
function lineOf({ prediction, logits, spans, observed, adapter, head }: Answer, id: unknown, scores: boolean): Record<string, unknown> {
  return {
    ...((typeof id === 'string' || typeof id === 'number') && { id }),
    ...(adapter !== undefined && { adapter }),
    ...(head !== undefined && { head }),
    prediction,
    ...(scores && logits && { logits }),
    ...(scores && spans && { spans }),
    ...(observed && { attention: shares(observed) }),
  };
}

/** The mean over layers first, then each layer by itself; shares to three digits. */
function shares(observed: Observations): Record<string, Record<string, number>> {
  const rounded = (columns: Readonly<Record<string, number>>) =>
    Object.fromEntries(Object.entries(columns).map(([adapter, share]) => [adapter, Math.round(share * 1000) / 1000]));
  const sites = Object.values(observed);
  const adapters = [...new Set(sites.flatMap(Object.keys))];
  const mean = (adapter: string) => sites.reduce((sum, columns) => sum + (columns[adapter] ?? 0), 0) / sites.length;
  return {
    mean: rounded(Object.fromEntries(adapters.map((adapter) => [adapter, mean(adapter)]))),
    ...Object.fromEntries(Object.entries(observed).map(([site, columns]) => [site.slice(site.lastIndexOf('/') + 1), rounded(columns)])),
  };
}

/** @throws usage.value */
function checkExplainable({ activeAdapters: active }: AutoAdapterModel): void {
  if (active === undefined || fusionsOf(active).length === 0)
    refuseExplain(active === undefined ? 'no adapter' : `the adapter ${describe(active)} alone`);
}

function refuseExplain(found: string): never {
  return fail({
    code: 'usage.value',
    subject: '--explain',
    found,
    expected: 'a fusion, whose attention can be shown',
    next: 'Give --adapter the folder that multigraft fuse made.',
  });
}
