import { fail, float32, type Tensor } from '../base/index.ts';
import type { Hooks, SiteName, SiteResults, Sites } from '../encoders/index.ts';
import { concat, type Dim, forEach, gather, greater, input, type Many, scalar, type Value, where } from '../graph/index.ts';
import { type ModuleBank, moduleBank, noDropout, type ParameterSpec, type Parameters } from '../nn/index.ts';
import type { Attachment } from './attachment.ts';
import { merged, type Part } from './merged.ts';
import { ints, type Order, orderOf, type Placed, rowsOf } from './mixed-feeds.ts';
import { BATCH, oneSequence, stockOf } from './one-sequence.ts';

/** Adapters of several shapes in one batch. */
export interface MixedRows extends Attachment {
  /** By group. */
  readonly banks: readonly ModuleBank[];
  /** What the program is fed beside the banks, for sequences with these adapters; undefined for none. */
  feeds(adapters: readonly (Placed | undefined)[]): Record<string, Tensor>;
  /** What values of the hook `word` are, drawn for one item of a head; `context` names the head. */
  leaf(value: Value, context: string, items: Dim): Many | undefined;
  /** What the program is fed for that, where the head's items have these adapters. `feeds` says which are used. */
  itemFeeds(context: string, items: readonly (Placed | undefined)[], adapters: readonly (Placed | undefined)[]): Record<string, Tensor>;
}

/**
 * One batch in which each sequence has its own adapter, or none. Adapters whose drawings differ in values alone are a group, and each
 * of `groups` was attached for one of them: it is drawn for one sequence and computed for all those that are of the group. `bare` says
 * that sequences may have no adapter. For prediction: nothing is dropped, and nothing trains.
 */
