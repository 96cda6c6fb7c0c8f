import { z } from 'zod';
import { type Field, type LoadTaskOptions, METRIC_NAMES, TASK_KINDS } from '../tasks/index.ts';

/** The flags that describe a task given as one file, or that overrule its card; spread them into a command's schema. */
export const taskShape = {
  kind: z.enum(TASK_KINDS).optional().describe('kind of task, when neither card nor columns tell'),
  text: z.string().optional().meta({ value: 'column', description: 'column of the text' }),
  textPair: z.string().optional().meta({ value: 'column', description: 'column of the second text' }),
  label: z.string().optional().meta({ value: 'column', description: 'column of the label' }),
  labels: z.array(z.string()).optional().meta({ commas: true, value: 'a,b,c', description: 'the label set, in the order of the outputs' }),
  metric: z.enum(METRIC_NAMES).optional().describe('metric that decides'),
};

const taskSchema = z.object(taskShape);

/** What `loadTask` wants to know, from the flags of {@link taskShape}. */
export function taskOptions(options: z.output<typeof taskSchema>): LoadTaskOptions {
  const { kind, labels, metric, text, textPair, label } = options;
  const given = Object.entries({ text, textPair, label }).filter(([, column]) => column !== undefined);
  const columns = Object.fromEntries(given) as Partial<Record<Field, string>>;
  return { columns, ...(kind && { kind }), ...(labels && { labels }), ...(metric && { metric }) };
}
