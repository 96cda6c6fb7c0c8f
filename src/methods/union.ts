import { z } from 'zod';
import { fail } from '../base/index.ts';
import type { LinearSite, ResidualSite, SiteName, Sites } from '../encoders/index.ts';
import { add, sub } from '../graph/index.ts';
import type { Dropout, ParameterSpec } from '../nn/index.ts';
import { type Act, type Acts, chain } from './act.ts';
import { PARALLEL, SEQUENTIAL } from './bottleneck-config.ts';
import type { MethodConfig, MethodContext } from './context.ts';
import type { AdapterLayout, ConfiguredMethod, Method, ReadingOptions, ReadParameter } from './method.ts';

const schema = z.strictObject({
  architecture: z.literal('union').default('union'),
  configs: z.array(z.record(z.string(), z.unknown())).min(1),
});

type UnionConfig = z.infer<typeof schema>;

/** Reads the configuration of a member and checks it. @throws method.config */
type ReadConfig = (config: MethodConfig, subject: string, options: ReadingOptions) => ConfiguredMethod;

/**
 * Several methods in one adapter, each where it acts alone. At a linear the changes of several are added; at other sites they act
 * one after another, but for residuals, which only one may have. MAM is that of He et al. 2022, UniPELT that of Mao et al. 2022. `methods` are what members may be;
 * unions are not among them.
 */
export function union(methods: readonly Method[], read: ReadConfig): Method<UnionConfig> {
  const membersOf = ({ configs }: UnionConfig, subject = 'union', options: ReadingOptions = {}) =>
    configs.map((config, i) => read(config, `${subject}: configs[${i}]`, { ...options, methods }));
  const self: Method<UnionConfig> = {
    name: 'union',
    summary: 'several methods in one adapter, each at its own sites',
    paper: 'He et al. 2022; Mao et al. 2022',
    architecture: 'union',
    schema,
    presets: {
      mam: { configs: [{ architecture: 'prefix_tuning', bottleneck_size: 800 }, PARALLEL] },
      unipelt: {
        configs: [
          { architecture: 'prefix_tuning', prefix_length: 10, use_gating: true },
          { ...SEQUENTIAL, use_gating: true },
          { architecture: 'lora', r: 8, alpha: 2, use_gating: true },
        ],
      },
    },
    floatKeys: [...new Set(methods.flatMap(({ floatKeys }) => floatKeys))],
    learningRate: 1e-3,
    mixesTokens: (config) => membersOf(config).some(({ method, config: settings }) => method.mixesTokens(settings)),
    layouts: (config) => layoutsOf(membersOf(config)),
    notes: (config) => membersOf(config).flatMap(({ method, config: settings }) => method.notes?.(settings) ?? []),
    eject(config, context, readParameter) {
      const members = membersOf(config);
      const ejected = members.map(({ method, config: settings }) => method.eject?.(settings, context, readParameter));
      if (ejected.every((one) => one === undefined)) return undefined;
      const configs = members.map((member, i) => ({ ...(ejected[i]?.config ?? member.config) }));
      return { config: { architecture: 'union', configs }, values: new Map(ejected.flatMap((one) => [...(one?.values ?? [])])) };
    },
    parameters: (config, context) => unionParameters(membersOf(config), context),
    acts: (config, context, readParameter, dropout) => unionActs(membersOf(config), context, readParameter, dropout),
    members: {
      among(others) {
        const single = others.filter(({ members }) => !members);
        return single.length === methods.length && single.every((method, i) => method === methods[i]) ? self : union(single, read);
      },
      of: membersOf,
      join(members) {
        checkMembers(members);
        return { architecture: 'union', configs: members.map(({ config }) => ({ ...config })) };
      },
    },
  };
  return self;
}

/** The layouts that hold members together: that of PEFT one method, and beside it what it never keeps alone. */
function layoutsOf(members: readonly ConfiguredMethod[]): AdapterLayout[] {
  const alone = members.filter(({ method }) => !method.peftBeside);
  const inPeft = alone.length === 1 && alone.length < members.length && alone.every((member) => fits(member, 'peft'));
  return [...(inPeft ? (['peft'] as const) : []), ...(members.every((member) => fits(member, 'adapters')) ? (['adapters'] as const) : [])];
}

