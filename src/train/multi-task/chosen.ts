import type { Files } from '../../base/index.ts';

/** What trained when, and which rows most often: of a run whose rows were chosen. */
export interface ChosenRows {
  /** The last step of each period. */
  readonly steps: readonly number[];
  /** By task, for each period: its share of the rows that trained. */
  readonly shares: Readonly<Record<string, readonly number[]>>;
  /** By task. */
  readonly rows: Readonly<Record<string, ChosenOfTask>>;
}

export interface ChosenOfTask {
  /** Different rows that trained. */
  readonly distinct: number;
  /** The rows chosen most often, counted from 0 without those that were left out: hard ones, or ones with a wrong label. */
  readonly mostOften: readonly { readonly row: number; readonly times: number }[];
}

const PERIODS = 10;
const MOST_OFTEN = 5;

/** Reads from the log of a run what its steps trained on, over ten periods of equal length. */
export async function chosenRows(files: Files, log: string, names: readonly string[]): Promise<ChosenRows> {
  const steps = await stepsOf(files, log);
  const each = Math.max(1, Math.ceil(steps.length / PERIODS));
  const periods = Array.from({ length: Math.ceil(steps.length / each) }, (_, i) => steps.slice(i * each, (i + 1) * each));
  const counted = periods.map((some) => names.map((name) => some.reduce((sum, { rows }) => sum + (rows[name]?.length ?? 0), 0)));
  const totals = counted.map((counts) => counts.reduce((a, b) => a + b, 0));
  return {
    steps: periods.map((some) => some.at(-1)?.step ?? 0),
    shares: Object.fromEntries(
      names.map((name, task) => [name, counted.map((counts, i) => (counts[task] as number) / Math.max(1, totals[i] as number))]),
    ),
    rows: Object.fromEntries(names.map((name) => [name, ofTask(steps.flatMap(({ rows }) => rows[name] ?? []))])),
  };
}

interface Step {
  readonly step: number;
  readonly rows: Readonly<Record<string, readonly number[]>>;
}

async function stepsOf(files: Files, log: string): Promise<Step[]> {
  const lines = new TextDecoder()
    .decode(await files.read(log))
    .trimEnd()
    .split('\n');
  return lines
    .filter(Boolean)
    .map((line) => JSON.parse(line))
    .filter(({ rows }) => rows !== undefined);
}

function ofTask(rows: readonly number[]): ChosenOfTask {
  const times = new Map<number, number>();
  for (const row of rows) times.set(row, (times.get(row) ?? 0) + 1);
  const sorted = [...times].toSorted(([a, some], [b, others]) => others - some || a - b);
  return { distinct: times.size, mostOften: sorted.slice(0, MOST_OFTEN).map(([row, count]) => ({ row, times: count })) };
}
