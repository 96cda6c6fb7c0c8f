import { type KeysAndValues, type LayerRows, LOWEST, type Rows, type SiteName, type Sites } from '../../encoders/index.ts';
import { add, addDims, concat, type Dim, expand, gather, multiplyDims, reshape, scalar, type Value } from '../../graph/index.ts';
import type { Act, ResidualState, States } from '../act.ts';
import { type Composition, describe } from '../composition.ts';
import { stockEnd } from '../hooks.ts';

/** Some of a batch's sequences: how many, and a value of all of them, [batch, …], cut down to these, [sequences, …]. */
export interface Selection {
  readonly batch: Dim;
  readonly take: (value: Value) => Value;
}

/** Where rows can be told apart by their sequences: everywhere but at the embeddings, where lengths may change, and at norms. */
export const SITES_OF_SEQUENCES = ['input', 'linear', 'attention', 'scores', 'residual', 'layer', 'output'] as const;
type SiteOfSequences = (typeof SITES_OF_SEQUENCES)[number];

/** The sequences whose places in the batch are `places` [sequences] int32. */
export function sequencesAt(places: Value): Selection {
  return { batch: places.shape[0] as Dim, take: (value) => gather(value, places) };
}

export function isOfSequences(name: SiteName): boolean {
  return SITES_OF_SEQUENCES.some((site) => site === name);
}

/** A site whose batch stands there so many times, one after another. */
export function repeatedSite<Name extends SiteName>(name: Name, site: Sites[Name], times: number): Sites[Name] {
  const batch = multiplyDims(times, (site as unknown as Rows).batch);
  const take = (value: Value) =>
    concat(
      Array.from({ length: times }, () => value),
      0,
    );
  return { ...siteOf(name, site, { batch, take }), times };
}

type Extent = Pick<Rows, 'batch' | 'length'>;

/** A value [batch·length, d], of some of its sequences. */
function rowsOf(x: Value, { batch, length }: Extent, { batch: some, take }: Selection): Value {
  const d = x.shape.at(-1) as number;
  return reshape(take(reshape(x, [batch, length, d])), [multiplyDims(some, length), d]);
}

/** A site as it is for some sequences. */
export function siteOf<Name extends SiteName>(name: Name, site: Sites[Name], some: Selection): Sites[Name] {
  return (NARROWER[name as SiteOfSequences] as unknown as (site: Sites[Name], some: Selection) => Sites[Name])(site, some);
}

const NARROWER: { readonly [Name in SiteOfSequences]: (site: Sites[Name], some: Selection) => Sites[Name] } = {
  input: (site, some) => ({ ...site, batch: some.batch, x: rowsOf(site.x, site, some) }),
  output: (site, some) => ({ ...site, batch: some.batch, x: rowsOf(site.x, site, some) }),
  layer: (site, some) => ({ ...layerOf(site, some), h: rowsOf(site.h, site, some) }),
  linear: (site, some) => ({
    ...site,
    batch: some.batch,
    own: site.own && some.take(site.own),
    x: rowsOf(site.x, site, some),
    y: rowsOf(site.y, site, some),
  }),
  attention: (site, some) => ({ ...layerOf(site, some), ...keysOf(site, site.batch, some) }),
  scores: (site, some) => ({ ...layerOf(site, some), scores: some.take(site.scores) }),
  residual(site, some) {
    const residual = rowsOf(site.residual, site, some);
    return {
      ...layerOf(site, some),
      h: rowsOf(site.h, site, some),
      x: rowsOf(site.x, site, some),
      residual,
      join: (h) => site.norm(add(h, residual)),
    };
  },
};

function layerOf<Site extends LayerRows>(site: Site, some: Selection): Site {
  const { input, all, mask, own } = site;
  return {
    ...site,
    batch: some.batch,
    input: rowsOf(input, all, some),
    all: { ...all, batch: some.batch },
    mask: ofEach(mask, all.batch, some),
    own: some.take(own),
  };
}

function keysOf({ key, value, mask }: KeysAndValues, batch: Dim, some: Selection): KeysAndValues {
  return { key: some.take(key), value: some.take(value), mask: ofEach(mask, batch, some) };
}

/** What may be one for all sequences stays so. */
function ofEach(value: Value, batch: Dim, some: Selection): Value {
  return value.shape[0] === batch ? some.take(value) : value;
}

/** A state at a site of `rows`, of some sequences. */
export function stateOf<Name extends SiteName>(name: Name, state: States[Name], rows: Extent, some: Selection): States[Name] {
  if (state === undefined) return state;
  const cut = (value: Value) => rowsOf(value, rows, some);
  if (name === 'attention') return keysOf(state as KeysAndValues, rows.batch, some) as States[Name];
  if (name === 'scores') return some.take(state as Value) as States[Name];
  if (name !== 'residual') return cut(state as Value) as States[Name];
  const { h, residual } = state as ResidualState;
  return { h: cut(h), ...(residual && { residual: cut(residual) }) } as States[Name];
}

const oneAfterAnother = (values: readonly Value[]) => concat(values, 0);

