import { int32, type Tensor } from '../base/index.ts';

/** What acts on a sequence: the group of its adapter, and its number in the group's bank. */
export interface Placed {
  readonly group: number;
  readonly slot: number;
}

/** Sequences of a group in a run. One that has none computes the first sequence of the run, for nobody: no tensor is empty. */
export interface GroupRows {
  readonly rows: readonly number[];
  readonly slots: readonly number[];
  /** The slots, each once. */
  readonly used: readonly number[];
}

export function rowsOf(group: number, adapters: readonly (Placed | undefined)[]): GroupRows {
  const there = adapters.flatMap((one, row) => (one?.group === group ? [{ row, slot: one.slot }] : []));
  const own = there.length > 0 ? there : [{ row: 0, slot: 0 }];
  const slots = own.map(({ slot }) => slot);
  return { rows: own.map(({ row }) => row), slots, used: [...new Set(slots)] };
}

/** Parts of sequences one after another: those of all, where `stock` is set, then those of each of the groups. */
export interface Order {
  readonly groups: readonly number[];
  readonly stock: boolean;
}

/** For each sequence its place among the parts. */
export function orderOf({ groups, stock }: Order, adapters: readonly (Placed | undefined)[], ofGroups: readonly GroupRows[]): number[] {
  const order = Array.from(adapters.keys());
  let first = stock ? adapters.length : 0;
  for (const group of groups) {
    const { rows } = ofGroups[group] as GroupRows;
    rows.forEach((row, i) => {
      if (adapters[row]?.group === group) order[row] = first + i;
    });
    first += rows.length;
  }
  return order;
}

export function ints(values: readonly number[]): Tensor {
  return int32([values.length], Int32Array.from(values));
}
