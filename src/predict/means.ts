import type { Tensor } from '../base/index.ts';
import type { Observations } from './answer.ts';

/** Means over the sequences of a row, by name. */
export class Means {
  readonly #sums = new Map<string, { readonly columns: readonly string[]; readonly sum: number[]; count: number }>();

  /** Adds what `sequences` sequences of a run gave, the first of them at `place`. */
  add(name: string, columns: readonly string[], { data }: Tensor, place: number, sequences: number): void {
    const n = columns.length;
    const before = this.#sums.get(name) ?? { columns, sum: new Array<number>(n).fill(0), count: 0 };
    this.#sums.set(name, before);
    for (let k = 0; k < sequences; k++)
      for (let j = 0; j < n; j++) before.sum[j] = (before.sum[j] as number) + Number(data[(place + k) * n + j]);
    before.count += sequences;
  }

  values(): Observations {
    const named = ({ columns, sum, count }: { columns: readonly string[]; sum: readonly number[]; count: number }) =>
      Object.fromEntries(columns.map((column, j) => [column, (sum[j] as number) / count]));
    return Object.fromEntries([...this.#sums].map(([name, means]) => [name, named(means)]));
  }
}
