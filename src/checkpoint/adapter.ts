import { type Files, fail, joinPath, list, shown } from '../base/index.ts';
import { isJsonObject, type Json, pythonJson } from '../formats/json.ts';
import {
  type AdapterLayout,
  bindAdapter,
  type ConfiguredMethod,
  configInAdapters,
  encoderFacts,
  type MethodConfig,
  methodOfConfig,
} from '../methods/index.ts';
import { checkModel, checkName, noteOfModel, readFields } from './facts.ts';
import { partsOfStacks, stackParts } from './fused.ts';
import { modelFields, removeHead, saveHead, withSavedHead } from './head.ts';
import type { AdapterPackage, LoadedAdapter, LoadingOptions, SavingOptions } from './package.ts';
import { isPeftConfig, loadPeft, removePeft, savePeft } from './peft.ts';
import { matchTensors, readWeights, tensorsToWrite, type WeightFormat, writeWeights } from './weights.ts';

export const ADAPTER_CONFIG = 'adapter_config.json';
const ADAPTER_WEIGHTS = { bin: 'pytorch_adapter.bin', safetensors: 'adapter.safetensors' };

/**
 * Writes an adapter folder that Python loads: weights, head files, and adapter_config.json last, so that a folder with a
 * config is whole. Adapter and head files of an earlier save are replaced.
 * @throws adapter.format for what the layout cannot hold, file.unreadable
 */
export async function saveAdapter(
  files: Files,
  folder: string,
  adapter: AdapterPackage,
  { format, layout }: SavingOptions = {},
): Promise<void> {
  const { method } = adapter.method;
  checkName(adapter.name, "the adapter's name", 'Give it another name.');
  const chosen = layoutOf(adapter.method, layout);
  const specs = bindAdapter(adapter.method, { ...encoderFacts(adapter.model), name: adapter.name }).parameters;
  const tensors = tensorsToWrite(adapter.tensors, specs, `adapter '${adapter.name}'`);
  if (chosen === 'peft') {
    for (const name of Object.values(ADAPTER_WEIGHTS)) await files.remove(joinPath(folder, name));
    await saveHeadOf(files, folder, adapter, format);
    return savePeft(files, folder, { ...adapter, tensors: new Map(tensors) }, format ?? 'safetensors');
  }
  await removePeft(files, folder);
  await writeWeights(files, folder, ADAPTER_WEIGHTS, format ?? 'bin', stackParts(tensors, specs, adapter.model));
  await saveHeadOf(files, folder, adapter, format);
  await files.write(
    joinPath(folder, ADAPTER_CONFIG),
    pythonJson({ config: configInAdapters(adapter.method), ...modelFields(adapter.model, adapter.name) }, { floatKeys: method.floatKeys }),
  );
}

async function saveHeadOf(files: Files, folder: string, { head, model }: AdapterPackage, format: WeightFormat = 'bin'): Promise<void> {
  if (head) await saveHead(files, folder, head, model, { format });
  else await removeHead(files, folder);
}

function layoutOf({ method, config }: ConfiguredMethod, wanted: AdapterLayout | undefined): AdapterLayout {
  const possible = method.architecture === undefined ? [] : (method.layouts?.(config) ?? ['adapters']);
  const chosen = wanted ?? possible[0];
  if (chosen !== undefined && possible.includes(chosen)) return chosen;
  return fail({
    code: 'adapter.format',
    subject: `method ${method.name}`,
    found: wanted === undefined ? 'no parameters of its own' : `the layout '${wanted}'`,
    expected: possible.length ? `the layout '${possible[0]}', which can express this configuration` : 'a method that adds parameters',
    next: possible.length ? `Save it as ${possible[0]}.` : 'Save its head, and the encoder where that was trained.',
  });
}

/**
 * Reads an adapter folder in the layout of `adapters` or of PEFT, whichever it is, for `encoder`; `as` renames adapter and head.
 * @throws adapter.mismatch (made for another encoder), adapter.format (damaged or not expressible), method.config,
 * head.config, and file.* for damaged files
 */
export async function loadAdapter(files: Files, folder: string, options: LoadingOptions): Promise<LoadedAdapter> {
  const path = joinPath(folder, ADAPTER_CONFIG);
  const raw = await readFields(files, path);
  const loaded = isPeftConfig(raw) ? await loadPeft(files, folder, raw, options) : await loadAdapters(files, folder, raw, options);
  return withSavedHead(files, folder, loaded, options);
}

