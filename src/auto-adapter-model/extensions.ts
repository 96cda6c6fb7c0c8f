import { fail } from '../base/index.ts';
import { type EncoderFamily, FAMILIES } from '../encoders/index.ts';
import { BLOCKS, type BlockKind, METHODS, type Method } from '../methods/index.ts';
import { HEAD_KINDS, type HeadKind } from '../objectives/index.ts';

/** What takes part beside the package's own: objects of the same kinds, from anywhere. */
export interface Extensions {
  readonly families?: readonly EncoderFamily[];
  readonly methods?: readonly Method[];
  readonly blocks?: readonly BlockKind[];
  readonly heads?: readonly HeadKind[];
}

/** All there are, the package's own first. */
export type Kinds = Required<Extensions>;

/** @throws usage.value for what is no list, or has a name that is taken: the first of a name would be found, the other never */
export function kindsWith({ families = [], methods = [], blocks = [], heads = [] }: Extensions): Kinds {
  return {
    families: joined('families', FAMILIES, families, ({ name }) => [name]),
    methods: joined('methods', METHODS, methods, namesOfMethod),
    blocks: joined('blocks', BLOCKS, blocks, ({ type, python }) => [type, python]),
    heads: joined('heads', HEAD_KINDS, heads, ({ type }) => [type]),
  };
}

/** One that claims no configurations has all of its architecture. */
function namesOfMethod({ name, presets, architecture, claims }: Method): string[] {
  const whole = claims === undefined && typeof architecture === 'string' ? [`the architecture ${architecture}`] : [];
  return [name, ...Object.keys(presets ?? {}), ...whole];
}

function joined<Kind>(option: string, there: readonly Kind[], more: readonly Kind[], namesOf: (kind: Kind) => readonly string[]): Kind[] {
  if (!Array.isArray(more))
    fail({ code: 'usage.value', subject: `fromPretrained(folder, { ${option} })`, found: typeof more, expected: 'an array' });
  const taken = new Set(there.flatMap(namesOf));
  for (const kind of more) {
    const names = new Set(namesOf(kind));
    const twice = [...names].find((name) => taken.has(name));
    if (twice !== undefined)
      fail({
        code: 'usage.value',
        subject: `fromPretrained(folder, { ${option} })`,
        found: `${twice}, which is there already`,
        expected: 'a name of its own',
      });
    for (const name of names) taken.add(name);
  }
  return [...there, ...more];
}
