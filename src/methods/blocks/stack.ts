import { fail } from '../../base/index.ts';
import type { SiteName } from '../../encoders/index.ts';
import { type Act, chain } from '../act.ts';
import { type Composition, describe, type Stack, stack } from '../composition.ts';
import type { BlockKind } from './block.ts';

/** Adapters one after another: each takes what the one before it gives. */
export const STACK: BlockKind<Stack> = {
  type: 'stack',
  python: 'Stack',
  inside: ['fuse', 'average', 'batchSplit', 'multiTask', 'parallel', 'split'],
  sites: ['input', 'linear', 'attention', 'scores', 'residual', 'norm', 'layer', 'output'],
  bind: ({ children }) => ({
    draw: () => (name, _site, child) => {
      const acts = children.flatMap((one): Act<typeof name>[] => {
        const act = child(one);
        if (!act || typeof one === 'string') return act ? [act] : [];
        // Blocks make their first step inside.
        const { prepare: _, ...rest } = act;
        return [rest];
      });
      for (const [i, { ends }] of acts.entries()) if (ends !== undefined && i < acts.length - 1) refuse(name, ends, children);
      const [only] = acts;
      const prepare = acts.length === 1 ? only?.prepare : undefined;
      // One by itself too makes its first step on what it is given, as in Python.
      return only && prepare ? { ...only, apply: (state) => only.apply(prepare(state)) } : chain(acts);
    },
  }),
  write: () => undefined,
  read(children, kwargs, wrong) {
    if (Object.keys(kwargs).length > 0) wrong(kwargs, 'no kwargs');
    return stack(...children);
  },
};

function refuse(site: SiteName, why: string, children: readonly Composition[]): never {
  return fail({
    code: 'method.config',
    subject: describe(stack(...children)),
    found: `an adapter behind another at the site '${site}', where ${why}`,
    expected: 'a block whose children all act there, or nothing behind it',
  });
}
