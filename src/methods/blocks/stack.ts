import { chain } from '../act.ts';
import type { Stack } from '../composition.ts';
import { stack } from '../composition.ts';
import type { BlockKind } from './block.ts';

/** Adapters one after another: each takes what the one before it gives. */
export const STACK: BlockKind<Stack> = {
  type: 'stack',
  python: 'Stack',
  inside: ['fuse', 'average'],
  sites: ['input', 'linear', 'attention', 'scores', 'residual', 'norm', 'layer', 'output'],
  bind: ({ children }) => ({
    draw: () => (_name, _site, child) => chain(children.flatMap((one) => child(one) ?? [])),
  }),
  write: () => undefined,
  read(children, kwargs, wrong) {
    if (Object.keys(kwargs).length > 0) wrong(kwargs, 'no kwargs');
    return stack(...children);
  },
};
