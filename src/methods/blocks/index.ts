import { fail } from '../../base/index.ts';
import { type Block, type Composition, describe } from '../composition.ts';
import { AVERAGE } from './average.ts';
import { BATCH_SPLIT } from './batch-split.ts';
import type { BlockKind } from './block.ts';
import { FUSE } from './fuse.ts';
import { MULTI_TASK } from './multi-task.ts';
import { PARALLEL } from './parallel.ts';
import { SPLIT } from './split.ts';
import { STACK } from './stack.ts';

/** Every way to put adapters together. A new one: its own file, and a line here. */
export const BLOCKS: readonly BlockKind[] = [
  STACK,
  FUSE,
  AVERAGE,
  BATCH_SPLIT,
  MULTI_TASK,
  PARALLEL,
  SPLIT,
] as unknown as readonly BlockKind[];

/** @throws composition.nesting for a block of an unknown kind */
export function blockKind({ type }: Pick<Block, 'type'>, blocks: readonly BlockKind[] = BLOCKS): BlockKind {
  return (
    blocks.find((kind) => kind.type === type) ??
    fail({
      code: 'composition.nesting',
      subject: 'composition',
      found: `a block of the type '${type}'`,
      expected: blocks.map((kind) => kind.type).join(', '),
    })
  );
}

/** The only kind that may stand deeper than the second level, as in Python. */
const DEEP = 'stack';

/** Holds a composition against Python's table of nestings. @throws composition.nesting */
export function checkNesting(composition: Composition, subject = 'composition', blocks: readonly BlockKind[] = BLOCKS): void {
  const walk = (part: Composition, outer: readonly BlockKind[]): void => {
    if (typeof part === 'string') return;
    const kind = blockKind(part, blocks);
    const parent = outer.at(-1);
    if ((parent && !parent.inside.includes(kind.type)) || (outer.length > 1 && kind.type !== DEEP))
      fail({
        code: 'composition.nesting',
        subject,
        found: `${kind.python} in ${outer
          .toReversed()
          .map(({ python }) => python)
          .join(' in ')}`,
        expected:
          outer.length > 1
            ? `no more than a ${blockKind({ type: DEEP }, blocks).python} there: ${describe(composition)}`
            : `in ${parent?.python} only names, ${(parent?.inside ?? []).map((type) => blockKind({ type }, blocks).python).join(', ')}`,
      });
    for (const child of part.children) walk(child, [...outer, kind]);
  };
  walk(composition, []);
}
