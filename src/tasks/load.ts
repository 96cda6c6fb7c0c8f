import { baseName, type Files, fail, joinPath, nearest } from '../base/index.ts';
import { readTable } from '../formats/table.ts';
import { type Card, checkLabels, metricNamed, metricsFor, readCard } from './card.ts';
import { checkRow } from './row.ts';
import { type Field, type MetricName, type Row, SPLITS, type Split, TASK_KINDS, type Task, type TaskKind } from './types.ts';

/** What a caller (flags of a command) says about a task; it wins over the card. */
export interface LoadTaskOptions {
  readonly name?: string;
  readonly kind?: TaskKind;
  readonly labels?: readonly string[];
  readonly metric?: MetricName;
  readonly columns?: Readonly<Partial<Record<Field, string>>>;
  /** Which split a single file is: `train` unless said otherwise. */
  readonly split?: Split;
}

const EXTENSIONS = ['jsonl', 'csv', 'tsv', 'parquet'] as const;
const CARD = 'card.json';

/**
 * A task from a folder (`card.json` with `train|validation|test` as .jsonl, .csv, .tsv or .parquet) or from one table.
 * What no card says is inferred from the rows of the training split: the kind from the columns (see {@link inferKind}),
 * the labels as the sorted set of those seen.
 *
 * Throws `file.missing`, `task.card`, `task.row`, and what reading a table throws.
 */
export async function loadTask(files: Files, path: string, options: LoadTaskOptions = {}): Promise<Task> {
  if (typeof path !== 'string' || typeof files?.kind !== 'function')
    fail({
      code: 'usage.value',
      subject: 'loadTask(files, path)',
      found: 'something else',
      expected: 'files, such as nodeFiles, and then a path',
    });
  const place = await files.kind(path);
  if (place === 'none')
    fail({ code: 'file.missing', subject: path, found: 'nothing', expected: 'a task folder or a table', next: 'Check the path.' });
  const splits = place === 'folder' ? await findSplits(files, path) : { [options.split ?? 'train']: path };
  const cardPath = place === 'folder' ? joinPath(path, CARD) : path;
  const card = place === 'folder' && (await files.kind(cardPath)) === 'file' ? await readCard(files, cardPath) : undefined;

  const columns = { ...card?.columns, ...options.columns };
  const source = splits.train ?? splits.validation ?? splits.test;
  const table = async () => (source === undefined ? [] : (await readTable(files, source)).map((row) => row.value));
  const kind = options.kind ?? card?.kind ?? inferKind(await table(), columns, source ?? path);
  const declared = options.labels ?? card?.labels ?? undefined;
  const labels = checkLabels(kind, declared ?? inferLabels(kind, await table(), columns), `${cardPath}, labels`);
  const metrics = chooseMetrics(kind, labels, card, options, cardPath);
  return {
    name: options.name ?? card?.name ?? baseName(path).replace(/\.[a-z]+$/, ''),
    kind,
    labels,
    metric: metrics[0] as MetricName,
    metrics,
    columns,
    files: splits,
    card: card ?? {},
  };
}

export interface LoadRowsOptions {
  /** Rows to skip, counted from 0 in the file; they count neither towards `offset` nor towards `limit`. */
  readonly exclude?: ReadonlySet<number>;
  readonly offset?: number;
  readonly limit?: number | undefined;
}

/** The labelled rows of a split in file order. Throws `file.missing`, `task.empty`, `task.row`, `task.label`, `usage.value`. */
export async function loadRows(files: Files, task: Task, split: Split, options: LoadRowsOptions = {}): Promise<Row[]> {
  const file = task.files[split];
  if (file === undefined) {
    return fail({
      code: 'file.missing',
      subject: `The ${split} split of ${task.name}`,
      found: `only ${Object.keys(task.files).join(', ') || 'no split'}`,
      expected: `${split}.${EXTENSIONS.join(` or ${split}.`)}`,
      next: `Add the file, or use a split that is there.`,
    });
  }
  const { exclude, offset = 0, limit = Number.POSITIVE_INFINITY } = options;
  const all = await readTable(files, file);
  const beyond = [...(exclude ?? [])].find((row) => row >= all.length);
  if (beyond !== undefined)
    fail({
      code: 'usage.value',
      subject: file,
      found: `${all.length} rows`,
      expected: `a row ${beyond} (from 0), which is to be left out`,
      next: 'The list of rows to leave out belongs to other data.',
    });
  const kept = all.filter((_, i) => !exclude?.has(i)).slice(offset, offset + limit);
  if (kept.length === 0) fail({ code: 'task.empty', subject: file, found: 'no rows', expected: 'at least one' });
  return kept.map(({ line, value }) => checkRow(task, value, { file, line }));
}

