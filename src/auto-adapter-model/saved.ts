import { joinPath } from '../base/index.ts';
import {
  FUSION_CONFIG,
  type LoadedAdapter,
  type LoadedFusion,
  type LoadedHead,
  loadAdapter,
  loadFusion,
  loadHead,
  loadSetup,
  type SavingOptions,
  saveAdapter,
  saveFusion,
  saveHead,
  saveSetup,
  type WeightFormat,
} from '../checkpoint/index.ts';
import { adaptersOf, type Block, type Composition, type Fuse, fusionsOf, lastOf } from '../methods/index.ts';
import { withLabels } from '../model/head-task.ts';
import { type Attached, type AttachedFusion, adapterTensors, packedHead } from './attached.ts';
import { attachmentOf, fusionFacts, fusionTensors, headsOf, type ModelState, refuseTaken } from './model-state.ts';
import { Named } from './named.ts';
import { checkAdapterFolder, checkFolderWith, type HeadSetup, headNames } from './options.ts';

export interface HeadChoice {
  /** Whether the head of the same name is saved with it; true when left out. */
  readonly withHead?: boolean;
}

export interface SetupOptions {
  readonly format?: WeightFormat;
  /** The heads to save with it, or none; that of its name, or those of its children, when left out, if they are there. */
  readonly head?: HeadSetup | false;
}

/** @throws adapter.missing, adapter.format */
export async function saveAttached(
  { files, encoder, adapters, heads }: ModelState,
  folder: string,
  name: string,
  { withHead = true, ...options }: SavingOptions & HeadChoice = {},
): Promise<void> {
  const adapter = adapters.get(name);
  const head = withHead ? heads.find(name) : undefined;
  const tensors = await adapterTensors(name, adapter, encoder);
  const ofHead = head && { head: await packedHead(head, encoder) };
  await saveAdapter(files, folder, { name, method: adapter.method, tensors, model: encoder, ...ofHead }, options);
}

/** The adapters of its file are those that `mixed` names. @throws adapter.missing, adapter.format */
export async function saveAttachedFusion(
  state: ModelState,
  folder: string,
  name: string,
  { withHead = true, mixed, ...options }: HeadChoice & { readonly format?: WeightFormat; readonly mixed?: readonly string[] } = {},
): Promise<void> {
  const { files, encoder, fusions, heads } = state;
  const { steps } = fusions.get(name);
  const head = withHead ? heads.find(name) : undefined;
  const fusion = {
    ...fusionFacts(state, name, mixed),
    tensors: await fusionTensors(state, name),
    ...(steps !== undefined && { steps }),
    ...(head && { head: await packedHead(head, encoder) }),
  };
  await saveFusion(files, folder, fusion, options);
}

/** Adapters, fusions and heads of a setup, each in a folder of its name; adapter_setup.json last. @throws adapter.missing, adapter.format */
export async function saveAttachedSetup(
  state: ModelState,
  folder: string,
  setup: Composition,
  { head, ...options }: SetupOptions = {},
): Promise<void> {
  const { files, encoder, heads } = state;
  if (typeof setup !== 'string') attachmentOf(state, setup);
  const names = head === undefined ? (headsOf(state, setup) ?? []) : headNames(head || undefined);
  const own = names.map((name) => heads.get(name));
  const packed = await Promise.all([...new Set(own)].map((head) => packedHead(head, encoder)));
  for (const adapter of adaptersOf(setup)) await saveAttached(state, joinPath(folder, adapter), adapter, options);
  for (const fuse of fusionsOf(setup)) {
    const mixed = fuse.children.map(lastOf);
    await saveAttachedFusion(state, joinPath(folder, fuse.name), fuse.name, { ...options, withHead: false, mixed });
  }
  for (const one of packed) await saveHead(files, joinPath(folder, one.name), one, encoder, options);
  await saveSetup(files, folder, setup, own, state.kinds);
}

/** What a folder held, part of the model now. */
export interface Loaded<T> {
  readonly loaded: T;
  /** The heads that came with it. */
  readonly heads: readonly string[];
  readonly notes: readonly string[];
}

/** @throws adapter.*, method.config, head.config, file.* ; then the model is as it was */
export async function loadAttached(
  state: ModelState,
  folder: string,
  { loadAs, leaveOut, withHead = true }: { readonly loadAs?: string; readonly leaveOut?: readonly number[]; readonly withHead?: boolean },
): Promise<Loaded<string>> {
  const { files, encoder, kinds } = state;
  await checkAdapterFolder(files, folder);
  const adapter = await loadAdapter(files, folder, {
    encoder,
    methods: kinds.methods,
    headKinds: kinds.heads,
    head: withHead,
    ...(loadAs && { as: loadAs }),
    ...(leaveOut && { leaveOut }),
  });
  return { ...put(state, { adapters: [adapter] }), loaded: adapter.name };
}

