import type { AutoAdapterModel } from '../auto-adapter-model/index.ts';
import type { Task } from '../tasks/index.ts';
import type { CommandContext } from './command.ts';
import { DEMO } from './demo-settings.ts';

export interface FusionComparison {
  readonly task: string;
  readonly metric: string;
  /** Training rows of the task. */
  readonly rows: number;
  readonly fused: readonly string[];
  /** Test scores by seed: the adapter alone, and fused with those of the other tasks. */
  readonly alone: readonly number[];
  readonly fusion: readonly number[];
  /** Mean difference with its 95 % interval over the seeds. */
  readonly difference: { readonly mean: number; readonly low: number; readonly high: number };
}

const TASK = 'tickets_urgency';
/** Few, so that what other tasks know is worth something. */
const ROWS = 200;
const EPOCHS = 10;
const SEEDS = [1, 2, 3, 4, 5];
/** Twice the default: there are few steps. */
const FUSION_RATE = 1e-3;
/** Half the width of a 95 % interval is this many standard errors for five values (Student's t, 4 degrees of freedom). */
const T_95 = 2.776;

/** One task with few rows: its own adapter against a fusion of that adapter with those of all other tasks, five seeds each. */
export async function compareFusion(
  { signal, isTTY, stderr }: CommandContext,
  model: AutoAdapterModel,
  tasks: readonly Task[],
  { epochs = EPOCHS, limit = ROWS }: { readonly epochs?: number | undefined; readonly limit?: number | undefined },
): Promise<FusionComparison | undefined> {
  const rows = Math.min(limit, ROWS);
  const task = tasks.find(({ name }) => name === TASK);
  if (!task) return undefined;
  const others = tasks.map(({ name }) => name).filter((name) => name !== TASK && model.adapters.includes(name));
  const [alone, fusion]: [number[], number[]] = [[], []];
  const score = async () => (await model.evaluate(task)).metrics[task.metric] as number;
  for (const seed of SEEDS) {
    if (isTTY) stderr(`fusion, seed ${seed} of ${SEEDS.length} …`);
    const adapter = `${TASK}-${seed}`;
    const settings = { task, limit: rows, epochs, seed, signal };
    model.addAdapter(adapter, DEMO.method);
    await model.trainAdapter(adapter, { ...settings, learningRate: DEMO.learningRate });
    alone.push(await score());
    const mixed = model.addAdapterFusion([adapter, ...others], 'dynamic', { name: `${adapter}-fusion` });
    await model.trainAdapterFusion(mixed, { ...settings, learningRate: FUSION_RATE });
    fusion.push(await score());
  }
  const gains = fusion.map((value, i) => value - (alone[i] as number));
  const { mean, error } = statistics(gains);
  const difference = { mean, low: mean - T_95 * error, high: mean + T_95 * error };
  return { task: TASK, metric: task.metric, rows, fused: others, alone, fusion, difference };
}

export function fusionLines({ task, metric, rows, fused, alone, fusion, difference }: FusionComparison): string {
  const shown = (values: readonly number[]) => {
    const { mean, error } = statistics(values);
    return `${mean.toFixed(3)} ± ${(T_95 * error).toFixed(3)}`;
  };
  const signed = (value: number) => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(3)}`;
  return [
    `AdapterFusion: ${task} from ${rows} rows, ${alone.length} seeds, mean ${metric} with its 95 % interval`,
    `  its own adapter                          ${shown(alone)}`,
    `  fused with the adapters of ${`${fused.length} other tasks`.padEnd(14)}${shown(fusion)}`,
    `  difference                               ${signed(difference.mean)} (${signed(difference.low)} to ${signed(difference.high)})`,
  ].join('\n');
}

function statistics(values: readonly number[]): { mean: number; error: number } {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  return { mean, error: Math.sqrt(variance / values.length) };
}
