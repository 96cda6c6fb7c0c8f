import { fail } from '../base/errors.ts';
import type { Graft, NormPlace } from '../encoders/index.ts';
import { input } from '../graph/index.ts';
import type { ParameterSpec } from '../nn/index.ts';
import type { Attachment } from './attachment.ts';
import { drawComposition } from './compose.ts';
import { adaptersOf, type Composition, describe, type Fuse, fusionsOf, lastOf } from './composition.ts';
import { drawFusion, type FusionConfig, fusionParameters, valueRegularizer } from './fusion.ts';
import { adapterPath, fusionPath, type MethodContext, modules, PLACES } from './method.ts';
import type { ConfiguredMethod } from './registry.ts';

type EncoderFacts = Pick<MethodContext, 'encoder' | 'family'>;

export interface Parts {
  readonly adapters: ReadonlyMap<string, ConfiguredMethod>;
  readonly fusions: ReadonlyMap<string, FusionConfig>;
  /** Whether the adapters train with the fusions. */
  readonly trainAdapters?: boolean;
}

const SHARPNESS = 'fusion.sharpness';
const FIRST_TEMPERATURE = 50;
/** That of Pfeiffer et al. 2021 for the fusion, where one for adapters is 1e-4. */
const LEARNING_RATE = 5e-5;

/**
 * Adapters that are already there, put together. What trains are the fusions in the composition.
 * @throws adapter.missing; method.config for methods that cannot be composed, or stand at different places
 */
export function attachComposition(setup: Composition, parts: Parts, { encoder, family }: EncoderFacts): Attachment {
  const methods = new Map(adaptersOf(setup).map((name) => [name, composable(name, parts.adapters)]));
  const fusions = fusionsOf(setup).map((one) => fusionOf(one, parts, methods, { encoder, family }));
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
      return {
        addNorm: (site) =>
          drawComposition(setup, site, {
            at(name) {
              const { method, config } = methods.get(name) as ConfiguredMethod;
              return method.moduleAt?.(config, { encoder, family, name }, parameters, dropout, site);
            },
            fused({ name }, given) {
              const { config, path, shapes } = fusions.find(({ fuse }) => fuse.name === name) as Fusion;
              const where = `${site.layer}.${site.place}`;
              const own = (tail: string) => {
                const full = `${path(site.place, site.module)}.${tail}`;
                return parameters(full, shapes.get(full) as readonly number[]);
              };
              const { output, attention } = drawFusion({
                config,
                own,
                query: config.query_before_ln ? given.unnormed : given.z,
                residual: given.residual,
                parts: given.parts,
                // 0 too stands for the encoder's own, as in Python.
                dropout: (scores) => dropout(scores, config.dropout_prob || encoder.attentionDropout, `fusion.${where}.${name}`),
                ...(config.temperature && { sharpness }),
              });
              observe?.(`${name}/${where}`, attention, given.names);
              return output;
            },
          }),
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
  readonly path: (place: NormPlace, module: number) => string;
  readonly specs: readonly ParameterSpec[];
  /** By full name, those of layers without anything to fuse too. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
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
  const path = (place: NormPlace, module: number) => fusionPath({ encoder, family, name: fuse.name }, place, module);
  const adapted = new Set(
    [...own].flatMap(([name, { method, config: at }]) => sitesOf(name, method.parameters(at, { encoder, family, name }))),
  );
  const all = commonPlaces(own).flatMap((place) => modules(encoder, []).map((module) => ({ place, module })));
  const specsAt = ({ place, module }: (typeof all)[number]) => fusionParameters(config, path(place, module), encoder.hidden);
  // Python makes a fusion in every layer of a place; one with nothing to fuse never trains.
  const used = all.filter(({ place, module }) =>
    [...own.keys()].some((name) => adapted.has(adapterPath({ encoder, family, name }, place, module))),
  );
  return {
    fuse,
    config,
    path,
    specs: used.flatMap(specsAt),
    shapes: new Map(all.flatMap(specsAt).map(({ name, shape }) => [name, shape])),
  };
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
  if (!found.method.moduleAt)
    fail({
      code: 'method.config',
      subject: `adapter '${name}'`,
      found: `the method ${found.text}, which cannot be fused or stacked`,
      expected: 'a bottleneck adapter',
    });
  return found;
}

/** Fused adapters stand at the same places. @throws method.config naming two that do not */
function commonPlaces(methods: ReadonlyMap<string, ConfiguredMethod>): NormPlace[] {
  const placesOf = ({ method, config }: ConfiguredMethod) => PLACES.filter((place) => method.places?.(config).includes(place));
  const [[firstName, first]] = [...methods] as [[string, ConfiguredMethod]];
  const expected = placesOf(first);
  for (const [name, one] of methods) {
    const found = placesOf(one);
    if (found.join() !== expected.join())
      fail({
        code: 'method.config',
        subject: `the fused adapter '${name}'`,
        found: `modules after ${found.join(' and ')}`,
        expected: `after ${expected.join(' and ')}, as '${firstName}' has them`,
        next: 'Fuse adapters of the same kind.',
      });
  }
  return expected;
}
