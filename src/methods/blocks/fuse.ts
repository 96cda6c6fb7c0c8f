import { fail } from '../../base/index.ts';
import type { LayerRows, SiteName, Sites } from '../../encoders/index.ts';
import { concat, slice, type Value } from '../../graph/index.ts';
import type { ParameterSpec } from '../../nn/index.ts';
import type { Act, States } from '../act.ts';
import type { Adapter } from '../adapter.ts';
import { adaptersOf, type Composition, type Fuse, fuse, lastOf, type Stack } from '../composition.ts';
import { drawFusion, type FusionConfig, fusionParameters, valueRegularizer } from '../fusion.ts';
import { type FusionSite, fusionSites } from '../fusion-sites.ts';
import { type LowRank, standardize } from '../low-rank.ts';
import type { BlockKind, BlockSetting, BlockTools } from './block.ts';

/** Input of fusions whose children can be left out, [children]: 0 for those that count, a large negative number for others. */
export const FUSION_MASK = 'fusion.mask';

const SHARPNESS = 'fusion.sharpness';
const FIRST_TEMPERATURE = 50;

/**
 * A learned attention over what adapters give (Pfeiffer et al. 2021), at residuals and, beyond Python, at linears, where it asks
 * with the linear's own output. The last child says what all of them read and what their residual is.
 */
export const FUSE: BlockKind<Fuse> = {
  type: 'fuse',
  python: 'Fuse',
  inside: ['stack'],
  sites: ['linear', 'residual'],
  bind(block, setting) {
    const config = fusionOf(block, setting);
    const sites = fusionSites(block.name, childrenOf(block, setting), setting);
    // Python makes a fusion in every layer of a place; one with nothing to fuse never trains.
    const specs = sites.filter(({ used }) => used).flatMap(({ path, width }) => fusionParameters(config, path, width));
    return {
      parameters: specs,
      draw: (tools) => {
        const mixed = mixer(block, config, sites, setting, tools);
        return (name, site, child) => {
          const acts = block.children.map((one) => ({ name: lastOf(one), ...contributor(one, child) }));
          const there = acts.filter(({ last }) => last);
          const last = there.at(-1)?.last;
          if (!last) return undefined;
          const { open } = last;
          if (!open) return refuse(there.at(-1)?.name as string, name, setting);
          return {
            apply(state) {
              const reading = open.read(state);
              const memo = new Map<Value, Value>();
              const shared = (x: Value): Value => {
                const before = memo.get(x) ?? standardize(x);
                memo.set(x, before);
                return before;
              };
              const parts = there.map((act) => act.lowRank?.(reading.state, shared) ?? refuse(act.name, name, setting));
              const output = mixed(name, site as Sites[SiteName] & LayerRows, { ...reading, parts, names: there.map((act) => act.name) });
              return open.resume ? open.resume(output) : (output as States[typeof name]);
            },
            ...(open.resume ? last.close && { close: last.close } : { close: (output) => output as Value }),
          } satisfies Act<typeof name>;
        };
      },
      regularizer: (read) =>
        config.regularization
          ? valueRegularizer(specs.flatMap(({ name }) => (name.endsWith('.value.weight') ? [read(name)] : [])))
          : undefined,
      ...(config.temperature && { schedule: (steps: number) => ({ [SHARPNESS]: 1 / temperatureAfter(steps) }) }),
    };
  },
  write: (block) => (block.name === usualName(block) ? undefined : { name: block.name }),
  read(children, { name, ...others }, wrong) {
    if (Object.keys(others).length > 0) wrong(others, 'kwargs: a name or nothing');
    if (name !== undefined && typeof name !== 'string') return wrong(name, 'a name');
    return fuse(children as Fuse['children'], name === undefined ? {} : { name });
  },
};

/** The names of the adapters with commas, as in Python. */
function usualName(block: Fuse): string {
  return block.children.map(lastOf).join(',');
}

/** As in Python: 50 at first, less by a thousandth of it after each step, never below 1. */
function temperatureAfter(steps: number): number {
  return Math.max(1, FIRST_TEMPERATURE * (1 - steps / 1000));
}

interface Fused {
  readonly query: Value;
  readonly queryBeforeNorm: Value;
  readonly residual: Value;
  readonly parts: readonly LowRank[];
  /** The adapters that the parts stand for. */
  readonly names: readonly string[];
}

