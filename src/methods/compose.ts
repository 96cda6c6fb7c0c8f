import { fail, MultigraftError, type Tensor } from '../base/index.ts';
import { drawEncoder, drawPooled, type Rows, type SiteName, type Sites } from '../encoders/index.ts';
import { add, input, scalar, type Value } from '../graph/index.ts';
import { noDropout, type ParameterSpec, recordedParameters } from '../nn/index.ts';
import type { Act, Acts } from './act.ts';
import { type Adapter, bindAdapter, readerOf } from './adapter.ts';
import { type Attachment, alone, type Sequence } from './attachment.ts';
import type { BlockKind, Extent } from './blocks/block.ts';
import { BLOCKS, blockKind, checkNesting } from './blocks/index.ts';
import { isOfSequences, repeatedSite } from './blocks/rows.ts';
import { adaptersOf, type Block, blocksOf, type Composition, describe, firstOf, isFuse, lastBlockOf, nameOf } from './composition.ts';
import type { EncoderFacts } from './context.ts';
import { agreed, copied, extentsOf, namesOf, sharesOf } from './extents.ts';
import type { FusionConfig } from './fusion.ts';
import { hooksOf } from './hooks.ts';
import type { ConfiguredMethod } from './method.ts';

export interface CompositionParts {
  readonly adapters: ReadonlyMap<string, ConfiguredMethod>;
  readonly fusions: ReadonlyMap<string, FusionConfig>;
  /** Whether the adapters train with the fusions. */
  readonly trainAdapters?: boolean;
  /** Whether `FUSION_MASK`, [children], is added to the scores of the one fusion, to leave some out without another program. */
  readonly masked?: boolean;
  /** All kinds of blocks that there are, where some come from outside this package. */
  readonly blocks?: readonly BlockKind[];
}

/** Ten times that of Pfeiffer et al. 2021, whose tasks have many more rows: docs/decisions.md. */
const LEARNING_RATE = 5e-4;

/** Where only the first adapter of a composition acts, as in Python: the embeddings, and what is made of them in the end. */
const ONLY_FIRST: readonly SiteName[] = ['embedded', 'word'];

/**
 * Adapters that are already there, put together. What trains are the fusions in the composition, and the adapters where that is
 * asked for.
 * @throws composition.nesting; adapter.missing; method.config for methods that cannot be put together so
 */
export function attachComposition(given: Composition, parts: CompositionParts, facts: EncoderFacts): Attachment {
  const setup = copied(given);
  const { trainAdapters = false, masked = false, fusions, blocks: kinds = BLOCKS } = parts;
  checkNesting(setup, 'composition', kinds);
  const adapters = new Map(adaptersOf(setup).map((name) => [name, bindAdapter(methodOf(name, parts.adapters), { ...facts, name })]));
  const setting = { ...facts, adapters, fusions, masked };
  const extents = extentsOf(setup, kinds);
  const blocks = new Map(
    blocksOf(setup).map((block, index) => {
      const extent = extents.get(block) as Extent;
      return [block, blockKind(block, kinds).bind(block, { ...setting, index, extent })];
    }),
  );
  for (const [block, { parameters = [] }] of blocks)
    if (!isFuse(block) && parameters.length > 0)
      fail({
        code: 'method.config',
        subject: describe(block),
        found: `parameters of its own: ${parameters[0]?.name}`,
        expected: 'a block without any: of blocks only fusions are trained and saved',
      });
  const bounds = [...blocks.values()];
  const ofBlocks = bounds.flatMap((bound) => bound.parameters ?? []);
  const ofAdapters = [...adapters.values()].flatMap((adapter) => adapter.parameters).map((spec) => (trainAdapters ? spec : frozen(spec)));
  const sites: AdapterSites = new Map([...adapters].map(([name, adapter]) => [name, { adapter, sites: sitesOf(adapter) }]));
  checkSites(setup, sites, kinds);
  checkOrder(setup, sites);
  const rows = agreed(
    bounds.map((bound) => bound.rows),
    setup,
    'rows',
  );
  const tokens = agreed(
    bounds.map((bound) => bound.tokens),
    setup,
    'tokens',
  );
  const last = blocks.get(lastBlockOf(setup) as Block);
  const shares = sharesOf(setup, bounds, last);
  const channels = namesOf(
    setup,
    bounds.map((bound) => bound.channels),
    'answers for each row',
  );
  const repeating = [...blocks].flatMap(([block, bound]) => (bound.channels ? [block] : []));
  const fed = bounds.filter(({ feeds }) => feeds);
  const scheduled = bounds.filter(({ schedule }) => schedule);
  const attachment: Attachment = {
    name: nameOf(setup),
    text: describe(setup),
    learningRate: LEARNING_RATE,
    trainsEncoder: false,
    mixesTokens: [...adapters.values()].some(({ configured: { method, config } }) => method.mixesTokens(config)),
    parameters: [...ofBlocks, ...ofAdapters],
    hooks(parameters, dropout, observe = () => {}) {
      const inputs = new Map<string, Value>();
      const tools = {
        read: readerOf(ofBlocks, parameters),
        dropout,
        observe,
        input(name: string, shape: readonly number[]) {
          const value = inputs.get(name) ?? input(name, 'float32', shape);
          inputs.set(name, value);
          return value;
        },
      };
      const acts = new Map([...adapters].map(([name, adapter]) => [name, adapter.acts(alone(adapter, parameters), dropout, observe)]));
      const drawn = new Map([...blocks].map(([block, bound]) => [block, bound.draw(tools)]));
      const actAt = <Name extends SiteName>(name: Name, part: Composition, site: Sites[Name]): Act<Name> | undefined => {
        if (typeof part === 'string') return (acts.get(part)?.[name] as ((site: Sites[Name]) => Act<Name> | undefined) | undefined)?.(site);
        return drawn.get(part)?.(name, site, (child, narrower = site) => actAt(name, child, narrower));
      };
      const names = new Set([...acts.values()].flatMap((one) => Object.keys(one) as SiteName[]));
      return hooksOf(
        Object.fromEntries(
          [...names].map((name) => {
            const part = ONLY_FIRST.includes(name) ? firstOf(setup) : setup;
            return [name, (site: Sites[typeof name]) => actAt(name, part, site)];
          }),
        ) as Acts,
        (name, site) => {
          const times = channels?.length ?? 1;
          if (times === 1 || ((site as Partial<Rows>).times ?? 1) > 1 || !isOfSequences(name)) return site;
          const repeated = repeatedSite(name, site, times);
          return repeating.some((block) => actAt(name, block, repeated)) ? repeated : site;
        },
      );
    },
    regularizer(parameters) {
      const read = readerOf(ofBlocks, parameters);
      return bounds.flatMap(({ regularizer }) => regularizer?.(read) ?? []).reduce<Value | undefined>(sum, undefined);
    },
    ...(rows !== undefined && { rows }),
    ...(tokens !== undefined && { tokens, mostTokens: tokens }),
    ...(shares && { shares }),
    ...(channels && { channels }),
    ...(fed.length > 0 && {
      rowFeeds: (sequences: readonly Sequence[]): Record<string, Tensor> =>
        Object.assign({}, ...fed.map(({ feeds }) => feeds?.(sequences))),
    }),
    ...(scheduled.length > 0 && {
      schedule: (steps: number) => Object.assign({}, ...scheduled.map(({ schedule }) => schedule?.(steps))),
    }),
  };
  const read = drawable(setup, () => namesRead(attachment, facts));
  // What of an adapter no site asks for, since only the first acts there, cannot train.
  return { ...attachment, parameters: [...ofBlocks, ...ofAdapters.map((spec) => (read.has(spec.name) ? spec : frozen(spec)))] };
}

