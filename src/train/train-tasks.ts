import { defined, fail, joinPath } from '../base/index.ts';
import { asName } from '../checkpoint/index.ts';
import { readJson } from '../formats/json.ts';
import { kindForTask } from '../objectives/index.ts';
import { holding } from '../session/holding.ts';
import type { Exclusions, Task } from '../tasks/index.ts';
import type { TrainTaskResult } from './card.ts';
import { METRICS } from './output-folder.ts';
import { type TrainTaskOptions, trainTask } from './train-task.ts';

export interface TrainTasksOptions extends Omit<TrainTaskOptions, 'task' | 'name' | 'output' | 'init' | 'log' | 'exclude'> {
  readonly tasks: readonly Task[];
  /** Training rows to leave out. */
  readonly exclusions?: Exclusions;
  /** Each task gets a folder of its name in it. */
  readonly output: string;
  /** Told before each task. */
  readonly onTask?: (task: Task, number: number) => void;
}

/**
 * One adapter for each task, one after another (Pfeiffer et al. 2021, stage one, ST-A). Tasks whose heads have the same shape
 * share their compiled programs. With `resume`, finished tasks are left as they are and an unfinished one goes on.
 * @throws adapter.duplicate for two tasks of one name, and what training one throws
 */
export async function trainTasks({
  tasks,
  output,
  onTask,
  exclusions,
  pooling,
  ...options
}: TrainTasksOptions): Promise<TrainTaskResult[]> {
  const { files, resume = false } = options;
  const names = tasks.map((task) => asName(task.name));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined)
    fail({ code: 'adapter.duplicate', subject: '--task', found: `two tasks named '${twice}'`, expected: 'tasks of different names' });
  if (pooling !== undefined && !tasks.some(pools))
    fail({
      code: 'usage.value',
      subject: '--pooling',
      found: `${pooling}, for tasks whose heads read every token`,
      expected: 'a task with a head that reads one vector of each sequence',
      next: 'Leave it out.',
    });
  const engine = holding(options.engine);
  const results: TrainTaskResult[] = [];
  try {
    for (const [i, task] of tasks.entries()) {
      const folder = joinPath(output, names[i] as string);
      const finished = (await files.kind(joinPath(folder, METRICS))) === 'file';
      const unfinished = (await files.kind(joinPath(folder, 'state', 'state.json'))) === 'file';
      onTask?.(task, i + 1);
      if (resume && finished && !unfinished) results.push((await readJson(files, joinPath(folder, METRICS))) as unknown as TrainTaskResult);
      else {
        const own = defined({ exclude: exclusions?.get(task.name), pooling: pools(task) ? pooling : undefined });
        results.push(await trainTask({ ...options, ...own, engine, task, output: folder, resume: resume && unfinished }));
      }
    }
  } finally {
    await engine.release();
  }
  return results;
}

function pools({ kind }: Task): boolean {
  return kindForTask(kind).pools === true;
}
