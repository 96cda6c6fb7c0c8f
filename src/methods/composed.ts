import { fail } from '../base/errors.ts';
import type { Graft } from '../encoders/index.ts';
import { concat, input, slice, type Value } from '../graph/index.ts';
import type { ParameterSpec } from '../nn/index.ts';
import type { Attachment } from './attachment.ts';
import { drawComposition, type Fused } from './compose.ts';
import { adaptersOf, type Composition, describe, type Fuse, fusionsOf, lastOf } from './composition.ts';
import { drawFusion, type FusionConfig, fusionParameters, valueRegularizer } from './fusion.ts';
import { type FusionSite, fusionSites } from './fusion-sites.ts';
import type { MethodContext } from './method.ts';
import type { ConfiguredMethod } from './registry.ts';

type EncoderFacts = Pick<MethodContext, 'encoder' | 'family'>;

export interface Parts {
  readonly adapters: ReadonlyMap<string, ConfiguredMethod>;
  readonly fusions: ReadonlyMap<string, FusionConfig>;
  /** Whether the adapters train with the fusions. */
  readonly trainAdapters?: boolean;
  /** Whether {@link FUSION_MASK}, [children], is added to the scores of the one fusion, to leave some out without another program. */
  readonly masked?: boolean;
}

/** Input of {@link Parts.masked}: 0 for adapters that count, a large negative number for others. */
export const FUSION_MASK = 'fusion.mask';

const SHARPNESS = 'fusion.sharpness';
const FIRST_TEMPERATURE = 50;
/** Ten times that of Pfeiffer et al. 2021, whose tasks have many more rows: docs/decisions.md. */
const LEARNING_RATE = 5e-4;

/**
 * Adapters that are already there, put together. What trains are the fusions in the composition.
 * @throws adapter.missing; method.config for methods that cannot be composed, or stand at different places
 */
export function attachComposition(setup: Composition, parts: Parts, { encoder, family }: EncoderFacts): Attachment {
  const methods = new Map(adaptersOf(setup).map((name) => [name, composable(name, parts.adapters)]));
  const fusions = fusionsOf(setup).map((one) => fusionOf(one, parts, methods, { encoder, family }));
  const lowRank = [...methods].flatMap(([name, { method }]) => (method.lowRankAt ? [name] : []));
  if (lowRank.length > 0) checkFlat(setup, lowRank[0] as string);
  const adapterSpecs = [...methods].flatMap(([name, { method, config }]) => method.parameters(config, { encoder, family, name }));
  return {
    name: fusions[0]?.fuse.name ?? lastOf(setup),
    text: describe(setup),
    learningRate: LEARNING_RATE,
    trainsEncoder: false,
    mixesTokens: [...methods.values()].some(({ method, config }) => method.mixesTokens(config)),
    parameters: [...fusions.flatMap(({ specs }) => specs), ...(parts.trainAdapters ? adapterSpecs : [])],
    graft(parameters, dropout, observe): Graft {
      // One value, however many sites read it.
      const sharpness = input(SHARPNESS, 'float32', []);
      const mask = parts.masked ? input(FUSION_MASK, 'float32', [fusions[0]?.fuse.children.length as number]) : undefined;
      const mixed = (name: string, { layer, at, module }: Where, given: Fused): Value => {
        const { fuse, config, sites } = fusions.find(({ fuse }) => fuse.name === name) as Fusion;
        const { path, width } = sites.find((site) => site.module === module && same(site.at, at)) as FusionSite;
        const shapes = new Map(fusionParameters(config, path, width).map((spec) => [spec.name, spec.shape]));
        const where = `${layer}.${'place' in at ? at.place : at.linear}`;
        const { output, attention } = drawFusion({
          config,
          own: (tail) => parameters(`${path}.${tail}`, shapes.get(`${path}.${tail}`) as readonly number[]),
          query: config.query_before_ln ? given.unnormed : given.z,
          residual: given.residual,
          parts: given.parts,
          // 0 too stands for the encoder's own, as in Python.
          dropout: (scores) => dropout(scores, config.dropout_prob || encoder.attentionDropout, `fusion.${where}.${name}`),
          ...(mask && { mask: maskOf(mask, fuse, given.names) }),
          ...(config.temperature && { sharpness }),
        });
        observe?.(`${name}/${where}`, attention, given.names);
        return output;
      };
      const contextOf = (name: string) => ({ encoder, family, name });
      return {
        addNorm: (site) =>
          drawComposition(setup, site, {
            at(name) {
              const { method, config } = methods.get(name) as ConfiguredMethod;
              return method.moduleAt?.(config, contextOf(name), parameters, dropout, site);
            },
            fused: ({ name }, given) => mixed(name, { ...site, at: { place: site.place } }, given),
          }),
        // Beyond Python: the updates of a linear are mixed by an attention that asks with the linear's own output.
        linear(site) {
          const given = lowRank.flatMap((name) => {
            const { method, config } = methods.get(name) as ConfiguredMethod;
            const low = method.lowRankAt?.(config, contextOf(name), parameters, dropout, site);
            return low ? [{ name, low }] : [];
          });
          if (given.length === 0) return site.y;
          const [parts, names] = [given.map(({ low }) => low), given.map(({ name }) => name)];
          const fused = { z: site.y, unnormed: site.y, residual: site.y, parts, names };
          return mixed((setup as Fuse).name, { ...site, at: { linear: site.name } }, fused);
        },
      };
    },
    regularizer: (parameters) =>
      valueRegularizer(
        fusions
          .filter(({ config }) => config.regularization)
          .flatMap(({ specs }) => specs.filter(({ name }) => name.endsWith('.value.weight')))
          .map(({ name, shape }) => parameters(name, shape)),
      ),
    ...(fusions.some(({ config }) => config.temperature) && {
      schedule: (steps: number) => ({ [SHARPNESS]: 1 / temperatureAfter(steps) }),
    }),
  };
}

