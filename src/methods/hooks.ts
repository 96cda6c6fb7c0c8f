import { fail } from '../base/index.ts';
import type { Hooks, SiteName, SiteResults, Sites } from '../encoders/index.ts';
import type { Value } from '../graph/index.ts';
import type { Act, Acts, States } from './act.ts';

type Starts = { readonly [Name in SiteName]: (site: Sites[Name]) => States[Name] };
type Ends = { readonly [Name in SiteName]: (site: Sites[Name], state: States[Name]) => SiteResults[Name] };

/** What the first adapter at a site is given. */
const START: Starts = {
  embedded: (site) => site,
  input: ({ x }) => x,
  linear: () => undefined,
  attention: ({ key, value, mask }) => ({ key, value, mask }),
  scores: ({ scores }) => scores,
  residual: ({ h }) => ({ h }),
  norm: ({ y }) => y,
  layer: ({ h }) => h,
  output: ({ x }) => x,
  word: ({ x }) => x,
};

/** What stands at a site once all adapters have acted, where the last of them does not say so itself. */
const END: Ends = {
  embedded: (_, state) => state,
  input: (_, state) => state,
  linear: ({ y }) => y,
  attention: (_, state) => state,
  scores: (_, state) => state,
  residual: ({ join }, { h }) => join(h),
  norm: (_, state) => state,
  layer: (_, state) => state,
  output: (_, state) => state,
  word: (_, state) => state,
};

/** What stands at a site that no act ends. */
export function stockEnd<Name extends SiteName>(name: Name, site: Sites[Name], state: States[Name]): SiteResults[Name] {
  return END[name](site, state);
}

/** A site as acts are to see it. */
type SiteAs = <Name extends SiteName>(name: Name, site: Sites[Name]) => Sites[Name];

/** Acts as the hooks that an encoder is drawn with; sites where nothing acts stay stock. @throws method.contract for an unknown site */
export function hooksOf(acts: Acts, siteAs: SiteAs = (_, site) => site): Hooks {
  for (const name of Object.keys(acts))
    if (!Object.hasOwn(START, name))
      fail({ code: 'method.contract', subject: `the site '${name}'`, found: 'none of that name', expected: Object.keys(START).join(', ') });
  const hooks = Object.keys(acts).map((name) => [name, hookAt(name as SiteName, acts, siteAs)] as const);
  return Object.fromEntries(hooks) as Hooks;
}

function hookAt<Name extends SiteName>(name: Name, acts: Acts, siteAs: SiteAs) {
  const actAt = acts[name] as (site: Sites[Name]) => Act<Name> | undefined;
  return (given: Sites[Name]): SiteResults[Name] => {
    const site = siteAs(name, given);
    const act = actAt(site);
    const state = act ? act.apply(START[name](site)) : START[name](site);
    const stock = (last: States[Name]) => stockEnd(name, site, last);
    return act?.close ? (act.close(state, stock as (last: States[Name]) => Value) as SiteResults[Name]) : stock(state);
  };
}

/** What stands at a site where nothing acts. */
export function stockAt<Name extends SiteName>(name: Name, site: Sites[Name]): SiteResults[Name] {
  return END[name](site, START[name](site));
}