export function attachMixedRows(groups: readonly Attachment[], { bare = true }: { readonly bare?: boolean } = {}): MixedRows {
  const whole = groups.length === 1 && !bare;
  const banks = groups.map((group, g) => moduleBank(`adapters.${g}`, `M${g}`, mixedParameters(group)));
  const orders = new Map<string, Order>();
  const inputs = new Map<string, Value>();
  const inputOf = (name: string, dtype: 'int32' | 'float32', shape: readonly Dim[]): Value => {
    const value = inputs.get(name) ?? input(name, dtype, shape);
    inputs.set(name, value);
    return value;
  };
  /** In the drawing of one item: 1 where it is of the group. */
  const selects = groups.map((_, g) => inputOf(selectsOf(`one.${g}`), 'float32', []));
  const countOf = (g: number): Dim => (whole ? BATCH : `N${g}`);

  const pick = (value: Value, g: number): Value => (whole ? value : gather(value, inputOf(`${rowsAt(g)}.of`, 'int32', [countOf(g)])));
  const put = (acting: readonly number[], values: readonly Value[], stock: () => Value): Value => {
    if (whole) return values[0] as Value;
    const order = { groups: acting, stock: bare || acting.length < groups.length };
    const name = `order.${order.stock ? 'all.' : ''}${acting.join('.')}`;
    orders.set(name, order);
    return gather(concat([...(order.stock ? [stock()] : []), ...values], 0), inputOf(name, 'int32', [BATCH]));
  };

  function hooks(parameters: Parameters): Hooks {
    const ofGroups = groups.map((group, g) => group.hooks((banks[g] as ModuleBank).parameters(parameters), noDropout));
    // Set while a hook of a group draws: norms that it calls are of one sequence.
    let drawing: number | undefined;
    const at = <Name extends SiteName>(name: Name, site: Sites[Name]): SiteResults[Name] => {
      const hookOf = (g: number) => ofGroups[g]?.[name] as ((site: Sites[Name]) => SiteResults[Name]) | undefined;
      if (drawing !== undefined) return hookOf(drawing)?.({ ...site, batch: 1 }) ?? (stockOf(name, site) as SiteResults[Name]);
      const parts = groups.flatMap((_, g): Part<Name>[] => {
        const hook = hookOf(g);
        if (!hook) return [];
        const one = oneSequence(name, site);
        drawing = g;
        const result = hook(one.site);
        drawing = undefined;
        if (one.isStock(result)) return [];
        if ('batch' in site && site.batch !== BATCH) refuse(groups[g] as Attachment, name);
        const leaf = (value: Value): Many | undefined => {
          const whole = one.placeholders.get(value);
          return whole ? { value: pick(whole, g) } : banks[g]?.leaf(value, rowsAt(g), countOf(g));
        };
        return [{ group: g, result, many: (values) => forEach(values, countOf(g), leaf) }];
      });
      return merged(name, site, parts, { pick, put });
    };
    const names = new Set(ofGroups.flatMap((own) => Object.keys(own) as SiteName[]));
    return {
      ...Object.fromEntries([...names].map((name) => [name, (site: Sites[typeof name]) => at(name, site)])),
      // Drawn for one item, whose adapter may be of any group.
      ...(names.has('word') && {
        word: (site: Sites['word']) =>
          ofGroups.reduce((x, own, g) => (own.word ? where(greater(selects[g] as Value, scalar(0)), own.word(site), x) : x), site.x),
      }),
    };
  }

  return {
    name: 'mixed rows',
    text: 'mixed rows',
    learningRate: 0,
    trainsEncoder: false,
    mixesTokens: groups.some(({ mixesTokens }) => mixesTokens),
    parameters: [],
    banks,
    hooks,
    feeds(adapters) {
      const ofGroups = groups.map((_, g) => rowsOf(g, adapters));
      return {
        ...Object.assign({}, ...ofGroups.map(({ slots, used }, g) => banks[g]?.feeds(rowsAt(g), slots, used))),
        ...Object.fromEntries(ofGroups.map(({ rows }, g) => [`${rowsAt(g)}.of`, ints(rows)])),
        ...Object.fromEntries([...orders].map(([name, order]) => [name, ints(orderOf(order, adapters, ofGroups))])),
      };
    },
    leaf(value, context, items) {
      const g = selects.indexOf(value);
      if (g >= 0) return { value: inputOf(selectsOf(`${context}.${g}`), 'float32', [items]) };
      return banks.map((bank, group) => bank.leaf(value, `${context}.${group}`, items)).find((found) => found !== undefined);
    },
    itemFeeds(context, items, adapters) {
      const feeds = banks.map((bank, g) => {
        const { used } = rowsOf(g, adapters);
        const of = (one: Placed | undefined) => one?.group === g;
        const slots = items.map((one) => (one && of(one) ? one.slot : (used[0] as number)));
        const selects = Float32Array.from(items, (one) => Number(of(one)));
        return { ...bank.feeds(`${context}.${g}`, slots, used), [selectsOf(`${context}.${g}`)]: float32([items.length], selects) };
      });
      return Object.assign({}, ...feeds);
    },
  };
}

const rowsAt = (group: number) => `adapters.${group}.rows`;
const selectsOf = (context: string) => `${context}.selects`;

/** What differs among the adapters of a group: parameters, and scalars that training changed, which stay as it left them. */
export function mixedParameters({ parameters, schedule }: Attachment): Pick<ParameterSpec, 'name' | 'shape'>[] {
  return [...parameters, ...Object.keys(schedule?.(0) ?? {}).map((name) => ({ name, shape: [] }))];
}

/** What such rows become is read by all sequences, which may have other adapters. */
function refuse({ text }: Attachment, site: SiteName): never {
  return fail({
    code: 'method.config',
    subject: `the method ${text} among rows of several adapters`,
    found: `a ${site} that computes rows which belong to no sequence, such as a table of distances`,
    expected: 'an adapter that leaves it as it is',
    next: 'Answer the rows of each adapter on their own.',
  });
}
