import type { AutoAdapterModel } from '../auto-adapter-model/index.ts';
import { fail, nearest } from '../base/index.ts';
import { adaptersOf, type Composition, nameOf } from '../methods/index.ts';
import type { Answer } from '../predict/index.ts';
import { type ModelFlags, openEncoder, openFolder, tellNotes } from './attach.ts';
import type { CommandContext } from './command.ts';
import type { InputRow } from './input-rows.ts';

/** The encoder as it is, in the column "adapter". */
const BASE = '__base__';

/** What a folder was opened to. */
interface Entry {
  readonly setup: Composition;
  readonly head: string | undefined;
}

/** Answers rows that each name under "adapter" one of the adapters of `--adapter`, given several times. @throws usage.value, task.row */
export async function answerByRow(
  context: CommandContext,
  flags: ModelFlags,
  rows: readonly InputRow[],
  how: Parameters<AutoAdapterModel['predict']>[1] & { readonly place: (index: number) => { readonly file: string; readonly line: number } },
): Promise<Answer[]> {
  if (flags.head.length > 0)
    fail({
      code: 'usage.value',
      subject: '--head',
      found: `${flags.head.join(', ')}, for several adapters`,
      expected: 'rows that name their "adapter"',
    });
  const model = await openEncoder(context, flags);
  const [own] = [model.activeHead ?? []].flat();
  const entries = new Map<string, Entry>();
  for (const path of flags.adapter) {
    const { name, ...entry } = await openedAt(context, model, path);
    entries.set(name, entry);
  }
  model.setActiveAdapters(undefined, { skipLayers: flags.skipLayers });
  model.activeHead = own;
  tellNotes(context, model, flags);
  const named = rows.map(({ value }, i) => entryOf(value.adapter, entries, how.place(i)));
  const answers = await model.predict(
    rows.map(({ value }) => value),
    { ...how, adapterNames: named.map((entry) => entry?.setup ?? BASE), headNames: named.map((entry) => (entry ? entry.head : own)) },
  );
  await model.release();
  return answers;
}

/** @throws usage.value for what has no adapter, or one that is there already */
async function openedAt(context: CommandContext, model: AutoAdapterModel, path: string): Promise<Entry & { readonly name: string }> {
  const before = { adapters: new Set(model.adapters), heads: new Set(model.heads) };
  model.activeHead = undefined;
  const setup = await openFolder(context, model, path);
  if (setup === undefined) return refuse(path, 'a head alone', 'an adapter with its head');
  const [head, ...others] = [model.activeHead ?? []].flat();
  if (others.length > 0) refuse(path, `the heads ${[head, ...others].join(', ')}`, 'an adapter with one head');
  const twice = adaptersOf(setup).find((name) => before.adapters.has(name));
  if (twice !== undefined) refuse(path, `another adapter '${twice}'`, 'adapters of different names');
  if (head !== undefined && before.heads.has(head)) refuse(path, `another head '${head}'`, 'heads of different names');
  return { setup, head, name: nameOf(setup) };
}

function refuse(path: string, found: string, expected: string): never {
  return fail({ code: 'usage.value', subject: `--adapter ${path}`, found, expected });
}

/** @throws task.row for a row without an adapter, adapter.missing for an unknown one */
function entryOf(
  name: unknown,
  entries: ReadonlyMap<string, Entry>,
  { file, line }: { readonly file: string; readonly line: number },
): Entry | undefined {
  const names = [...entries.keys()];
  const subject = `${file}:${line}, column "adapter"`;
  const expected = `${names.map((one) => `'${one}'`).join(', ')} or '${BASE}'`;
  if (name === undefined || name === null || name === '')
    fail({
      code: 'task.row',
      subject,
      found: 'nothing',
      expected,
      next: 'With several --adapter each row says which one answers it, unless --setup says what they are put together to.',
    });
  if (name === BASE) return undefined;
  const near = typeof name === 'string' ? nearest(name, names) : undefined;
  return (
    entries.get(name as string) ??
    fail({ code: 'adapter.missing', subject, found: JSON.stringify(name), expected, ...(near && { next: `Did you mean '${near}'?` }) })
  );
}