async function findSplits(files: Files, folder: string): Promise<Partial<Record<Split, string>>> {
  const names = await files.list(folder);
  const splits: Partial<Record<Split, string>> = {};
  for (const split of SPLITS) {
    const found = EXTENSIONS.map((extension) => `${split}.${extension}`).filter((name) => names.includes(name));
    if (found.length > 1)
      fail({
        code: 'task.card',
        subject: folder,
        found: found.join(' and '),
        expected: `one file for ${split}`,
        next: 'Remove all but one.',
      });
    if (found[0] !== undefined) splits[split] = joinPath(folder, found[0]);
  }
  if (Object.keys(splits).length > 0) return splits;
  return fail({
    code: 'file.missing',
    subject: folder,
    found: names.slice(0, 8).join(', '),
    expected: `${CARD} and ${SPLITS.join(', ')} as .${EXTENSIONS.join(', .')}`,
    next: 'Give a task folder or one table.',
  });
}

function chooseMetrics(kind: TaskKind, labels: readonly string[], card: Card | undefined, options: LoadTaskOptions, cardPath: string) {
  // Micro F1 equals accuracy where each row has one label, so it is offered there but not reported unless asked for.
  const allowed = kind === 'classification' ? [...metricsFor(kind, labels), 'f1_micro' as const] : metricsFor(kind, labels);
  if (options.metric !== undefined)
    return metricsFor(kind, labels, metricNamed(options.metric, allowed, 'The metric asked for', 'usage.value'));
  const word = card?.metric ?? card?.metrics?.[0] ?? card?.suggestedMetric;
  const primary = word === undefined ? undefined : metricNamed(word, allowed, `${cardPath}, metric`);
  const listed = card?.metrics?.map((name) => metricNamed(name, allowed, `${cardPath}, metrics`));
  return listed === undefined ? metricsFor(kind, labels, primary) : [...new Set([primary as MetricName, ...listed])];
}

const NAME_IT = `Say which column holds what with --text COLUMN --label COLUMN where a command has these, else under "columns" in the card.json of a folder (columns: { text, label } in code), or give the kind (${TASK_KINDS.join(', ')}).`;
const SEMICOLONS = 'The header is separated by semicolons: save the file with commas, or with tabs as .tsv.';

/**
 * tokens → tagging; choices → choice; context and question → span; a list as label → multilabel; labels that are all
 * numbers and not all whole → regression; else classification.
 */
function inferKind(values: readonly Record<string, unknown>[], columns: LoadTaskOptions['columns'], source: string): TaskKind {
  const first = values[0] ?? fail({ code: 'task.empty', subject: source, found: 'no rows', expected: 'at least one' });
  const has = (field: Field) => (columns?.[field] ?? field) in first;
  if (has('tokens')) return 'tagging';
  if (has('choices')) return 'choice';
  if (has('context') && has('question')) return 'span';
  if (!has('text') || !has('label')) {
    const names = Object.keys(first);
    const missing = has('text') ? 'label' : 'text';
    const near = nearest(columns?.[missing] ?? missing, names);
    fail({
      code: 'task.row',
      subject: `${source}, column "${columns?.[missing] ?? missing}"`,
      found: `only ${names.join(', ')}`,
      expected: `a column for the ${missing}`,
      next: names.length === 1 && names[0]?.includes(';') ? SEMICOLONS : near === undefined ? NAME_IT : `Did you mean "${near}"?`,
    });
  }
  const labels = values.map((value) => value[columns?.label ?? 'label']);
  if (labels.some((label) => Array.isArray(label) || (typeof label === 'string' && label.startsWith('[')))) return 'multilabel';
  const numbers = labels.map((label) => (label === '' || label === null || typeof label === 'boolean' ? Number.NaN : Number(label)));
  return numbers.every(Number.isFinite) && !numbers.every(Number.isInteger) ? 'regression' : 'classification';
}

function inferLabels(kind: TaskKind, values: readonly Record<string, unknown>[], columns: LoadTaskOptions['columns']): string[] {
  if (kind === 'regression' || kind === 'span' || kind === 'choice') return [];
  const field = kind === 'tagging' ? 'tags' : 'label';
  const separator = kind === 'tagging' ? /\s+/ : '|';
  const seen = new Set<string>();
  for (const value of values) {
    const held = value[columns?.[field] ?? field];
    if (held === undefined || held === null || held === '') continue;
    const list = kind === 'classification' ? [held] : Array.isArray(held) ? held : listFromText(String(held), separator);
    for (const label of list) seen.add(String(label));
  }
  return [...seen].sort();
}

function listFromText(text: string, separator: RegExp | string): unknown[] {
  if (!text.startsWith('['))
    return text
      .split(separator)
      .map((label) => label.trim())
      .filter(Boolean);
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value : [];
  } catch {
    return []; // the row itself is refused, with its line, when it is read
  }
}
