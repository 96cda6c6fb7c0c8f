import type { Files } from '../base/index.ts';
import { type LoadTaskOptions, loadRows, loadTask } from './load.ts';
import { textsOf } from './texts.ts';
import { type Row, SPLITS, type Split, type Task } from './types.ts';

export interface ClassBalance {
  /** How often each label of the task occurs (tags: per token), in the task's order; for choice by index. */
  readonly counts: Readonly<Record<string, number>>;
  readonly empty: readonly string[];
  /** Share of the most frequent label. */
  readonly majority: number;
}

export interface SplitReport {
  readonly rows: number;
  /** Absent for regression and span. */
  readonly balance?: ClassBalance;
  /** Of the numbers of a regression. */
  readonly range?: { readonly min: number; readonly max: number; readonly mean: number };
  /** White-space separated words of the whole input. */
  readonly words: { readonly median: number; readonly p95: number; readonly max: number };
  /** Rows with no word at all. */
  readonly emptyInputs: number;
  /** Rows whose input stands earlier in the same split. */
  readonly repeated: number;
}

export interface TaskReport {
  readonly task: Task;
  readonly splits: Readonly<Partial<Record<Split, SplitReport>>>;
  /** Rows of the second split whose input also stands in the first. */
  readonly shared: readonly { readonly of: Split; readonly in: Split; readonly rows: number }[];
  /** What a user should know before training, one sentence each. */
  readonly warnings: readonly string[];
}

/** Reads every row of every split and says what there is. Throws on the first wrong row, as training would. */
export async function checkTask(files: Files, path: string, options: LoadTaskOptions = {}): Promise<TaskReport> {
  const task = await loadTask(files, path, options);
  const inputs: Partial<Record<Split, string[]>> = {};
  const splits: Partial<Record<Split, SplitReport>> = {};
  for (const split of SPLITS) {
    if (task.files[split] === undefined) continue;
    const rows = await loadRows(files, task, split);
    inputs[split] = rows.map(inputText);
    splits[split] = reportSplit(task, rows, inputs[split]);
  }
  const shared = sharedInputs(inputs);
  return { task, splits, shared, warnings: warningsOf(splits, shared) };
}

/** How often each class occurs; `undefined` for regression and span, which have none. */
export function classBalance(task: Task, rows: readonly Row[]): ClassBalance | undefined {
  if (task.kind === 'regression' || task.kind === 'span') return undefined;
  const counts: Record<string, number> = Object.fromEntries(task.labels.map((label) => [label, 0]));
  let total = 0;
  for (const row of rows) {
    for (const label of classesOf(row)) {
      counts[label] = (counts[label] ?? 0) + 1;
      total += 1;
    }
  }
  const empty = Object.keys(counts).filter((label) => counts[label] === 0);
  // Several labels of one row do not exclude each other, so their shares are of the rows.
  const whole = task.kind === 'multilabel' ? rows.length : total;
  return { counts, empty, majority: Math.max(0, ...Object.values(counts)) / Math.max(1, whole) };
}

function classesOf(row: Row): readonly string[] {
  switch (row.kind) {
    case 'classification':
      return [row.label];
    case 'multilabel':
      return row.label;
    case 'tagging':
      return row.tags;
    case 'choice':
      return [String(row.label)];
    default:
      return [];
  }
}

function reportSplit(task: Task, rows: readonly Row[], inputs: readonly string[]): SplitReport {
  const lengths = inputs.map((input) => input.split(/\s+/).filter(Boolean).length).sort((a, b) => a - b);
  const at = (share: number) => lengths[Math.min(lengths.length - 1, Math.floor(share * lengths.length))] ?? 0;
  const balance = classBalance(task, rows);
  const numbers = rows.flatMap((row) => (row.kind === 'regression' ? [row.label] : []));
  return {
    rows: rows.length,
    ...(balance !== undefined && { balance }),
    ...(numbers.length > 0 && { range: rangeOf(numbers) }),
    words: { median: at(0.5), p95: at(0.95), max: at(1) },
    emptyInputs: lengths.filter((length) => length === 0).length,
    repeated: inputs.length - new Set(inputs).size,
  };
}

function rangeOf(numbers: readonly number[]) {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  let sum = 0;
  for (const number of numbers) {
    min = Math.min(min, number);
    max = Math.max(max, number);
    sum += number;
  }
  return { min, max, mean: sum / numbers.length };
}

/** The input of a row as one string: equal strings are duplicates. */
function inputText(row: Row): string {
  return textsOf(row).join('\n');
}

function sharedInputs(inputs: Partial<Record<Split, string[]>>): TaskReport['shared'] {
  const pairs = [
    { of: 'validation', in: 'train' },
    { of: 'test', in: 'train' },
    { of: 'test', in: 'validation' },
  ] as const;
  return pairs.flatMap((pair) => {
    const seen = new Set(inputs[pair.in]);
    const rows = inputs[pair.of]?.filter((input) => seen.has(input)).length ?? 0;
    return rows > 0 ? [{ ...pair, rows }] : [];
  });
}

function warningsOf(splits: TaskReport['splits'], shared: TaskReport['shared']): string[] {
  const warnings: string[] = [];
  for (const [split, report] of Object.entries(splits)) {
    const { balance, emptyInputs, range } = report;
    if (balance !== undefined && balance.empty.length > 0)
      warnings.push(`${split} has no row of ${balance.empty.map((label) => `"${label}"`).join(', ')}.`);
    if (balance !== undefined && balance.majority > 0.9)
      warnings.push(`${split} is ${(100 * balance.majority).toFixed(1)} % one class: judge by F1, not by accuracy.`);
    if (range !== undefined && range.min === range.max)
      warnings.push(`Every label of ${split} is ${range.min}: correlations are undefined.`);
    if (emptyInputs > 0) warnings.push(`${split} has ${counted(emptyInputs)} without a word.`);
  }
  for (const { of, in: other, rows } of shared)
    warnings.push(`${counted(rows)} of ${of} also ${rows === 1 ? 'stands' : 'stand'} in ${other}: scores may flatter.`);
  for (const split of SPLITS) if (splits[split] === undefined) warnings.push(`There is no ${split} split.`);
  return warnings;
}

function counted(rows: number): string {
  return `${rows} ${rows === 1 ? 'row' : 'rows'}`;
}
