import { createRandom } from '../base/index.ts';

/**
 * For each of several tasks an endless stream of row numbers: every row once in random order, then all again in another
 * order. How many rows each stream has given says all about where it stands.
 */
export interface TaskStreams {
  /** The next row of a task. */
  next(task: number): number;
  /** Rows given so far, by task. */
  drawn(): number[];
}

/** Streams over `sizes[task]` rows, each with an order of its own given by (seed, task, cycle). They go on after `drawn`. */
export function taskStreams(sizes: readonly number[], seed: number, drawn: readonly number[] = sizes.map(() => 0)): TaskStreams {
  const counts = [...drawn];
  const orders = new Map<number, { readonly cycle: number; readonly rows: Int32Array }>();
  return {
    next(task) {
      const size = sizes[task] as number;
      const count = counts[task] as number;
      const cycle = Math.floor(count / size);
      let order = orders.get(task);
      if (order?.cycle !== cycle) {
        order = { cycle, rows: createRandom(seed, task, cycle).shuffle(Int32Array.from({ length: size }, (_, row) => row)) };
        orders.set(task, order);
      }
      counts[task] = count + 1;
      return order.rows[count % size] as number;
    },
    drawn: () => [...counts],
  };
}
