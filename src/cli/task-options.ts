import { z } from 'zod';
import { defined } from '../base/index.ts';
import { type Field, type LoadTaskOptions, METRIC_NAMES, TASK_KINDS } from '../tasks/index.ts';

/** The flags that say which columns hold the input. */
export const columnShape = {
  text: z.string().optional().meta({ value: 'column', description: 'column of the text' }),
  textPair: z.string().optional().meta({ value: 'column', description: 'column of the second text' }),
};

/** The flags that describe a task given as one file, or that overrule its card; spread them into a command's schema. */
export const taskShape = {
  kind: z.enum(TASK_KINDS).optional().describe('kind of task, when neither card nor columns tell'),
  ...columnShape,
  label: z.string().optional().meta({ value: 'column', description: 'column of the label' }),
  labels: z.array(z.string()).optional().meta({ commas: true, value: 'a,b,c', description: 'the label set, in the order of the outputs' }),
  metric: z.enum(METRIC_NAMES).optional().describe('metric that decides'),
};

const taskSchema = z.object(taskShape);

/** What `loadTask` wants to know, from the flags of {@link taskShape}. */
export function taskOptions(options: z.output<typeof taskSchema>): LoadTaskOptions {
  const { kind, labels, metric } = options;
  return { columns: columnsOf(options), ...defined({ kind, labels, metric }) };
}

/** The columns that were named. */
export function columnsOf({
  text,
  textPair,
  label,
}: {
  text?: string | undefined;
  textPair?: string | undefined;
  label?: string | undefined;
}): Partial<Record<Field, string>> {
  return defined({ text, textPair, label });
}
