import type { AddNormSite } from '../encoders/index.ts';
import { add, type Value } from '../graph/index.ts';
import { adaptersOf, type Composition, type Fuse, lastOf, type Stack } from './composition.ts';
import { type LowRank, product, standardize } from './low-rank.ts';
import type { AddNormModule } from './method.ts';

/** What a fusion is given at one site; values are [rows, d]. */
export interface Fused {
  readonly z: Value;
  readonly unnormed: Value;
  readonly residual: Value;
  readonly parts: readonly LowRank[];
  /** The adapters that the parts stand for. */
  readonly names: readonly string[];
}

export interface SiteTools {
  /** The module of an adapter, where it has one here. */
  readonly at: (adapter: string) => AddNormModule | undefined;
  readonly fused: (fuse: Fuse, given: Fused) => Value;
}

/**
 * The compositions of the Python library at one site. Parts without a module here are passed over; the last one that has
 * one closes the site.
 */
export function drawComposition(setup: Composition, site: AddNormSite, { at, fused }: SiteTools): Value {
  const normed = new Map<Value, Value>();
  const shared = (x: Value): Value => {
    const known = normed.get(x) ?? standardize(x);
    normed.set(x, known);
    return known;
  };
  const { output, last } = compose(setup, site.h);
  return last ? last.after(output, site) : site.normalize(add(site.h, site.x));

  function compose(part: Composition, h: Value): { output: Value; last: AddNormModule | undefined } {
    if (typeof part !== 'string') return part.type === 'stack' ? composeStack(part, h) : composeFusion(part, h);
    const module = at(part);
    if (!module) return { output: h, last: undefined };
    const { z, residual } = module.before({ ...site, h });
    return { output: module.inside(product(module.lowRank(z, shared)), z, residual), last: module };
  }

  function composeStack({ children }: Stack, h: Value): { output: Value; last: AddNormModule | undefined } {
    let [output, last]: [Value, AddNormModule | undefined] = [h, undefined];
    for (const child of children) {
      const next = compose(child, output);
      output = next.output;
      last = next.last ?? last;
    }
    return { output, last };
  }

  /** The last child says what all of them read and what their residual is. */
  function composeFusion(part: Fuse, h: Value): { output: Value; last: AddNormModule | undefined } {
    const last = adaptersOf(part)
      .flatMap((name) => at(name) ?? [])
      .at(-1);
    if (!last) return { output: h, last };
    const { z, unnormed, residual } = last.before({ ...site, h });
    const given = part.children.flatMap((child) => {
      const low = contribution(child, z);
      return low ? [{ low, name: lastOf(child) }] : [];
    });
    const [parts, names] = [given.map(({ low }) => low), given.map(({ name }) => name)];
    return { output: fused(part, { z, unnormed, residual, parts, names }), last };
  }

  function contribution(child: string | Stack<string>, z: Value): LowRank | undefined {
    if (typeof child === 'string') return at(child)?.lowRank(z, shared);
    const members = child.children.flatMap((name) => at(name) ?? []);
    const top = members.pop();
    if (!top) return undefined;
    let h = z;
    for (const module of members) {
      const { z: read, residual } = module.before({ ...site, h });
      h = module.inside(product(module.lowRank(read, shared)), read, residual);
    }
    return top.lowRank(top.before({ ...site, h }).z, shared);
  }
}
