import { z } from 'zod';
import { fail } from '../base/index.ts';
import type { SiteName, Sites } from '../encoders/index.ts';
import type { Dropout, ParameterSpec } from '../nn/index.ts';
import { type Act, type Acts, chain } from './act.ts';
import { PARALLEL } from './bottleneck-config.ts';
import type { MethodConfig, MethodContext } from './context.ts';
import type { ConfiguredMethod, Method, ReadingOptions, ReadParameter } from './method.ts';

const schema = z.strictObject({
  architecture: z.literal('union').default('union'),
  configs: z.array(z.record(z.string(), z.unknown())).min(1),
});

type UnionConfig = z.infer<typeof schema>;

/** Reads the configuration of a member and checks it. @throws method.config */
type ReadConfig = (config: MethodConfig, subject: string, options: ReadingOptions) => ConfiguredMethod;

/**
 * Several methods in one adapter: each acts where it acts alone, one after another where they share a site. MAM is that of He et al.
 * 2022. `methods` are what members may be; unions are not among them.
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
    presets: { mam: { configs: [{ architecture: 'prefix_tuning', bottleneck_size: 800 }, PARALLEL] } },
    floatKeys: [...new Set(methods.flatMap(({ floatKeys }) => floatKeys))],
    learningRate: 1e-3,
    mixesTokens: (config) => membersOf(config).some(({ method, config: settings }) => method.mixesTokens(settings)),
    parameters: (config, context) => unionParameters(membersOf(config), context),
    acts: (config, context, readParameter, dropout) => unionActs(membersOf(config), context, readParameter, dropout),
    members: {
      among(others) {
        const single = others.filter(({ members }) => !members);
        return single.length === methods.length && single.every((method, i) => method === methods[i]) ? self : union(single, read);
      },
      of: membersOf,
      join(members) {
        for (const member of members) checkMember(member);
        return { architecture: 'union', configs: members.map(({ config }) => ({ ...config })) };
      },
    },
  };
  return self;
}

/** @throws method.config for a method that leaves nothing to put beside others in a folder of `adapters` */
function checkMember({ method, config, text }: ConfiguredMethod): void {
  const found =
    method.architecture === undefined || method.trainsEncoder
      ? `'${text}', which trains weights that are there already`
      : (method.layouts?.(config) ?? ['adapters']).includes('adapters')
        ? undefined
        : `'${text}' with settings that the layout of adapters has no place for`;
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
  const all = members.map(({ method, config }) => method.acts(config, context, read, dropout));
  const names = new Set(all.flatMap((acts) => Object.keys(acts) as SiteName[]));
  const actsAt = <Name extends SiteName>(name: Name, site: Sites[Name]): Act<Name>[] =>
    all.flatMap((acts) => (acts[name] as ((site: Sites[Name]) => Act<Name> | undefined) | undefined)?.(site) ?? []);
  return Object.fromEntries([...names].map((name) => [name, (site: Sites[typeof name]) => chain(actsAt(name, site))])) as Acts;
}
