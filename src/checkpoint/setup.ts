import { type Files, fail, joinPath, list, shown } from '../base/index.ts';
import { isJsonObject, type Json, pythonJson, readJson } from '../formats/json.ts';
import {
  BLOCKS,
  type Block,
  type BlockKind,
  blockKind,
  blocksOf,
  type Composition,
  checkNesting,
  describe,
  type Fuse,
  isFuse,
  lastBlockOf,
  lastOf,
  stack,
  type Wrong,
} from '../methods/index.ts';
import type { Head } from '../objectives/index.ts';
import { checkName, readFields, VERSION } from './facts.ts';
import { FUSION_CONFIG } from './fusion.ts';
import { isPythons } from './head.ts';

export const SETUP_CONFIG = 'adapter_setup.json';
/** Where a head is named that Python's library does not have. */
const OWN_HEAD = 'pooled_head_setup';

/** What adapter_setup.json says; adapters and heads lie in folders of their names beside it. */
export interface SavedSetup {
  readonly composition: Composition;
  /** None, one for all, one for each child of the block that stands last, or several that answer all rows. */
  readonly heads: readonly string[];
  /** The folder of each fusion, by the name of the fusion. */
  readonly fusions: ReadonlyMap<string, string>;
  /** What a user should know of its blocks. */
  readonly notes: readonly string[];
}

interface BlockOptions {
  /** All kinds of blocks that there are, where some come from outside this package. */
  readonly blocks?: readonly BlockKind[];
}

/**
 * Writes adapter_setup.json. Python is told of no head that it does not have: it would look for it.
 * @throws adapter.format for heads that the setup has no place for, file.unreadable
 */
export async function saveSetup(
  files: Files,
  folder: string,
  composition: Composition,
  heads: readonly Pick<Head, 'name' | 'config'>[],
  { blocks }: BlockOptions = {},
): Promise<void> {
  const block: Block = typeof composition === 'string' ? stack(composition) : composition;
  const called = heads.map(({ name }) => name);
  const names = headsAsJson(composition, called, `the setup ${describe(composition)}`, blocks);
  await files.write(
    joinPath(folder, SETUP_CONFIG),
    pythonJson({
      adapter_setup: asJson(block, blocks),
      head_setup: heads.every(isPythons) ? names : null,
      ...(!heads.every(isPythons) && { [OWN_HEAD]: names }),
      version: VERSION,
    }),
  );
}

/** Several heads as Python has them: a block for one that divides a batch, else a list. */
function headsAsJson(composition: Composition, heads: readonly string[], subject: string, kinds?: readonly BlockKind[]): Json {
  if (heads.length < 2) return heads[0] ?? null;
  const last = lastBlockOf(composition);
  checkHeads(heads, last, subject, kinds);
  return last && blockKind(last, kinds).heads === 'block' ? asJson({ ...last, children: heads }, kinds) : [...heads];
}

/** @throws adapter.format for another number of heads than there are children */
function checkHeads(heads: readonly string[], last: Block | undefined, subject: string, kinds?: readonly BlockKind[]): void {
  if (!last || !blockKind(last, kinds).heads || heads.length === last.children.length) return;
  fail({
    code: 'adapter.format',
    subject,
    found: `${heads.length} heads: ${heads.join(', ')}`,
    expected: `one, or one for each child of ${describe(last)}`,
  });
}

/**
 * Reads adapter_setup.json, ours or Python's. Python leaves out the names that fusions were given: they are found in the
 * folders beside it.
 * @throws adapter.format for blocks or heads that are not available here, composition.nesting, adapter.duplicate, file.*
 */
export async function loadSetup(files: Files, folder: string, { blocks }: BlockOptions = {}): Promise<SavedSetup> {
  const path = joinPath(folder, SETUP_CONFIG);
  const raw = await readFields(files, path);
  const fusions = new Map<string, string>();
  const composition = await named(fromJson(raw.adapter_setup, `${path}: field 'adapter_setup'`, blocks));
  const notes = blocksOf(composition).flatMap((block) => blockKind(block, blocks).note ?? []);
  const heads = headsOf(raw.head_setup ?? raw[OWN_HEAD], composition, path, blocks);
  return { composition, heads, fusions, notes };

  async function named(block: Composition): Promise<Composition> {
    if (typeof block === 'string') return block;
    if (isFuse(block)) {
      const found = await findFusion(files, folder, block);
      fusions.set(found.name, found.folder);
      return { ...block, name: found.name } as Fuse;
    }
    return { ...block, children: await Promise.all(block.children.map(named)) };
  }
}

/** `kwargs` are what Python gives to the block it makes; it leaves the name of a fusion out itself, but takes it. */
function asJson(block: Block, kinds?: readonly BlockKind[]): Json {
  const kind = blockKind(block, kinds);
  const children = block.children.map((child) => (typeof child === 'string' ? { type: SINGLE, children: [child] } : asJson(child, kinds)));
  const kwargs = kind.write(block);
  return { type: kind.python, children, ...(kwargs && { kwargs }) };
}