async function loadAdapters(
  files: Files,
  folder: string,
  raw: { [key: string]: Json },
  { encoder, as, methods }: LoadingOptions,
): Promise<LoadedAdapter> {
  const path = joinPath(folder, ADAPTER_CONFIG);
  const notes = noteOfModel(checkModel(raw, encoder, path), encoder);
  if (typeof raw.name !== 'string' || raw.name === '')
    return fail({ code: 'adapter.format', subject: `${path}: field 'name'`, found: shown(raw.name), expected: 'text' });
  const name = checkName(as ?? raw.name, `${path}: field 'name'`, 'Load it under another name.');
  const unknown: string[] = [];
  const method = methodOfConfig(currentConfig(raw, path, notes), path, {
    ...(methods && { methods }),
    onUnknownKey: (key) => unknown.push(key),
  });
  if (unknown.length) notes.push(`Keys of ${path} that this method does not have, ignored: ${list(unknown)}.`);

  const weights = await readWeights(files, folder, ADAPTER_WEIGHTS);
  const stored = raw.name;
  const found = new Map([...weights.tensors].map(([key, value]) => [renamed(key, stored, name), value]));
  const specs = bindAdapter(method, { ...encoderFacts(encoder), name }).parameters;
  const matched = matchTensors(partsOfStacks(found, specs, encoder, weights.path), specs, {
    path: weights.path,
    prefix: encoder.family.prefix,
    owner: `the adapter '${name}'`,
    groups: encoder.config.groups,
  });
  return { name, method, tensors: matched.tensors, model: encoder, layout: 'adapters', notes: [...notes, ...matched.notes] };
}

/** The configuration as today's version would write it; of a union, that of each member. */
function currentConfig({ config, version }: { [key: string]: Json }, path: string, notes: string[]): MethodConfig {
  if (!isJsonObject(config))
    return fail({ code: 'adapter.format', subject: `${path}: field 'config'`, found: shown(config), expected: 'an object' });
  if (!Array.isArray(config.configs)) return currentMember(config, version, notes);
  return { ...config, configs: config.configs.map((member) => (isJsonObject(member) ? currentMember(member, version, notes) : member)) };
}

/** Activation names before files had a version, and LoRA's α before 1.1.0, which Python did not apply. */
function currentMember(config: { [key: string]: Json }, version: Json | undefined, notes: string[]): MethodConfig {
  const { invertible_adapter: invertible, ...rest } = config;
  if (isJsonObject(invertible))
    Object.assign(rest, { inv_adapter: invertible.block_type ?? null, inv_adapter_reduction_factor: invertible.reduction_factor ?? null });
  if (version === undefined || version === null) {
    const old = { gelu: 'gelu_new', gelu_orig: 'gelu' }[String(rest.non_linearity)];
    if (old !== undefined) notes.push(`The file is older than versions: its '${rest.non_linearity}' is today's '${old}'.`);
    return old === undefined ? rest : { ...rest, non_linearity: old };
  }
  const [, major, minor] = /^adapters\.(\d+)\.(\d+)/.exec(String(version)) ?? [];
  const scaledWrongly = major !== undefined && (Number(major) < 1 || (Number(major) === 1 && Number(minor) < 1));
  if (!scaledWrongly || rest.alpha === undefined || rest.alpha === rest.r) return rest;
  notes.push(`Written by ${version}, which did not apply alpha: it is read as ${rest.r} instead of ${rest.alpha}.`);
  return { ...rest, alpha: rest.r };
}

const LEGACY: readonly [RegExp, string][] = [
  [/\b(?:attention|layer)_text_(?:task|lang)_adapters\./, 'adapters.'],
  [/\binvertible_lang_adapters\./, 'invertible_adapters.'],
];
const CONTAINERS = [
  'adapters',
  'invertible_adapters',
  'loras',
  'refts',
  'prefix_tunings',
  'prefix_gates',
  'prompt_tunings',
  'shared_parameters',
];

/** A key as `adapters` writes it today, with the new name of the adapter. */
function renamed(key: string, from: string, to: string): string {
  const current = LEGACY.reduce((text, [pattern, today]) => text.replace(pattern, today), key);
  for (const container of CONTAINERS) {
    const [before, after] = [`.${container}.${from}.`, `.${container}.${to}.`];
    if (`.${current}`.includes(before)) return `.${current}`.replace(before, () => after).slice(1);
  }
  return current;
}
