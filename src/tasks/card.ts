import { z } from 'zod';
import { expectationIn, type Files, fail, nearest, readText } from '../base/index.ts';
import { FIELDS, METRIC_NAMES, type MetricName, TASK_KINDS, type TaskKind } from './types.ts';

const scalarLabel = z.union([z.string(), z.number(), z.boolean()]).transform(String);

const cardSchema = z.looseObject({
  name: z.string().min(1),
  kind: z.enum(TASK_KINDS),
  labels: z.array(scalarLabel).nullish(),
  metric: z.string().optional(),
  metrics: z.array(z.string()).min(1).optional(),
  suggestedMetric: z.string().optional(),
  columns: z.partialRecord(z.enum(FIELDS), z.string().min(1)).optional(),
});

export type Card = z.infer<typeof cardSchema>;

/** Reads and checks a card.json; fields it does not know are kept. Throws `task.card` with the name of the wrong field. */
export async function readCard(files: Files, path: string): Promise<Card> {
  let value: unknown;
  try {
    value = JSON.parse(await readText(files, path));
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    return fail({ code: 'task.card', subject: path, found: `text that is not JSON (${cause.message})`, expected: 'a JSON object', cause });
  }
  const result = cardSchema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0] as z.core.$ZodIssue;
  const field = issue.path.join('.');
  const held = issue.path.reduce<unknown>((inner, key) => (inner as Record<PropertyKey, unknown> | null | undefined)?.[key], value);
  const near = issue.path.length === 1 && held === undefined ? nearest(field, Object.keys(value as object)) : undefined;
  const kind = field === 'kind' && typeof held === 'string' ? nearest(held, TASK_KINDS) : undefined;
  const guess = near ?? kind;
  return fail({
    code: 'task.card',
    subject: field === '' ? path : `${path}, field "${field}"`,
    found: held === undefined ? 'nothing' : (JSON.stringify(held)?.slice(0, 80) ?? 'nothing'),
    expected: field === 'kind' ? `one of ${TASK_KINDS.join(', ')}` : field === '' ? 'a JSON object' : expectationIn(issue.message),
    next: guess === undefined ? 'Correct the card.' : `Did you mean "${guess}"?`,
  });
}

/** The label set of a kind, checked. Throws `task.card`. */
export function checkLabels(kind: TaskKind, labels: readonly string[], subject: string): readonly string[] {
  const needed = LABELS_NEEDED[kind];
  if (needed === 0 && labels.length > 0)
    fail({
      code: 'task.card',
      subject,
      found: `${labels.length} labels`,
      expected: `none: ${kind} has no label set`,
      next: 'Leave "labels" out.',
    });
  if (labels.length < needed)
    fail({
      code: 'task.card',
      subject,
      found: labels.length === 1 ? `only '${labels[0]}'` : `${labels.length} labels`,
      expected: `at least ${needed} for ${kind}`,
    });
  const twice = labels.find((label, i) => labels.indexOf(label) !== i);
  if (twice !== undefined) fail({ code: 'task.card', subject, found: `the label "${twice}" twice`, expected: 'each label once' });
  return labels;
}

const LABELS_NEEDED: Record<TaskKind, number> = { classification: 2, multilabel: 1, regression: 0, tagging: 2, span: 0, choice: 0 };

/** The metrics that make sense for a kind and label set, the primary one first (the first, unless `primary` says otherwise). */
export function metricsFor(kind: TaskKind, labels: readonly string[], primary?: MetricName): readonly MetricName[] {
  const all = defaultMetrics(kind, labels);
  return primary === undefined ? all : [primary, ...all.filter((name) => name !== primary)];
}

function defaultMetrics(kind: TaskKind, labels: readonly string[]): readonly MetricName[] {
  switch (kind) {
    case 'classification':
      return labels.length === 2 ? ['accuracy', 'f1', 'f1_macro', 'matthews'] : ['accuracy', 'f1_macro', 'matthews'];
    case 'multilabel':
      return ['f1_micro', 'f1_macro', 'accuracy'];
    case 'regression':
      return ['pearson', 'spearman'];
    case 'tagging':
      return labels.some((label) => /^[BI]-/.test(label))
        ? ['span_f1', 'span_precision', 'span_recall', 'token_accuracy']
        : ['token_accuracy'];
    case 'span':
      return ['squad_f1', 'exact_match'];
    case 'choice':
      return ['accuracy'];
  }
}

/** A metric by its name, or by a usual spelling of it ("span F1", "matthews correlation"). Throws `code`. */
export function metricNamed(
  word: string,
  allowed: readonly MetricName[],
  subject: string,
  code: 'task.card' | 'usage.value' = 'task.card',
): MetricName {
  const key = word.toLowerCase().replaceAll(/[^a-z0-9]+/g, '_');
  const name = (SPELLINGS[key] ?? key) as MetricName;
  if (allowed.includes(name)) return name;
  const near = nearest(key, allowed);
  return fail({
    code,
    subject,
    found: `"${word}"${METRIC_NAMES.includes(name) ? ', which does not fit this kind of task' : ''}`,
    expected: `one of ${allowed.join(', ')}`,
    ...(near !== undefined && { next: `Did you mean "${near}"?` }),
  });
}

const SPELLINGS: Readonly<Record<string, MetricName>> = {
  matthews_correlation: 'matthews',
  matthews_corrcoef: 'matthews',
  mcc: 'matthews',
  acc: 'accuracy',
  macro_f1: 'f1_macro',
  micro_f1: 'f1_micro',
  pearson_correlation: 'pearson',
  spearman_correlation: 'spearman',
  exact_match_f1: 'squad_f1',
  seqeval_f1: 'span_f1',
};
