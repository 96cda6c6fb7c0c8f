import { fail } from '../../base/index.ts';
import type { Sequence } from '../attachment.ts';
import { type BatchSplit, batchSplit, describe, lastOf } from '../composition.ts';
import type { BlockKind } from './block.ts';
import { SITES_OF_SEQUENCES } from './rows.ts';
import { bindShares, symbolOf } from './shares.ts';
import { readSizes, sum } from './sizes.ts';

/**
 * Each child acts on its own rows of the batch: the first on as many as its size says, the next on those after them. What a row
 * gets is what its child alone would make of it, but for a block inside, which makes its first step twice, as in Python.
 */
export const BATCH_SPLIT: BlockKind<BatchSplit> = {
  type: 'batchSplit',
  python: 'BatchSplit',
  inside: ['stack', 'split', 'batchSplit', 'average'],
  sites: SITES_OF_SEQUENCES,
  apart: true,
  heads: 'block',
  extent({ batchSizes }, child, { rows: [from] = [0, 0], ...outer }, index) {
    const start = from + sum(batchSizes.slice(0, child));
    return { ...outer, batch: symbolOf(index, child), rows: [start, start + (batchSizes[child] as number)] };
  },
  bind(block, setting) {
    const { batchSizes } = block;
    const { rows } = setting.extent;
    const total = sum(batchSizes);
    if (rows && rows[1] - rows[0] !== total)
      fail({
        code: 'usage.value',
        subject: describe(block),
        found: `sizes [${batchSizes.join(', ')}]`,
        expected: `sizes that add up to the ${rows[1] - rows[0]} rows that the block around it gives it`,
      });
    const ends = batchSizes.map((_, i) => (rows?.[0] ?? 0) + sum(batchSizes.slice(0, i + 1)));
    const childOf = ({ row }: Sequence) => ends.findIndex((end) => row < end);
    const shares = { names: block.children.map(lastOf), byTask: false, childOf };
    return { ...bindShares(block, setting, childOf), shares, ...(!rows && { rows: total }) };
  },
  write: ({ batchSizes }) => ({ batch_sizes: [...batchSizes] }),
  read(children, { batch_sizes: sizes, ...others }, wrong) {
    if (Object.keys(others).length > 0) wrong(others, 'kwargs: batch_sizes alone');
    return batchSplit(children, { batchSizes: readSizes(sizes, children.length, wrong) });
  },
};