/** States of several shares as one; `join` puts values [rows, d] together. */
export function together<Name extends SiteName>(
  name: Name,
  states: readonly States[Name][],
  sites: readonly Sites[Name][],
  join = oneAfterAnother,
): States[Name] {
  if (name === 'attention') return keysTogether(states as readonly KeysAndValues[], sites as readonly Extent[]) as States[Name];
  if (name === 'residual') {
    const all = states as readonly ResidualState[];
    const h = join(all.map((state) => state.h));
    const residuals = all.flatMap(({ residual }) => residual ?? []);
    return { h, ...(residuals.length === all.length && { residual: join(residuals) }) } as States[Name];
  }
  if (states.every((state) => state === undefined)) return states[0] as States[Name];
  // At a linear where some of them have no update, it is zero.
  const none = (i: number) => expand(scalar(0), (sites[i] as Sites['linear']).y.shape);
  return join((states as readonly States['linear'][]).map((state, i) => state ?? none(i))) as States[Name];
}

/** Where methods have put fewer keys before those of the tokens, keys that nothing reads fill up. */
function keysTogether(states: readonly KeysAndValues[], sites: readonly Extent[]): KeysAndValues {
  const [first] = states as [KeysAndValues];
  const more = states.map(({ key }) => addDims(key.shape[2] as Dim, multiplyDims(-1, first.key.shape[2] as Dim)) as number);
  const parts = states.map(({ key, value, mask }, i) => {
    const missing = Math.max(...more) - (more[i] as number);
    const [, heads, , width] = key.shape as [Dim, Dim, Dim, Dim];
    const { batch } = sites[i] as Extent;
    const ofEach = expand(mask, [batch, ...mask.shape.slice(1)]);
    if (missing === 0) return { key, value, mask: ofEach };
    const none = expand(scalar(0), [batch, heads, missing, width]);
    const unread = expand(scalar(-LOWEST), [...ofEach.shape.slice(0, 3), missing]);
    return { key: concat([none, key], 2), value: concat([none, value], 2), mask: concat([unread, ofEach], 3) };
  });
  const all = (part: keyof KeysAndValues) =>
    concat(
      parts.map((one) => one[part]),
      0,
    );
  return { key: all('key'), value: all('value'), mask: all('mask') };
}

/** What a child does for its share of a site; undefined where it leaves that as it is. */
export interface Share<Name extends SiteName> {
  readonly child: Composition;
  readonly site: Sites[Name];
  readonly act: Act<Name> | undefined;
}

/** How a site's states and values [rows, d] are cut into shares and put together again. */
export interface Cutting<Name extends SiteName> {
  readonly state: (state: States[Name], share: number) => States[Name];
  readonly value: (value: Value, share: number) => Value;
  readonly states: (states: readonly States[Name][]) => States[Name];
  readonly values: (values: readonly Value[]) => Value;
}

/** By sequences. `order` [batch] int32 says where in the shares, one after another, each stands; they are in order where it is left out. */
export function bySequences<Name extends SiteName>(
  name: Name,
  site: Sites[Name],
  shares: readonly (Share<Name> & { readonly some: Selection })[],
  order?: Value,
): Cutting<Name> {
  const rows = site as unknown as Rows;
  const some = shares.map((share) => share.some);
  const joined = { batch: some.map(({ batch }) => batch).reduce(addDims), length: rows.length };
  const back = order && sequencesAt(order);
  return {
    state: (state, i) => stateOf(name, state, rows, some[i] as Selection),
    value: (value, i) => rowsOf(value, rows, some[i] as Selection),
    states(states) {
      const all = together(
        name,
        states,
        shares.map((share) => share.site),
      );
      return back ? stateOf(name, all, joined, back) : all;
    },
    values: (values) => (back ? rowsOf(concat(values, 0), joined, back) : concat(values, 0)),
  };
}

/**
 * Each share of a site as its child leaves it, from the first step to the last; shares without an act stay as they would be. A block
 * inside makes its first step once more, as in Python.
 */
export function byShares<Name extends SiteName>(name: Name, shares: readonly Share<Name>[], cutting: Cutting<Name>): Act<Name> | undefined {
  if (!shares.some(({ act }) => act)) return undefined;
  const absent = shares.find(({ act }) => !act);
  return {
    apply: (state) =>
      cutting.states(
        shares.map(({ act }, i) => {
          const given = cutting.state(state, i);
          return act ? act.apply(act.prepare ? act.prepare(given) : given) : given;
        }),
      ),
    ...(shares.every(({ act }) => act?.prepare) && {
      prepare: (state) => cutting.states(shares.map(({ act }, i) => act?.prepare?.(cutting.state(state, i)) as States[Name])),
    }),
    ...(shares.some(({ act }) => act?.close) && {
      close(state, otherwise) {
        const stays = (i: number) => cutting.value(otherwise(state), i);
        const ended = ({ act, site }: Share<Name>, i: number): Value => {
          if (!act) return stays(i);
          const given = cutting.state(state, i);
          return act.close ? act.close(given, () => stays(i)) : (stockEnd(name, site, given) as Value);
        };
        return cutting.values(shares.map(ended));
      },
    }),
    ...(name === 'linear' && absent && { ends: `'${describe(absent.child)}' makes no update there that it could read` }),
  };
}