function fits({ method, config }: ConfiguredMethod, layout: AdapterLayout): boolean {
  return (method.layouts?.(config) ?? ['adapters']).includes(layout);
}

/** @throws method.config for a method that leaves nothing to put beside others in a folder */
function checkMembers(members: readonly ConfiguredMethod[]): void {
  const trained = members.find(({ method }) => method.architecture === undefined || method.trainsEncoder);
  const placeless = layoutsOf(members).length > 0 ? undefined : members.find((member) => !fits(member, 'adapters'));
  const found = trained
    ? `'${trained.text}', which trains weights that are there already`
    : placeless && `'${placeless.text}' with settings that the layout of adapters has no place for`;
  if (found !== undefined)
    fail({ code: 'method.config', subject: 'union', found, expected: 'methods that add parameters and can be saved together' });
}

/** @throws method.config for two members at the same place, and for one whose parameters tasks share */
function unionParameters(members: readonly ConfiguredMethod[], context: MethodContext): ParameterSpec[] {
  const specs = members.map(({ method, config }) => method.parameters(config, context));
  const shared = specs.findIndex((ofMember) => ofMember.some((spec) => spec.shared));
  if (shared >= 0)
    fail({
      code: 'method.config',
      subject: 'union',
      found: `'${members[shared]?.text}', of whose parameters some belong to all tasks`,
      expected: 'methods whose parameters belong to one adapter',
      next: 'Train it by itself.',
    });
  const names = new Set<string>();
  const twice = specs.flat().find(({ name }) => names.size === names.add(name).size)?.name;
  if (twice !== undefined)
    fail({
      code: 'method.config',
      subject: 'union',
      found: `${twice} in two members`,
      expected: 'members at different places or in different layers',
      next: 'Set other sites, or leave_out.',
    });
  return specs.flat();
}

function unionActs(members: readonly ConfiguredMethod[], context: MethodContext, read: ReadParameter, dropout: Dropout): Acts {
  const all = members.map(({ method, config, text }) => ({ text, acts: method.acts(config, context, read, dropout) }));
  const names = new Set(all.flatMap(({ acts }) => Object.keys(acts) as SiteName[]));
  const present = <Name extends SiteName>(name: Name, site: Sites[Name]): Present<Name>[] =>
    all.flatMap(({ text, acts }) => {
      const act = (acts[name] as ((site: Sites[Name]) => Act<Name> | undefined) | undefined)?.(site);
      return act ? [{ text, act }] : [];
    });
  const sites: { readonly [Name in SiteName]?: (site: Sites[Name]) => Act<Name> | undefined } = {
    ...Object.fromEntries([...names].map((name) => [name, (site: Sites[typeof name]) => chain(present(name, site).map(({ act }) => act))])),
    ...(names.has('linear') && { linear: (site) => addedUp(site, present('linear', site)) }),
    ...(names.has('residual') && { residual: (site) => alone(site, present('residual', site)) }),
  };
  return sites;
}

interface Present<Name extends SiteName> {
  readonly text: string;
  readonly act: Act<Name>;
}

/** Members at one linear change what it gives each as it would alone, whichever comes first, and their changes are added. */
function addedUp({ y, name }: LinearSite, present: readonly Present<'linear'>[]): Act<'linear'> | undefined {
  if (present.length < 2) return present[0]?.act;
  return {
    apply(state) {
      if (state) refuse(name, present, 'behind another adapter');
      return present.map(({ act }) => sub(act.close?.(act.apply(undefined), () => y) ?? y, y)).reduce(add);
    },
    close: (change) => (change ? add(y, change) : y),
  };
}

/** Of members that read and replace the same output of a sub-block each would make void what others did. @throws method.config */
function alone({ place }: ResidualSite, present: readonly Present<'residual'>[]): Act<'residual'> | undefined {
  if (present.length > 1) refuse(`the residual after ${place}`, present, 'together');
  return present[0]?.act;
}

function refuse(where: string, present: readonly { readonly text: string }[], how: string): never {
  return fail({
    code: 'method.config',
    subject: 'union',
    found: `${present.map(({ text }) => `'${text}'`).join(' and ')} ${how} at ${where}`,
    expected: 'members at different places or in different layers',
    next: 'Make adapters of them, and stack these.',
  });
}
