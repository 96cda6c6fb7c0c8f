import { fail } from '../base/index.ts';
import type { Shares } from './attachment.ts';
import type { BlockKind, BoundBlock, Extent } from './blocks/block.ts';
import { blockKind } from './blocks/index.ts';
import { type Block, blocksOf, type Composition, describe } from './composition.ts';

/** A batch as encoders are drawn for it. */
const WHOLE: Extent = { batch: 'B' };

/** A block that stands at two places would be one and the same there. */
export function copied(part: Composition): Composition {
  return typeof part === 'string' ? part : { ...part, children: part.children.map(copied) };
}

/** What of a batch reaches each block. */
export function extentsOf(setup: Composition, kinds: readonly BlockKind[]): ReadonlyMap<Block, Extent> {
  const all = blocksOf(setup);
  const extents = new Map<Block, Extent>();
  const walk = (part: Composition, outer: Extent): void => {
    if (typeof part === 'string') return;
    extents.set(part, outer);
    const kind = blockKind(part, kinds);
    const index = all.indexOf(part);
    for (const [i, child] of part.children.entries()) walk(child, kind.extent?.(part, i, outer, index) ?? outer);
  };
  walk(setup, WHOLE);
  return extents;
}

/** The number that all blocks want which want one. @throws usage.value for two */
export function agreed(wanted: readonly (number | undefined)[], setup: Composition, what: string): number | undefined {
  const [one, other] = new Set(wanted.filter((number) => number !== undefined));
  if (other !== undefined)
    fail({
      code: 'usage.value',
      subject: describe(setup),
      found: `blocks for ${one} ${what} and for ${other}`,
      expected: `the same number of ${what}`,
    });
  return one;
}

/** Which child a row is for: of the block that stands last, where it tells rows apart, else of the only one. @throws usage.value */
export function sharesOf(setup: Composition, bounds: readonly BoundBlock[], last: BoundBlock | undefined): Shares | undefined {
  const all = bounds.flatMap(({ shares }) => shares ?? []);
  agreed(
    all.flatMap(({ byTask, names }) => (byTask ? names.length : [])),
    setup,
    'tasks',
  );
  return last?.shares ?? all[0];
}

/** @throws usage.value for blocks of different numbers of names */
export function namesOf(
  setup: Composition,
  wanted: readonly (readonly string[] | undefined)[],
  what: string,
): readonly string[] | undefined {
  agreed(
    wanted.map((names) => names?.length),
    setup,
    what,
  );
  return wanted.find((names) => names !== undefined);
}