function sum(total: Value | undefined, value: Value): Value {
  return total ? add(total, value) : value;
}

function frozen(spec: ParameterSpec): ParameterSpec {
  return { ...spec, trains: false };
}

/** @throws adapter.missing */
function methodOf(name: string, adapters: ReadonlyMap<string, ConfiguredMethod>): ConfiguredMethod {
  return (
    adapters.get(name) ??
    fail({
      code: 'adapter.missing',
      subject: `adapter '${name}'`,
      found: 'none of that name',
      expected: adapters.size > 0 ? `one of ${[...adapters.keys()].join(', ')}` : 'adapters to put together',
    })
  );
}

interface SitesOfAdapter {
  readonly adapter: Adapter;
  readonly sites: readonly SiteName[];
}
type AdapterSites = ReadonlyMap<string, SitesOfAdapter>;

/** @throws method.config for an adapter that acts where a block around it cannot put adapters together */
function checkSites(setup: Composition, adapters: AdapterSites, kinds: readonly BlockKind[]): void {
  for (const block of blocksOf(setup)) {
    const kind = blockKind(block, kinds);
    for (const name of adaptersOf(block)) {
      const { adapter, sites } = adapters.get(name) as SitesOfAdapter;
      const other = sites.find((site) => !kind.sites.includes(site) && (kind.apart || !ONLY_FIRST.includes(site)));
      if (other !== undefined)
        fail({
          code: 'method.config',
          subject: `adapter '${name}'`,
          found: `the method ${adapter.configured.text}, which acts at the site '${other}', in ${describe(block)}`,
          expected: `adapters that act at ${kind.sites.join(', ')}: only there can ${kind.python} put them together`,
        });
    }
  }
}

/** @throws method.config for an adapter that would do nothing where it stands */
function checkOrder(setup: Composition, adapters: AdapterSites): void {
  const first = firstOf(setup);
  for (const [name, { adapter, sites }] of adapters) {
    if (name === first || sites.length === 0 || !sites.every((site) => ONLY_FIRST.includes(site))) continue;
    fail({
      code: 'method.config',
      subject: `adapter '${name}'`,
      found: `the method ${adapter.configured.text}, which acts at the site '${sites[0]}' alone, behind '${first}'`,
      expected: "it as the first adapter: only that one's acts there count",
    });
  }
}

/** The sites that a method acts at, somewhere. */
function sitesOf(adapter: Adapter): SiteName[] {
  return Object.keys(adapter.acts(() => scalar(0), noDropout)) as SiteName[];
}

/** @throws method.config where what a block gives a method does not fit what that reads besides */
function drawable<T>(setup: Composition, draw: () => T): T {
  try {
    return draw();
  } catch (error) {
    if (!(error instanceof MultigraftError) || error.code !== 'graph.shape') throw error;
    return fail({
      code: 'method.config',
      subject: describe(setup),
      found: `a method that cannot act on a part of what it reads (${error.problem.found})`,
      expected: 'adapters that act on each row and token by itself where a block tells them apart',
    });
  }
}

/** The names that a drawing asks for. What cannot be drawn is refused when it is put together, not when it is first trained. */
function namesRead(attachment: Attachment, { encoder: config, family }: EncoderFacts): ReadonlySet<string> {
  const { get, read } = recordedParameters(() => true);
  const options = { config, family, parameters: get, dropout: noDropout, hooks: attachment.hooks(get, noDropout), read: 'all' } as const;
  const { first } = drawEncoder(options);
  if (family.pooler !== undefined) drawPooled(options, first);
  return new Set(read.keys());
}
