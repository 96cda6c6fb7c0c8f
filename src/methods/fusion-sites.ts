import { fail } from '../base/errors.ts';
import type { EncoderConfig, EncoderFamily, LinearName, NormPlace } from '../encoders/index.ts';
import { adapterPath, fusionPath, loraPath, modules, PLACES } from './method.ts';
import type { ConfiguredMethod } from './registry.ts';

/** One place of one layer module where a fusion mixes adapters. */
export interface FusionSite {
  readonly at: { readonly place: NormPlace } | { readonly linear: LinearName };
  readonly module: number;
  /** Full name of the fusion there. */
  readonly path: string;
  /** Numbers per row of what is mixed. */
  readonly width: number;
  /** Full name of an adapter there. */
  readonly adapterPath: (adapter: string) => string;
}

const LINEARS: readonly LinearName[] = ['query', 'key', 'value', 'attentionOutput', 'intermediate', 'output'];

/**
 * Every site of a fusion, in all layers: those where its adapters stand by their kind, whether or not they leave a layer out.
 * @throws method.config for adapters of different kinds
 */
export function fusionSites(
  name: string,
  adapters: ReadonlyMap<string, ConfiguredMethod>,
  { encoder, family }: { readonly encoder: EncoderConfig; readonly family: EncoderFamily },
): FusionSite[] {
  const { places, linears } = commonKinds(adapters);
  const context = (own: string) => ({ encoder, family, name: own });
  const all = modules(encoder, []);
  return [
    ...places.flatMap((place) =>
      all.map((module) => ({
        at: { place },
        module,
        path: fusionPath(context(name), place, module),
        width: encoder.hidden,
        adapterPath: (adapter: string) => adapterPath(context(adapter), place, module),
      })),
    ),
    ...linears.flatMap((linear) =>
      all.map((module) => ({
        at: { linear },
        module,
        path: loraPath(context(name), linear, module).replace(/loras(?=\.[^.]*$)/, 'adapter_fusion_layer'),
        width: linear === 'intermediate' ? encoder.intermediate : encoder.hidden,
        adapterPath: (adapter: string) => loraPath(context(adapter), linear, module),
      })),
    ),
  ];
}

interface Kinds {
  readonly places: readonly NormPlace[];
  readonly linears: readonly LinearName[];
}

/** Where fused adapters stand: all of them at the same kinds of places. */
function commonKinds(adapters: ReadonlyMap<string, ConfiguredMethod>): Kinds {
  const kindsOf = ({ method, config }: ConfiguredMethod): Kinds => ({
    places: PLACES.filter((place) => method.places?.(config).includes(place)),
    linears: LINEARS.filter((linear) => method.linears?.(config).includes(linear)),
  });
  const shown = ({ places, linears }: Kinds) =>
    [
      ...(places.length > 0 ? [`modules after ${places.join(' and ')}`] : []),
      ...(linears.length > 0 ? [`low-rank updates of ${linears.join(', ')}`] : []),
    ].join(', ') || 'nothing that can be mixed';
  const [[firstName, first]] = [...adapters] as [[string, ConfiguredMethod]];
  const expected = kindsOf(first);
  for (const [name, one] of adapters) {
    const found = kindsOf(one);
    if (JSON.stringify(found) !== JSON.stringify(expected))
      fail({
        code: 'method.config',
        subject: `the fused adapter '${name}'`,
        found: shown(found),
        expected: `${shown(expected)}, as '${firstName}' has`,
        next: 'Fuse adapters of the same kind.',
      });
  }
  return expected;
}