type Contributor<Name extends SiteName> = {
  /** The act that ends the child here. */
  readonly last: Act<Name> | undefined;
  readonly lowRank: ((state: States[Name], standardize: (x: Value) => Value) => LowRank) | undefined;
};

/** What a child contributes: an adapter its own product, a stack that of its last member on what the others give. */
function contributor<Name extends SiteName>(
  part: string | Stack<string>,
  child: (child: Composition) => Act<Name> | undefined,
): Contributor<Name> {
  const acts = (typeof part === 'string' ? [part] : part.children).flatMap((one) => child(one) ?? []);
  const last = acts.at(-1);
  const open = last?.open;
  if (!open || typeof part === 'string') return { last, lowRank: open?.lowRank };
  return {
    last,
    lowRank(state, shared) {
      const before = acts.slice(0, -1).reduce((given, act) => act.apply(act.prepare ? act.prepare(given) : given), state);
      return open.lowRank(open.read(before).state, shared);
    },
  };
}

function mixer(
  { name, children }: Fuse,
  config: FusionConfig,
  sites: readonly FusionSite[],
  { encoder, masked }: BlockSetting,
  { read, dropout, observe, input }: BlockTools,
) {
  const sharpness = config.temperature ? input(SHARPNESS, []) : undefined;
  const mask = masked ? input(FUSION_MASK, [children.length]) : undefined;
  return (siteName: SiteName, site: Sites[SiteName] & LayerRows, { parts, names, query, queryBeforeNorm, residual }: Fused): Value => {
    const at = siteName === 'residual' ? (site as Sites['residual']).place : (site as Sites['linear']).name;
    const { path } = sites.find(
      (one) =>
        one.module === site.module &&
        ('place' in one.at ? one.at.place : one.at.linear) === at &&
        'place' in one.at === (siteName === 'residual'),
    ) as FusionSite;
    const where = site.layer === undefined ? at : `${site.layer}.${at}`;
    const { output, attention } = drawFusion({
      config,
      parameter: (tail) => read(`${path}.${tail}`),
      query: config.query_before_ln ? queryBeforeNorm : query,
      residual,
      parts,
      // 0 too stands for the encoder's own, as in Python.
      dropout: (scores) => dropout(scores, config.dropout_prob || encoder.attentionDropout, `fusion.${where}.${name}`),
      ...(mask && { mask: maskOf(mask, children.map(lastOf), names) }),
      ...(sharpness && { sharpness }),
    });
    observe(`${name}/${where}`, attention, names);
    return output;
  };
}

/** The entries of those children that stand at a site. */
function maskOf(mask: Value, all: readonly string[], names: readonly string[]): Value {
  if (names.length === all.length) return mask;
  return concat(
    names.map((name) => slice(mask, 0, all.indexOf(name), all.indexOf(name) + 1)),
    0,
  );
}

/** @throws adapter.missing */
function fusionOf({ name }: Fuse, { fusions }: BlockSetting): FusionConfig {
  return (
    fusions.get(name) ??
    fail({
      code: 'adapter.missing',
      subject: `the fusion '${name}'`,
      found: 'none of that name',
      expected:
        fusions.size > 0 ? `one of ${[...fusions.keys()].map((one) => `'${one}'`).join(', ')}` : 'a fusion that was added or loaded',
    })
  );
}

function childrenOf(block: Fuse, { adapters }: BlockSetting): Adapter[] {
  return adaptersOf(block).map((name) => adapters.get(name) as Adapter);
}

function refuse(name: string, site: SiteName, { adapters }: BlockSetting): never {
  return fail({
    code: 'method.config',
    subject: `adapter '${name}'`,
    found: `the method ${adapters.get(name)?.configured.text}, whose ${site} cannot be fused`,
    expected: 'a contribution of low rank: a bottleneck adapter, or LoRA without a gate',
  });
}

/** The parameters of a fusion in every layer, as Python keeps them: also in those where none of its adapters stands. */
export function allFusionParameters(config: FusionConfig, sites: readonly FusionSite[]): ParameterSpec[] {
  return sites.flatMap(({ path, width }) => fusionParameters(config, path, width));
}
