import { type Dim, multiplyDims, slice, type Value } from '../../graph/index.ts';
import { lastOf, type Parallel, parallel } from '../composition.ts';
import type { BlockKind } from './block.ts';
import { bySequences, byShares, SITES_OF_SEQUENCES, siteOf } from './rows.ts';

/**
 * All rows to each child: from the first place on where one of them acts, the batch stands there once for each, one after another
 * (Rücklé et al. 2021, as AdapterDrop's authors do for many tasks). Each answers as it would alone, but for a block inside, which makes
 * its first step twice, as in Python.
 */
export const PARALLEL: BlockKind<Parallel> = {
  type: 'parallel',
  python: 'Parallel',
  inside: ['stack', 'batchSplit', 'average'],
  sites: SITES_OF_SEQUENCES,
  apart: true,
  heads: 'list',
  bind: ({ children }, { extent: { batch } }) => ({
    channels: children.map(lastOf),
    draw: () => (name, site, child) => {
      const shares = children.map((one, i) => {
        const some = { batch, take: (value: Value) => slice(value, 0, start(batch, i), start(batch, i + 1)) };
        const narrower = { ...siteOf(name, site, some), times: 1 };
        return { child: one, some, site: narrower, act: child(one, narrower) };
      });
      return byShares(name, shares, bySequences(name, site, shares));
    },
  }),
  write: () => undefined,
  read(children, kwargs, wrong) {
    if (Object.keys(kwargs).length > 0) wrong(kwargs, 'no kwargs');
    return parallel(...children);
  },
};

function start(batch: Dim, channel: number): Dim {
  return multiplyDims(channel, batch);
}
