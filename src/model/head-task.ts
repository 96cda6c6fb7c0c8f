import { fail, nearest } from '../base/index.ts';
import type { HeadPackage } from '../checkpoint/index.ts';
import { type Head, labelsOf } from '../objectives/index.ts';
import { metricsFor } from '../tasks/card.ts';
import { checkPredictionRow, type MetricName, type Place, type PredictionRow, type Task } from '../tasks/index.ts';

/** The task that a head stands for, by what its configuration says; it has no files. */
export function taskOfHead(head: Head): Task {
  const { task: kind, labelled } = head.kind;
  const labels = labelled ? labelsOf(head) : [];
  const metrics = metricsFor(kind, labels);
  return { name: head.name, kind, labels, metric: metrics[0] as MetricName, metrics, columns: {}, files: {}, card: {} };
}

/**
 * A head whose outputs all have a name: those that Python saved none for are called by their index.
 * @throws head.config for names beyond the outputs, or two of one name
 */
export function withLabels<H extends Head | HeadPackage>(head: H): H {
  const { config, kind } = head;
  if (!kind.labelled) return head;
  const count = kind.outputs(config);
  const known = new Map(Object.entries(config.label2id ?? {}).map(([label, id]) => [id, label]));
  const names = Array.from({ length: count }, (_, id) => known.get(id) ?? `${id}`);
  if ([...known.keys()].some((id) => id >= count) || new Set(names).size < count)
    fail({
      code: 'head.config',
      subject: `head '${head.name}': key 'label2id'`,
      found: `${known.size} names`,
      expected: `one name for each of the ${count} outputs`,
      next: 'The head was saved with a wrong label map: correct head_config.json.',
    });
  return known.size === count
    ? head
    : { ...head, config: { ...config, label2id: Object.fromEntries(names.map((name, id) => [name, id])) } };
}

/**
 * The task to judge a head by: its labels stay in their own order unless the head has more of them.
 * @throws task.card for another kind, task.label for labels that the head does not have
 */
export function taskForHead(task: Task, head: Head): Task {
  const headTask = taskOfHead(head);
  if (head.kind.unjudged)
    fail({
      code: 'task.card',
      subject: `task ${task.name}`,
      found: `the head '${head.name}' of type ${head.kind.type}`,
      expected: 'a head that is held against the labels of rows',
      next: 'Give another head.',
    });
  if (headTask.kind !== task.kind)
    fail({
      code: 'task.card',
      subject: `task ${task.name}`,
      found: `the kind ${task.kind}`,
      expected: `${headTask.kind}, which the head '${head.name}' answers`,
      next: 'Give the task that the head was trained for.',
    });
  const unknown = task.labels.filter((label) => !headTask.labels.includes(label));
  if (unknown.length > 0)
    fail({
      code: 'task.label',
      subject: `task ${task.name}`,
      found: `the labels ${shortList(unknown)}`,
      expected: `labels of the head '${head.name}': ${shortList(headTask.labels)}`,
      next: 'Give the task that the head was trained for.',
    });
  return task.labels.length === headTask.labels.length ? task : { ...task, labels: headTask.labels };
}

/** What takes the rows of a prediction. */
interface Answering {
  readonly task: Task;
  readonly head: Head;
  readonly adapter: string | undefined;
  readonly vocabulary: number;
  /** Tokens per sequence. */
  readonly tokens: number;
}

/** Rows as a head can answer them, each named by its place in messages. @throws task.row, text.too-long, adapter.missing */
export function answerableRows(
  rows: readonly Readonly<Record<string, unknown>>[],
  { task, head, adapter = '__base__', ...limits }: Answering,
  place: (index: number) => Place,
): PredictionRow[] {
  return rows.map((row, i) => {
    const where = place(i);
    checkColumns(row, task, head, where);
    const typed = checkPredictionRow(task, row, where);
    checkForHead(typed, head, limits, where);
    if (typed.adapter !== undefined && typed.adapter !== adapter)
      fail({
        code: 'adapter.missing',
        subject: `${where.file}:${where.line}, column "adapter"`,
        found: `'${typed.adapter}'`,
        expected: `'${adapter}', the active one`,
        next: 'Give adapterNames, or --adapter for each of them: then rows are answered by the adapters that they name.',
      });
    return typed;
  });
}

/** Whether a row has the columns that the head's kind of task reads. @throws task.row */
function checkColumns(row: Readonly<Record<string, unknown>>, task: Task, { kind }: Head, { file, line }: Place): void {
  const needed = kind.columns(row).map((field) => task.columns[field] ?? field);
  const missing = needed.find((column) => row[column] === undefined);
  if (missing === undefined) return;
  const names = Object.keys(row);
  const near = nearest(missing, names);
  fail({
    code: 'task.row',
    subject: `${file}:${line}, column "${missing}"`,
    found: `no such column (there are ${names.map((name) => `"${name}"`).join(', ') || 'none'})`,
    expected: `${needed.map((column) => `"${column}"`).join(' and ')}: the head '${task.name}' answers rows of ${task.kind}`,
    next: near === undefined ? 'Correct the row, or name its columns.' : `Did you mean "${near}"?`,
  });
}

/** Checks that a row can go through an encoder and head. @throws task.row, text.too-long, naming the row */
function checkForHead(
  row: PredictionRow,
  head: Head,
  { vocabulary, tokens }: { readonly vocabulary: number; readonly tokens: number },
  { file, line }: Place,
): void {
  const subject = `${file}:${line}`;
  const choices = head.kind.sequences?.(head.config);
  if ('choices' in row && row.choices.length !== choices)
    fail({
      code: 'task.row',
      subject: `${subject}, column "choices"`,
      found: `${row.choices.length} choices`,
      expected: `${choices}, as the head '${head.name}' was trained with`,
    });
  const ids = ('inputIds' in row ? row.inputIds : undefined) ?? [];
  const outside = ids.find((id) => id >= vocabulary);
  if (outside !== undefined)
    fail({
      code: 'task.row',
      subject: `${subject}, column "inputIds"`,
      found: `the id ${outside}`,
      expected: `0 to ${vocabulary - 1}, the vocabulary of the encoder`,
    });
  if (ids.length > tokens)
    fail({
      code: 'text.too-long',
      subject: `${subject}, column "inputIds"`,
      found: `${ids.length} ids`,
      expected: `at most ${tokens}`,
      next: 'Shorten the row, or raise --max-length where the encoder allows it: given ids are never cut.',
    });
}

export function shortList(names: readonly string[]): string {
  return names.slice(0, 12).join(', ') + (names.length > 12 ? `, and ${names.length - 12} more` : '');
}

/** Whether a row has a text, and no second one to it. */
export function isUnpaired(row: PredictionRow): boolean {
  return 'text' in row && !('choices' in row) && row.textPair === undefined;
}
