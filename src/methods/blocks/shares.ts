import { fail, int32, type Tensor } from '../../base/index.ts';
import type { Rows, SiteName } from '../../encoders/index.ts';
import { type Dim, input, type Value } from '../../graph/index.ts';
import type { Sequence } from '../attachment.ts';
import { type Block, describe } from '../composition.ts';
import type { BlockSetting, BoundBlock } from './block.ts';
import { bySequences, byShares, sequencesAt, siteOf } from './rows.ts';

/** How many sequences a child gets: a dimension that is known when a program runs. */
export function symbolOf(index: number, child: number): Dim {
  return `R${index}_${child}`;
}

const placesOf = (index: number, child: number) => `rows.${index}.${child}`;
const orderOf = (index: number) => `order.${index}`;

/** A block whose children act each on some of the sequences: `childOf` says which child's a sequence is, below 0 for none. */
export function bindShares(block: Block, { index, extent }: BlockSetting, childOf: (sequence: Sequence) => number): BoundBlock {
  const { children } = block;
  const { batch, rows } = extent;
  const reaches = ({ row }: Sequence) => !rows || (row >= rows[0] && row < rows[1]);
  return {
    draw() {
      const once = new Map<string, Value>();
      const read = (name: string, size: Dim) => {
        const value = once.get(name) ?? input(name, 'int32', [size]);
        once.set(name, value);
        return value;
      };
      return (name, site, child) => {
        checkBatch(block, name, (site as unknown as Rows).batch, batch);
        const shares = children.map((one, i) => {
          const some = sequencesAt(read(placesOf(index, i), symbolOf(index, i)));
          const narrower = siteOf(name, site, some);
          return { child: one, some, site: narrower, act: child(one, narrower) };
        });
        return byShares(name, shares, bySequences(name, site, shares, read(orderOf(index), batch)));
      };
    },
    feeds(sequences) {
      const places = children.map((): number[] => []);
      const here = sequences.filter(reaches);
      here.forEach((sequence, place) => void (places[childOf(sequence)] ?? refuse(block, sequence)).push(place));
      // Runtimes do not reshape what is empty: who gets none computes one of the others', and nobody reads it.
      const lists = places.map((list) => (list.length > 0 ? list : [0]));
      const order = new Int32Array(Math.max(1, here.length));
      let start = 0;
      for (const [i, list] of lists.entries()) {
        for (const [at, place] of (places[i] as number[]).entries()) order[place] = start + at;
        start += list.length;
      }
      const ofChildren = lists.map((list, i): [string, Tensor] => [placesOf(index, i), int32([list.length], list)]);
      return { ...Object.fromEntries(ofChildren), [orderOf(index)]: int32([order.length], order) };
    },
  };
}

/** Before a block that repeats the batch its rows are one time there, and several times behind it. */
function checkBatch(block: Block, site: SiteName, found: Dim, expected: Dim): void {
  if (found === expected) return;
  fail({
    code: 'method.config',
    subject: describe(block),
    found: `a batch of ${found} sequences at the site '${site}'`,
    expected: `${expected}: rows must be told apart before anything repeats the batch, or inside of what repeats it`,
  });
}

function refuse(block: Block, { row, task }: Sequence): never {
  return fail({
    code: 'usage.value',
    subject: describe(block),
    found: `row ${row + 1}, ${task === undefined ? 'of no task' : `of task ${task}`}`,
    expected: `a row of one of its ${block.children.length} children`,
  });
}
