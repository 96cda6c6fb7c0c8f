import { fail } from '../../base/index.ts';
import type { LinearSite, Rows, SiteName, Sites } from '../../encoders/index.ts';
import { add, addDims, concat, type Dim, multiplyDims, reshape, slice, type Value } from '../../graph/index.ts';
import type { ResidualState, States } from '../act.ts';
import { describe, type Split, split } from '../composition.ts';
import type { BlockKind } from './block.ts';
import { byShares, together } from './rows.ts';
import { readSizes, sum } from './sizes.ts';

const SITES = ['linear', 'residual', 'layer'] as const;
type Site = (typeof SITES)[number];

/** Tokens of each sequence from one place up to another. */
interface Range {
  readonly child: number;
  readonly from: Dim;
  readonly to: Dim;
}

/**
 * Each child acts on its own tokens of every sequence: the first on as many as its size says, the next on those after them. All
 * sequences are padded to the sum of the sizes. A block inside makes its first step twice, as in Python.
 */
export const SPLIT: BlockKind<Split> = {
  type: 'split',
  python: 'Split',
  inside: ['stack', 'split', 'batchSplit', 'average'],
  sites: SITES,
  apart: true,
  extent({ splits }, child, { tokens: [from] = [0, 0], ...outer }) {
    const start = from + sum(splits.slice(0, child));
    return { ...outer, tokens: [start, start + (splits[child] as number)] };
  },
  bind(block, { extent: { tokens } }) {
    const { splits, children } = block;
    const total = sum(splits);
    if (tokens && tokens[1] - tokens[0] !== total)
      fail({
        code: 'usage.value',
        subject: describe(block),
        found: `sizes [${splits.join(', ')}]`,
        expected: `sizes that add up to the ${tokens[1] - tokens[0]} tokens that the block around it gives it`,
      });
    return {
      ...(!tokens && { tokens: total }),
      draw: () => (name, site, child) => {
        const rows = site as unknown as Rows;
        if (!tokens && rows.length !== 'S' && rows.length !== 1) refuse(block, name, rows);
        const ranges = rangesOf(splits, rows.length);
        const shares = ranges.map((range) => {
          const one = children[range.child] as (typeof children)[number];
          const narrower = ranges.length === 1 ? site : siteOf(name, site, range);
          return { child: one, site: narrower, act: child(one, narrower) };
        });
        const range = (share: number) => ranges[share] as Range;
        const join = (values: readonly Value[]) => joined(values, ranges, rows);
        return byShares(name, shares, {
          state: (state, share) => stateOf(name, state, rows, range(share)),
          value: (value, share) => tokensOf(value, rows, range(share)),
          states: (states) =>
            together(
              name,
              states,
              shares.map((share) => share.site),
              join,
            ),
          values: join,
        });
      },
    };
  },
  write: ({ splits }) => ({ splits: [...splits] }),
  read(children, { splits, ...others }, wrong) {
    if (Object.keys(others).length > 0) wrong(others, 'kwargs: splits alone');
    return split(children, { splits: readSizes(splits, children.length, wrong) });
  },
};

/** Who has tokens, and which; where only the first token is computed, the child that has it. */
function rangesOf(splits: readonly number[], length: Dim): Range[] {
  const having = splits.flatMap((size, child) => (size > 0 ? [child] : []));
  if (length === 1) return [{ child: having[0] as number, from: 0, to: 1 }];
  return having.map((child, i) => {
    const from = sum(splits.slice(0, child));
    return { child, from, to: i === having.length - 1 ? length : from + (splits[child] as number) };
  });
}

function lengthOf({ from, to }: Range): Dim {
  return addDims(to, multiplyDims(-1, from));
}

/** x [batch·length, d] → [batch·tokens, d]. */
function tokensOf(x: Value, { batch, length }: Rows, range: Range): Value {
  const d = x.shape.at(-1) as number;
  return reshape(slice(reshape(x, [batch, length, d]), 1, range.from, range.to), [multiplyDims(batch, lengthOf(range)), d]);
}

function joined(values: readonly Value[], ranges: readonly Range[], { batch, length }: Rows): Value {
  const parts = values.map((value, i) => reshape(value, [batch, lengthOf(ranges[i] as Range), value.shape.at(-1) as number]));
  const all = concat(parts, 1);
  return reshape(all, [multiplyDims(batch, length), all.shape[2] as Dim]);
}

function stateOf<Name extends SiteName>(name: Name, state: States[Name], rows: Rows, range: Range): States[Name] {
  if (state === undefined) return state;
  if (name !== 'residual') return tokensOf(state as Value, rows, range) as States[Name];
  const { h, residual } = state as ResidualState;
  return { h: tokensOf(h, rows, range), ...(residual && { residual: tokensOf(residual, rows, range) }) } as States[Name];
}

function siteOf<Name extends SiteName>(name: Name, site: Sites[Name], range: Range): Sites[Name] {
  return (NARROWER[name as Site] as unknown as (site: Sites[Name], range: Range) => Sites[Name])(site, range);
}

const NARROWER: { readonly [Name in Site]: (site: Sites[Name], range: Range) => Sites[Name] } = {
  linear: (site, range): LinearSite => ({
    ...site,
    length: lengthOf(range),
    own: site.own && slice(site.own, 1, range.from, range.to),
    x: tokensOf(site.x, site, range),
    y: tokensOf(site.y, site, range),
  }),
  layer: (site, range) => ({ ...site, length: lengthOf(range), h: tokensOf(site.h, site, range) }),
  residual(site, range) {
    const residual = tokensOf(site.residual, site, range);
    return {
      ...site,
      length: lengthOf(range),
      own: slice(site.own, 1, range.from, range.to),
      h: tokensOf(site.h, site, range),
      x: tokensOf(site.x, site, range),
      residual,
      join: (h) => site.norm(add(h, residual)),
    };
  },
};

function refuse(block: Split, site: SiteName, { length }: Rows): never {
  return fail({
    code: 'method.config',
    subject: describe(block),
    found: `sequences of ${length} tokens at the site '${site}'`,
    expected: 'those of the text alone: nothing that puts tokens in can stand before it',
  });
}