/** As in Python: 50 at first, less by a thousandth of it after each step, never below 1. */
function temperatureAfter(steps: number): number {
  return Math.max(1, FIRST_TEMPERATURE * (1 - steps / 1000));
}

interface Fusion {
  readonly fuse: Fuse;
  readonly config: FusionConfig;
  readonly sites: readonly FusionSite[];
  readonly specs: readonly ParameterSpec[];
}

interface Where {
  readonly layer: number;
  readonly module: number;
  readonly at: FusionSite['at'];
}

/** The entries of those children that stand at a site. */
function maskOf(mask: Value, { children }: Fuse, names: readonly string[]): Value {
  const all = children.map(lastOf);
  if (names.length === all.length) return mask;
  return concat(
    names.map((name) => slice(mask, 0, all.indexOf(name), all.indexOf(name) + 1)),
    0,
  );
}

function same(a: FusionSite['at'], b: FusionSite['at']): boolean {
  return 'place' in a ? 'place' in b && a.place === b.place : 'linear' in b && a.linear === b.linear;
}

/** @throws method.config */
function checkFlat(setup: Composition, name: string): void {
  if (typeof setup === 'string' || setup.type !== 'fuse' || setup.children.some((child) => typeof child !== 'string'))
    fail({
      code: 'method.config',
      subject: `adapter '${name}'`,
      found: `${describe(setup)}, with an update of linears`,
      expected: 'a fusion of names: such adapters cannot be stacked',
    });
}

function fusionOf(
  fuse: Fuse,
  { fusions }: Parts,
  methods: ReadonlyMap<string, ConfiguredMethod>,
  { encoder, family }: EncoderFacts,
): Fusion {
  const config =
    fusions.get(fuse.name) ??
    fail({
      code: 'adapter.missing',
      subject: `the fusion '${fuse.name}'`,
      found: 'none of that name',
      expected:
        fusions.size > 0 ? `one of ${[...fusions.keys()].map((name) => `'${name}'`).join(', ')}` : 'a fusion that was added or loaded',
    });
  const own = new Map(adaptersOf(fuse).map((name) => [name, methods.get(name) as ConfiguredMethod]));
  const adapted = new Set(
    [...own].flatMap(([name, { method, config: at }]) => sitesOf(name, method.parameters(at, { encoder, family, name }))),
  );
  const sites = fusionSites(fuse.name, own, { encoder, family });
  // Python makes a fusion in every layer of a place; one with nothing to fuse never trains.
  const used = sites.filter((site) => [...own.keys()].some((name) => adapted.has(site.adapterPath(name))));
  return { fuse, config, sites, specs: used.flatMap(({ path, width }) => fusionParameters(config, path, width)) };
}

/** The modules that an adapter's parameters belong to, as paths that end with its name. */
function sitesOf(name: string, specs: readonly ParameterSpec[]): string[] {
  return specs.map((spec) => spec.name.slice(0, spec.name.indexOf(`.${name}.`) + name.length + 1));
}

function composable(name: string, adapters: ReadonlyMap<string, ConfiguredMethod>): ConfiguredMethod {
  const found =
    adapters.get(name) ??
    fail({
      code: 'adapter.missing',
      subject: `adapter '${name}'`,
      found: 'none of that name',
      expected: adapters.size > 0 ? `one of ${[...adapters.keys()].join(', ')}` : 'adapters to put together',
    });
  if (!found.method.moduleAt && !found.method.linears?.(found.config).length)
    fail({
      code: 'method.config',
      subject: `adapter '${name}'`,
      found: `the method ${found.text}, which cannot be fused or stacked`,
      expected: 'a bottleneck adapter, or LoRA without a gate',
    });
  return found;
}
