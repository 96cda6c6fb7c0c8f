import type { Sequence } from '../attachment.ts';
import { type MultiTask, multiTask, nameOf } from '../composition.ts';
import type { BlockKind } from './block.ts';
import { SITES_OF_SEQUENCES } from './rows.ts';
import { bindShares, symbolOf } from './shares.ts';

/**
 * Each row goes to the child whose number its task is, in any order: what BatchSplit makes of rows sorted by their tasks. Python
 * (adapters 1.3.0) makes the first step of bottlenecks twice here.
 */
export const MULTI_TASK: BlockKind<MultiTask> = {
  type: 'multiTask',
  python: 'MultiTask',
  inside: ['stack', 'average', 'fuse'],
  sites: SITES_OF_SEQUENCES,
  apart: true,
  heads: 'list',
  note: 'MultiTask answers a row as its adapter alone; adapters 1.3.0 makes the first step of bottlenecks (original_ln_before) twice.',
  extent: (_, child, outer, index) => ({ ...outer, batch: symbolOf(index, child) }),
  bind(block, setting) {
    const childOf = ({ task = -1 }: Sequence) => task;
    return { ...bindShares(block, setting, childOf), shares: { names: block.children.map(nameOf), byTask: true, childOf } };
  },
  write: () => undefined,
  read(children, kwargs, wrong) {
    if (Object.keys(kwargs).length > 0) wrong(kwargs, 'no kwargs');
    return multiTask(...children);
  },
};
