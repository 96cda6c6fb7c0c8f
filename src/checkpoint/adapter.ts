import { type Files, fail, joinPath, list, shown, type Tensor } from '../base/index.ts';
import { isJsonObject, type Json, pythonJson } from '../formats/json.ts';
import {
  type AdapterLayout,
  bindAdapter,
  type ConfiguredMethod,
  configInAdapters,
  configureMethod,
  encoderFacts,
  type MethodConfig,
  methodOfConfig,
  notesOf,
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
  { encoder, as, leaveOut = [], methods }: LoadingOptions,
): Promise<LoadedAdapter> {
  const path = joinPath(folder, ADAPTER_CONFIG);
  const notes = noteOfModel(checkModel(raw, encoder, path), encoder);
  const { name: stored } = raw;
  if (typeof stored !== 'string' || stored === '')
    return fail({ code: 'adapter.format', subject: `${path}: field 'name'`, found: shown(stored), expected: 'text' });
  const name = checkName(as ?? stored, `${path}: field 'name'`, 'Load it under another name.');
  const weights = await readWeights(files, folder, ADAPTER_WEIGHTS);
  const found = new Map([...weights.tensors].map(([key, value]) => [currentKey(key), value]));
  if (found.size < weights.tensors.size)
    fail({ code: 'adapter.format', subject: weights.path, found: 'tensors under old and new names', expected: 'every tensor once' });

  const own = (key: string) => OWNER.exec(key)?.[1] === stored;
  const invertible = [...found.keys()].some((key) => own(key) && key.includes('invertible_adapters.'));
  const whole = configured(currentConfig(raw, path, invertible, notes), path, notes, methods);
  const specsOf = (method: ConfiguredMethod, as: string) => bindAdapter(method, { ...encoderFacts(encoder), name: as }).parameters;
  const [saved, wanted] = [specsOf(whole, stored), specsOf(whole, name)];
  const matched = matchTensors(partsOfStacks(found, saved, encoder, weights.path), saved, {
    path: weights.path,
    prefix: encoder.family.prefix,
    owner: `the adapter '${name}'`,
    groups: encoder.config.groups,
    own,
  });
  const tensors = new Map(saved.map((spec, i) => [wanted[i]?.name as string, matched.tensors.get(spec.name) as Tensor]));
  const method = leaveOut.length > 0 ? withoutLayers(whole, leaveOut, path, methods) : whole;
  const kept = method === whole ? tensors : new Map(specsOf(method, name).map((spec) => [spec.name, tensors.get(spec.name) as Tensor]));
  return { name, method, tensors: kept, model: encoder, layout: 'adapters', notes: [...notes, ...notesOf(method), ...matched.notes] };
}

/** Old keys that say nothing of what an adapter computes: they spoke of fusions, or of norms that no version drew. */
const WITHOUT_EFFECT = ['attention_type', 'new_attention_norm'];

/**
 * The method of a configuration. Keys that it does not have become a note where they say nothing (null, false, 0, empty) or are known
 * to have no effect. @throws adapter.format for others, method.config
 */
function configured(config: MethodConfig | string, path: string, notes: string[], methods: LoadingOptions['methods']): ConfiguredMethod {
  if (typeof config === 'string') return configureMethod(config, {}, methods);
  const [unknown, telling]: [string[], string[]] = [[], []];
  const method = methodOfConfig(config, path, {
    ...(methods && { methods }),
    onUnknownKey(key, value) {
      const empty = (!value && !Number.isNaN(value)) || (typeof value === 'object' && Object.keys(value as object).length === 0);
      if (empty || WITHOUT_EFFECT.includes(key)) unknown.push(key);
      else telling.push(`'${key}': ${shown(value)}`);
    },
  });
  if (telling.length)
    fail({
      code: 'adapter.format',
      subject: `${path}: field 'config'`,
      found: list(telling),
      expected: `keys of the method ${method.method.name}`,
      next: 'What they ask for is not available here. Remove keys that are known to change nothing.',
    });
  if (unknown.length) notes.push(`Keys of ${path} that this method does not have, ignored: ${list(unknown)}.`);
  return method;
}

/** @throws method.config for a method that has no such choice */
function withoutLayers(
  { config }: ConfiguredMethod,
  layers: readonly number[],
  path: string,
  methods: LoadingOptions['methods'],
): ConfiguredMethod {
  const already = Array.isArray(config.leave_out) ? (config.leave_out as number[]) : [];
  const leave_out = [...new Set([...layers, ...already])].toSorted((a, b) => a - b);
  return methodOfConfig({ ...config, leave_out }, path, methods && { methods });
}

/** The configuration as today's version would write it, or the name of a ready one; of a union, that of each member. */
function currentConfig(
  { config, version, type }: { [key: string]: Json },
  path: string,
  invertible: boolean,
  notes: string[],
): MethodConfig | string {
  if (typeof config === 'string') return config;
  if (!isJsonObject(config))
    return fail({ code: 'adapter.format', subject: `${path}: field 'config'`, found: shown(config), expected: 'an object' });
  const member = (one: { [key: string]: Json }) => {
    const current = currentMember(one, version, notes);
    if (type !== 'text_task' || !current.inv_adapter || invertible) return current;
    notes.push('Its invertible adapter is left out: task adapters of its time had none, whatever their configuration said.');
    return { ...current, inv_adapter: null, inv_adapter_reduction_factor: null };
  };
  if (!Array.isArray(config.configs)) return member(config);
  return { ...config, configs: config.configs.map((one) => (isJsonObject(one) ? member(one) : one)) };
}

/** ReFT's form, activation names before files had a version, and LoRA's α before 1.1.0, which Python did not apply. */
function currentMember(config: { [key: string]: Json }, version: Json | undefined, notes: string[]): MethodConfig {
  const { invertible_adapter: invertible, ...rest } = config;
  if (rest.architecture === 'reft' && rest.subtract_projection === undefined && rest.orthogonality === false)
    notes.push(
      "Python does not write 'subtract_projection', which tells DiReFT from NoReFT: it is read as true, as Python does. If this was DiReFT, set it to false in the file.",
    );
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
/** Whose a tensor is, in a key of today. */
const OWNER =
  /(?:^|\.)(?:adapters|invertible_adapters|loras|refts|prefix_tunings|prefix_gates|prompt_tunings|shared_parameters|modules_to_save)\.([^.]+)\./;

/** A key as `adapters` writes it today. */
function currentKey(key: string): string {
  return LEGACY.reduce((text, [pattern, today]) => text.replace(pattern, today), key);
}
