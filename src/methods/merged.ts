import { type EmbeddedSite, type KeysAndValues, LOWEST, type SiteName, type SiteResults, type Sites } from '../encoders/index.ts';
import { addDims, concat, type Dim, divideDim, expand, multiplyDims, reshape, scalar, slice, type Value } from '../graph/index.ts';
import { BATCH, stockOf } from './one-sequence.ts';

/** What a group of adapters makes of a site, for one sequence. */
export interface Part<Name extends SiteName> {
  readonly group: number;
  readonly result: SiteResults[Name];
  /** Values of the drawing for one sequence, for all sequences of the group: [n, …]. */
  many(values: readonly Value[]): Value[];
}

/** How sequences of groups come together. */
export interface Merging {
  /** Of all sequences [B, …] → those of a group [n, …]. */
  readonly pick: (value: Value, group: number) => Value;
  /** Those of the groups [n, …], one value for each part, and the others' own as `stock` gives them, → [B, …]. */
  readonly put: (groups: readonly number[], values: readonly Value[], stock: () => Value) => Value;
}

/** The site as it stands for the whole batch. */
export function merged<Name extends SiteName>(
  name: Name,
  site: Sites[Name],
  parts: readonly Part<Name>[],
  merging: Merging,
): SiteResults[Name] {
  if (name === 'embedded') return mergedEmbedded(site as EmbeddedSite, parts as readonly Part<'embedded'>[], merging) as SiteResults[Name];
  if (name === 'attention')
    return mergedAttention(site as KeysAndValues, parts as readonly Part<'attention'>[], merging) as SiteResults[Name];
  if (parts.length === 0) return stockOf(name, site) as SiteResults[Name];
  const groups = parts.map(({ group }) => group);
  const values = parts.map(({ result, many }) => many([result as Value])[0] as Value);
  return joined(merging.put(groups, values, () => split(stockOf(name, site)))) as SiteResults[Name];
}

/** [B·n, …] → [B, n, …]. */
function split(value: Value): Value {
  const [rows, ...rest] = value.shape as [Dim, ...Dim[]];
  return reshape(value, [BATCH, divideDim(rows, BATCH) as Dim, ...rest]);
}

/** [B, n, …] → [B·n, …]. */
function joined(value: Value): Value {
  const [batch, each, ...rest] = value.shape as [Dim, Dim, ...Dim[]];
  return reshape(value, [multiplyDims(batch, each), ...rest]);
}

/** Sequences with fewer tokens that were put in are as long as the others, by pads behind their text. */
function mergedEmbedded(site: EmbeddedSite, parts: readonly Part<'embedded'>[], { pick, put }: Merging): EmbeddedSite {
  if (parts.length === 0) return site;
  const most = Math.max(...parts.map(({ result }) => result.added));
  const length = addDims(site.length, most);
  const groups = parts.map(({ group }) => group);
  const drawn = parts.map(({ result, many }) => {
    const [x, mask] = many([result.x, result.mask]) as [Value, Value];
    const [n, , own] = mask.shape as [Dim, Dim, Dim];
    return { x: padded(x, 1, length), mask: padded(reshape(mask, [n, own]), 1, length) };
  });
  const ofX = drawn.map(({ x }) => x);
  const ofMask = drawn.map(({ mask }) => mask);
  const text = (tokens: Value): Value => {
    const apart = split(tokens);
    const own = parts.map(({ group, result }) => textOf(pick(apart, group), result, site.length));
    return joined(put(groups, own, () => slice(apart, 1, 0, site.length)));
  };
  return {
    ...site,
    x: joined(put(groups, ofX, () => padded(split(site.x), 1, length))),
    mask: put(groups, ofMask, () => padded(site.mask, 1, length)),
    length,
    added: most,
    ...(most > 0 && { text }),
  };
}

/** x [n, length, d] without what was put in, and without pads behind it: [n, S, d]. */
function textOf(x: Value, { added, at }: EmbeddedSite, length: Dim): Value {
  return concat([...(at > 0 ? [slice(x, 1, 0, at)] : []), slice(x, 1, at + added, addDims(length, added))], 1);
}

/** Sequences with fewer keys have others behind their own, which the mask hides. */
function mergedAttention({ key, value, mask }: KeysAndValues, parts: readonly Part<'attention'>[], { put }: Merging): KeysAndValues {
  if (parts.length === 0) return { key, value, mask };
  const groups = parts.map(({ group }) => group);
  const drawn = parts.map(({ result, many }) => many([result.key, result.value, result.mask]).map(withoutOne) as [Value, Value, Value]);
  const before = key.shape[2] as Dim;
  const added = drawn.map(([keys]) => addDims(keys.shape[2] as Dim, multiplyDims(-1, before)) as number);
  const length = addDims(before, Math.max(...added));
  const masks = [mask, ...drawn.map((part) => part[2])];
  const common = [1, 2].map((axis) => masks.map(({ shape }) => shape[axis] as Dim).find((dim) => dim !== 1) ?? 1);
  const spread = (own: Value, n: Dim): Value => padded(expand(own, [n, ...common, own.shape[3] as Dim]), 3, length, -LOWEST);
  return {
    key: put(
      groups,
      drawn.map(([keys]) => padded(keys, 2, length)),
      () => padded(key, 2, length),
    ),
    value: put(
      groups,
      drawn.map(([, values]) => padded(values, 2, length)),
      () => padded(value, 2, length),
    ),
    mask: put(
      groups,
      drawn.map(([keys, , own]) => spread(own, keys.shape[0] as Dim)),
      () => spread(mask, BATCH),
    ),
  };
}

/** [n, 1, …] → [n, …]. */
function withoutOne(value: Value): Value {
  const [n, , ...rest] = value.shape as [Dim, Dim, ...Dim[]];
  return reshape(value, [n, ...rest]);
}

/** With so many along an axis, by a number behind what is there. */
function padded(x: Value, axis: number, length: Dim, fill = 0): Value {
  const more = addDims(length, multiplyDims(-1, x.shape[axis] as Dim)) as number;
  return more === 0 ? x : concat([x, expand(scalar(fill), x.shape.with(axis, more))], axis);
}