/** The fusion as a composition. @throws adapter.*, method.config, head.config, file.* ; then the model is as it was */
export async function loadAttachedFusion(
  state: ModelState,
  folder: string,
  { loadAs, withHead = true }: { readonly loadAs?: string; readonly withHead?: boolean },
): Promise<Loaded<Fuse>> {
  const { files, encoder, adapters, kinds } = state;
  await checkFolderWith(files, folder, FUSION_CONFIG, 'a fusion folder');
  const methods = new Map([...adapters.entries()].map(([name, { method }]) => [name, method]));
  const fusion = await loadFusion(files, folder, {
    encoder,
    adapters: methods,
    headKinds: kinds.heads,
    head: withHead,
    ...(loadAs && { as: loadAs }),
  });
  return { ...put(state, { fusions: [fusion] }), loaded: { type: 'fuse', children: [...fusion.adapters.keys()], name: fusion.name } };
}

/** @throws adapter.*, composition.nesting, method.config, head.config, file.* ; then the model is as it was */
export async function loadAttachedSetup(state: ModelState, folder: string): Promise<Loaded<Composition>> {
  const { files, encoder, kinds } = state;
  const { composition, heads: names, fusions: folders, notes } = await loadSetup(files, folder, kinds);
  const adapters: LoadedAdapter[] = [];
  for (const name of adaptersOf(composition)) {
    const path = joinPath(folder, name);
    await checkAdapterFolder(files, path);
    adapters.push(await loadAdapter(files, path, { encoder, methods: kinds.methods, headKinds: kinds.heads, as: name }));
  }
  const methods = new Map(adapters.map(({ name, method }) => [name, method]));
  const fusions: LoadedFusion[] = [];
  for (const { name } of fusionsOf(composition))
    fusions.push(await loadFusion(files, folders.get(name) as string, { encoder, adapters: methods, as: name, headKinds: kinds.heads }));
  const heads: LoadedHead[] = [];
  for (const name of new Set(names))
    heads.push(await loadHead(files, joinPath(folder, name), { encoder, headKinds: kinds.heads, as: name }));
  const result = put(state, { adapters, fusions, heads, ...(typeof composition !== 'string' && { composition }) });
  const found = names.length > 0 ? { heads: names } : {};
  return { ...result, ...found, loaded: composition, notes: [...notes, ...result.notes] };
}

interface Parts {
  readonly adapters?: readonly LoadedAdapter[];
  readonly fusions?: readonly LoadedFusion[];
  readonly heads?: readonly LoadedHead[];
  /** What they must be able to make together. */
  readonly composition?: Block;
}

/** Adds to the model what was loaded, all of it or nothing. */
function put(state: ModelState, { adapters = [], fusions = [], heads: alone = [], composition }: Parts): Omit<Loaded<never>, 'loaded'> {
  const [plain, mixed] = [new Named<Attached>('adapter'), new Named<AttachedFusion>('fusion')];
  for (const { name, method, tensors } of adapters) plain.set(name, { method, tensors });
  for (const { name, adapters: fused, config, tensors, steps } of fusions)
    mixed.set(name, { adapters: [...fused.keys()], config, tensors, ...(steps !== undefined && { steps }) });
  for (const all of [state, { adapters: plain, fusions: mixed }]) {
    for (const name of plain.names) refuseTaken(all, 'adapter', name);
    for (const name of mixed.names) refuseTaken(all, 'fusion', name);
  }
  if (composition) attachmentOf({ ...state, adapters: plain, fusions: mixed }, composition);
  const parts = [...adapters, ...fusions];
  const heads = [...parts.flatMap((part) => part.head ?? []), ...alone].map(withLabels);
  for (const [name, entry] of plain.entries()) state.adapters.set(name, entry);
  for (const [name, entry] of mixed.entries()) state.fusions.set(name, entry);
  for (const { name, config, kind, tensors, training } of heads)
    state.heads.set(name, { name, config, kind, tensors, ...(training && { training }) });
  const active = alone.length > 0 ? alone : parts.length === 1 ? (parts[0]?.head ?? []) : [];
  const notes = [...parts, ...alone].flatMap((part) => part.notes);
  return { heads: [active].flat().map(({ name }) => name), notes };
}