/** What Python calls an adapter among blocks. */
const SINGLE = 'single';

function fromJson(value: Json | undefined, subject: string, kinds: readonly BlockKind[] = BLOCKS): Composition {
  const wrong: Wrong = (found, expected) => fail({ code: 'adapter.format', subject, found: shown(found), expected });
  const read = (json: Json | undefined): Composition => {
    if (!isJsonObject(json)) return wrong(json, 'a block of type and children');
    const { type, children, kwargs = {} } = json;
    if (!Array.isArray(children) || children.length === 0) return wrong(children, 'children: a list of at least one');
    if (type === SINGLE) {
      if (children.length > 1) return wrong(children, 'one name');
      return checkName(children[0], subject, 'Correct it, and the name of the folder.');
    }
    const kind = kinds.find((one) => one.python === type);
    if (!kind) return wrong(type, `${kinds.map(({ python }) => python).join(', ')} or ${SINGLE}: other blocks are not available here`);
    if (!isJsonObject(kwargs)) return wrong(kwargs, 'kwargs: an object');
    const parts = children.map(read);
    if (typeof kwargs.name === 'string') checkName(kwargs.name, `${subject}: the fusion's name`, 'Correct it, and that of its folder.');
    return kind.read(parts, kwargs, wrong);
  };
  const composition = read(value);
  checkNesting(composition, subject, kinds);
  return withoutOuterStack(composition);
}

/** A stack of one is that one by itself; inside of other blocks it makes its adapter's first step twice, as in Python. */
function withoutOuterStack(composition: Composition): Composition {
  const alone = typeof composition !== 'string' && composition.type === 'stack' && composition.children.length === 1;
  return alone ? (composition.children[0] as Composition) : composition;
}

/** @throws adapter.format for heads that are not one, one for each child, or several for all rows */
function headsOf(value: Json | undefined, composition: Composition, path: string, kinds?: readonly BlockKind[]): readonly string[] {
  if (value === undefined || value === null || value === false) return [];
  const subject = `${path}: field 'head_setup'`;
  const wrong: Wrong = (found, expected) => fail({ code: 'adapter.format', subject, found: shown(found), expected });
  const nameOf = (one: Json) => checkName(one, subject, 'Correct it, and the name of the folder.');
  if (typeof value === 'string') return [nameOf(value)];
  const last = lastBlockOf(composition);
  const form = last && blockKind(last, kinds).heads;
  if (!isJsonObject(value)) {
    if (!Array.isArray(value)) return wrong(value, 'the name of a head, a list of names, or a block of them');
    if (value.length > 1 && form === 'block')
      wrong(value, `a block of heads: of a list each head answers all rows in Python, where ${describe(last as Block)} divides them`);
    const names = value.map(nameOf);
    checkHeads(names.length > 1 ? names : [], last, subject, kinds);
    return names;
  }
  const heads = fromJson(value, subject, kinds);
  const names = typeof heads === 'string' ? [heads] : heads.children.flatMap((child) => (typeof child === 'string' ? [child] : []));
  if (typeof heads === 'string' || names.length < heads.children.length) return wrong(value, 'a block of names');
  const written = (block: Block) => JSON.stringify(blockKind(block, kinds).write(block) ?? null);
  if (!form || heads.type !== last?.type || names.length !== last.children.length || written(heads) !== written(last))
    wrong(value, `a head for each child of ${describe(last ?? composition)}, in a block like it`);
  return names;
}

/** The folder under the fusion's name, else the one whose file says that it mixes the same adapters. */
async function findFusion(files: Files, folder: string, block: Fuse): Promise<{ readonly name: string; readonly folder: string }> {
  const under = joinPath(folder, block.name);
  if ((await files.kind(joinPath(under, FUSION_CONFIG))) === 'file') return { name: block.name, folder: under };
  const wanted = block.children.map(lastOf).join();
  const fitting: { name: string; folder: string }[] = [];
  for (const entry of await files.list(folder)) {
    const path = joinPath(folder, entry, FUSION_CONFIG);
    if ((await files.kind(path)) !== 'file') continue;
    const raw = await readJson(files, path);
    if (isJsonObject(raw) && Array.isArray(raw.adapter_names) && raw.adapter_names.join() === wanted)
      fitting.push({
        name: checkName(raw.name, `${path}: field 'name'`, 'Correct it in the file.'),
        folder: joinPath(folder, entry),
      });
  }
  const [only, ...more] = fitting;
  if (only && more.length === 0) return only;
  return fail({
    code: only ? 'adapter.format' : 'file.missing',
    subject: folder,
    found: only
      ? `${fitting.length} fusions of ${list(block.children.map(lastOf))}: ${list(fitting.map(({ name }) => name))}`
      : `no fusion of ${list(block.children.map(lastOf))}`,
    expected: `one folder with ${FUSION_CONFIG} for ${describe(block)}`,
    next: only
      ? `Write the name into ${SETUP_CONFIG} as "kwargs": {"name": "${only.name}"}.`
      : 'The folder is incomplete: copy or download it again.',
  });
}
