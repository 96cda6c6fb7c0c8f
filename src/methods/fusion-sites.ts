import { fail } from '../base/index.ts';
import { type EncoderFamily, type LinearName, linearPath, linearPlace, outerLinears, PLACES, type Place } from '../encoders/index.ts';
import type { Adapter } from './adapter.ts';
import type { EncoderFacts } from './context.ts';
import { adapterPath, loraPath, modules } from './method.ts';

/** One place of one layer module where a fusion mixes adapters. */
export interface FusionSite {
  readonly at: { readonly place: Place } | { readonly linear: LinearName };
  /** Undefined outside of the layers. */
  readonly module: number | undefined;
  /** Full name of the fusion there. */
  readonly path: string;
  /** Numbers per row of what is mixed. */
  readonly width: number;
  /** Whether any of the adapters stands there. */
  readonly used: boolean;
}

/** The name under which `adapters` keeps fusions beside adapters. */
const CONTAINER = 'adapter_fusion_layer';

/** Full name of a fusion that `adapters` adds beside a sub-block: `….output.adapter_fusion_layer.NAME`. */
export function fusionPath(family: EncoderFamily, name: string, place: Place, module: number): string {
  const path = family.modulePath(place, module);
  return `${family.prefix}${path.slice(0, path.lastIndexOf('.'))}.${CONTAINER}.${name}`;
}

/**
 * Every site of a fusion, in all layers: those at whose kind its adapters stand, whether or not they leave a layer out.
 * @throws method.config for adapters at different kinds of places
 */
export function fusionSites(name: string, adapters: readonly Adapter[], { encoder, family }: EncoderFacts): FusionSite[] {
  const all = modules(encoder, []);
  const stands = (adapter: Adapter, path: (adapter: string) => string) =>
    adapter.parameters.some((spec) => spec.name.startsWith(`${path(adapter.name)}.`));
  const beside = (place: Place, module: number) => (adapter: string) => adapterPath({ encoder, family, name: adapter }, place, module);
  const inside = (linear: LinearName, module: number | undefined) => (adapter: string) =>
    loraPath({ encoder, family, name: adapter }, linear, module);
  const outer = outerLinears(family).map(({ name: linear }): LinearName => linear);
  const linears = [...family.linears.flatMap(({ name: linear, parts }) => [linear, ...(parts ?? [])]), ...outer];
  const modulesOf = (linear: LinearName) => (outer.includes(linear) ? [undefined] : all);
  const kindsOf = (adapter: Adapter): Kinds => ({
    places: PLACES.filter((place) => all.some((module) => stands(adapter, beside(place, module)))),
    linears: linears.filter((linear) => modulesOf(linear).some((module) => stands(adapter, inside(linear, module)))),
  });
  const kinds = commonKinds(adapters.map((adapter) => ({ name: adapter.name, ...kindsOf(adapter) })));
  const used = (path: (adapter: string) => string) => adapters.some((adapter) => stands(adapter, path));
  return [
    ...kinds.places.flatMap((place) =>
      all.map((module) => ({
        at: { place },
        module,
        path: fusionPath(family, name, place, module),
        width: encoder.hidden,
        used: used(beside(place, module)),
      })),
    ),
    ...kinds.linears.flatMap((linear) =>
      modulesOf(linear).map((module) => ({
        at: { linear },
        module,
        path: `${linearPath(family, linear, module)}.${CONTAINER}.${name}`,
        width: linearPlace(family, linear).out(encoder),
        used: used(inside(linear, module)),
      })),
    ),
  ];
}

interface Kinds {
  readonly places: readonly Place[];
  readonly linears: readonly LinearName[];
}

/** Where fused adapters stand: all of them at the same kinds of places. */
function commonKinds([first, ...others]: readonly (Kinds & { readonly name: string })[]): Kinds {
  if (!first) return { places: [], linears: [] };
  const shown = ({ places, linears }: Kinds) =>
    [
      ...(places.length > 0 ? [`modules after ${places.join(' and ')}`] : []),
      ...(linears.length > 0 ? [`low-rank updates of ${linears.join(', ')}`] : []),
    ].join(', ') || 'nothing that can be mixed';
  const key = ({ places, linears }: Kinds) => JSON.stringify([places, linears]);
  const different = others.find((kinds) => key(kinds) !== key(first));
  if (different)
    fail({
      code: 'method.config',
      subject: `the fused adapter '${different.name}'`,
      found: shown(different),
      expected: `${shown(first)}, as '${first.name}' has`,
      next: 'Fuse adapters of the same kind.',
    });
  return first;
}
