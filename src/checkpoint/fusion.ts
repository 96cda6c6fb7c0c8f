import { defined, type Files, fail, float32, joinPath, list, shown, type Tensor } from '../base/index.ts';
import { PLACES } from '../encoders/index.ts';
import { isJsonObject, type Json, pythonJson } from '../formats/json.ts';
import {
  allFusionParameters,
  attachComposition,
  bindAdapter,
  type ConfiguredMethod,
  encoderFacts,
  FUSION_PRESETS,
  type FusionConfig,
  type FusionSite,
  fuse,
  fusionConfig,
  fusionPath,
  fusionSites,
  modules,
} from '../methods/index.ts';
import type { ParameterSpec } from '../nn/index.ts';
import type { HeadKind } from '../objectives/index.ts';
import { checkModel, checkName, type ModelFacts, noteOfModel, readFields } from './facts.ts';
import { type HeadPackage, modelFields, removeHead, saveHead, withSavedHead } from './head.ts';
import { matchTensors, readWeights, tensorsToWrite, type WeightFormat, writeWeights } from './weights.ts';

/** A fusion with its weights, and the head that was trained with it. */
export interface FusionPackage extends FusionFacts {
  /** Those of {@link fusionSpecs}. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** How many steps it was trained: its temperature falls with them. A key of our own in its file, which Python passes over. */
  readonly steps?: number;
  readonly head?: HeadPackage;
}

export interface FusionFacts {
  readonly name: string;
  /** What it mixes, in order; the methods say where they stand. */
  readonly adapters: ReadonlyMap<string, ConfiguredMethod>;
  readonly config: FusionConfig;
  readonly model: ModelFacts;
}

export interface LoadedFusion extends FusionPackage {
  /** What a user should know. */
  readonly notes: readonly string[];
}

export interface LoadingFusion {
  readonly encoder: ModelFacts;
  /** All adapters there are: a fusion is nothing without its own. */
  readonly adapters: ReadonlyMap<string, ConfiguredMethod>;
  /** Another name for the fusion and its head. */
  readonly as?: string;
  /** false leaves the head unread. */
  readonly head?: boolean;
  /** Where kinds of heads from outside this package take part. */
  readonly headKinds?: readonly HeadKind[];
}

export const FUSION_CONFIG = 'adapter_fusion_config.json';
const FUSION_WEIGHTS = { bin: 'pytorch_model_adapter_fusion.bin', safetensors: 'model_adapter_fusion.safetensors' };

/** The parameters of a fusion in every layer, as Python keeps them: also in those where none of its adapters stands. */
export function fusionSpecs(fusion: FusionFacts): ParameterSpec[] {
  return allFusionParameters(fusion.config, sitesOf(fusion));
}

/**
 * Writes a fusion folder that Python loads: weights, head, and adapter_fusion_config.json last, so that a folder with it is
 * whole. The adapters have folders of their own.
 * @throws adapter.format for a name or tensors that the layout cannot hold, file.unreadable
 */
export async function saveFusion(
  files: Files,
  folder: string,
  fusion: FusionPackage,
  { format = 'bin' }: { readonly format?: WeightFormat } = {},
): Promise<void> {
  const { name, adapters, config, model, steps, head } = fusion;
  checkName(name, "the fusion's name", 'Give it another name.');
  const path = joinPath(folder, FUSION_CONFIG);
  const earlier = (await files.kind(path)) === 'file';
  const tensors = tensorsToWrite(fusion.tensors, fusionSpecs(fusion), `fusion '${name}'`);
  await writeWeights(files, folder, FUSION_WEIGHTS, format, [...tensors, ...unread(fusion)]);
  if (head) await saveHead(files, folder, head, model, { format });
  else if (earlier) await removeHead(files, folder);
  await files.write(
    path,
    pythonJson(
      {
        adapter_names: [...adapters.keys()],
        config,
        ...modelFields(model, name),
        ...(config.temperature && steps !== undefined && { training_steps: steps }),
      },
      { floatKeys: ['dropout_prob'] },
    ),
  );
}

/**
 * Reads a fusion folder for `encoder` and the adapters that are there; `as` renames fusion and head.
 * @throws adapter.missing, adapter.duplicate, adapter.mismatch (other encoder, adapters at other places), adapter.format,
 * method.config, head.config, and file.* for damaged files
 */
export async function loadFusion(files: Files, folder: string, options: LoadingFusion): Promise<LoadedFusion> {
  const { encoder, as } = options;
  const path = joinPath(folder, FUSION_CONFIG);
  const raw = await readFields(files, path);
  const notes = noteOfModel(checkModel(raw, encoder, path), encoder);
  const stored = typeof raw.name === 'string' && raw.name !== '' ? raw.name : undefined;
  const name = checkName(as ?? raw.name, `${path}: field 'name'`, 'Load it under another name.');
  const fusion: FusionFacts = {
    name,
    adapters: fusedAdapters(adapterNames(raw, path), options.adapters, path),
    config: readConfig(raw, path, notes),
    model: encoder,
  };
  // Whether these adapters can be fused at all.
  attachComposition(
    fuse([...fusion.adapters.keys()], { name }),
    { adapters: fusion.adapters, fusions: new Map([[name, fusion.config]]) },
    encoderFacts(encoder),
  );
  const steps = readSteps(raw, path);
  const weights = await readWeights(files, folder, FUSION_WEIGHTS);
  const found = tensorsOfFusion(weights.tensors, stored ?? name, fusion, weights.path, notes);
  const matched = matchTensors(found, fusionSpecs(fusion), {
    path: weights.path,
    prefix: encoder.family.prefix,
    owner: `the fusion '${name}'`,
    groups: encoder.config.groups,
  });
  const loaded: LoadedFusion = { ...fusion, tensors: matched.tensors, ...defined({ steps }), notes: [...notes, ...matched.notes] };
  return withSavedHead(files, folder, loaded, options);
}

function sitesOf({ name, adapters, model }: FusionFacts): FusionSite[] {
  const facts = encoderFacts(model);
  const bound = [...adapters].map(([adapter, method]) => bindAdapter(method, { ...facts, name: adapter }));
  return fusionSites(name, bound, facts);
}

/** The linear that Python makes where a fusion has nothing to train, reads nowhere, and misses when it is not in the file. */
function unread(fusion: FusionFacts): [string, Tensor][] {
  if (fusionSpecs(fusion).length > 0) return [];
  return sitesOf(fusion).flatMap(({ path, width: d }): [string, Tensor][] => [
    [`${path}.dense.weight`, float32([1, d], new Float32Array(d))],
    [`${path}.dense.bias`, float32([1], [0])],
  ]);
}

function adapterNames(raw: { readonly [key: string]: Json }, path: string): string[] {
  const { adapter_names: names = raw.name } = raw;
  const listed = typeof names === 'string' ? names.split(',') : names;
  if (!Array.isArray(listed) || listed.length === 0)
    return fail({
      code: 'adapter.format',
      subject: `${path}: field 'adapter_names'`,
      found: shown(names),
      expected: 'the names of at least one adapter',
    });
  const checked = listed.map((one) => checkName(one, `${path}: field 'adapter_names'`, 'Correct it.'));
  const twice = checked.find((one, i) => checked.indexOf(one) !== i);
  if (twice !== undefined)
    fail({
      code: 'adapter.duplicate',
      subject: `${path}: field 'adapter_names'`,
      found: `'${twice}' twice`,
      expected: 'each adapter once',
    });
  return checked;
}

function fusedAdapters(
  names: readonly string[],
  there: ReadonlyMap<string, ConfiguredMethod>,
  path: string,
): Map<string, ConfiguredMethod> {
  const absent = names.filter((name) => !there.has(name));
  if (absent.length > 0)
    fail({
      code: 'adapter.missing',
      subject: path,
      found: `no adapter ${list(absent)}`,
      expected: `${list(names)}, which the fusion mixes`,
      next: 'Load them first, under these names.',
    });
  return new Map(names.map((name) => [name, there.get(name) as ConfiguredMethod]));
}

/** All keys must be there but dropout_prob, which is younger than the first files; keys of other versions become a note. */
function readConfig({ config }: { readonly [key: string]: Json }, path: string, notes: string[]): FusionConfig {
  const subject = `${path}: field 'config'`;
  if (typeof config === 'string') return fusionConfig(config, subject);
  if (!isJsonObject(config)) return fail({ code: 'adapter.format', subject, found: shown(config), expected: 'an object' });
  const keys = Object.keys(FUSION_PRESETS.dynamic as FusionConfig);
  const absent = keys.filter((key) => key !== 'dropout_prob' && !Object.hasOwn(config, key));
  if (absent.length > 0) fail({ code: 'adapter.format', subject, found: `no ${list(absent)}`, expected: `the keys ${keys.join(', ')}` });
  const unknown = Object.keys(config).filter((key) => !keys.includes(key));
  if (unknown.length > 0) notes.push(`Keys of ${path} that a fusion does not have, ignored: ${list(unknown)}.`);
  return fusionConfig(Object.fromEntries(Object.entries(config).filter(([key]) => keys.includes(key))), subject);
}

function readSteps({ training_steps: steps }: { readonly [key: string]: Json }, path: string): number | undefined {
  if (steps === undefined || (typeof steps === 'number' && Number.isInteger(steps) && steps >= 0)) return steps;
  return fail({
    code: 'adapter.format',
    subject: `${path}: field 'training_steps'`,
    found: shown(steps),
    expected: 'a whole number of steps',
    next: 'Correct it, or remove the line: then its temperature is that of the start.',
  });
}

/**
 * The tensors of this fusion under its name of today. Python looks for names that begin like its own: what belongs to another
 * fusion becomes a note. @throws adapter.mismatch for a fusion at other places than its adapters
 */
function tensorsOfFusion(
  tensors: ReadonlyMap<string, Tensor>,
  stored: string,
  fusion: FusionFacts,
  path: string,
  notes: string[],
): Map<string, Tensor> {
  const { name, model } = fusion;
  const [before, after] = [`.adapter_fusion_layer.${stored}.`, `.adapter_fusion_layer.${name}.`];
  const kept = new Map<string, Tensor>();
  const others = new Set<string>();
  for (const [key, value] of tensors) {
    const other = key.includes(before) ? undefined : /\.adapter_fusion_layer\.([^.]+)\./.exec(key)?.[1];
    if (other === undefined)
      kept.set(
        key.replace(before, () => after),
        value,
      );
    else others.add(other);
  }
  if (others.size > 0) notes.push(`${path} also holds weights of the fusion ${list([...others].map((one) => `'${one}'`))}, ignored.`);

  const { config: encoder, family } = model;
  const places = [...new Set(sitesOf(fusion).flatMap(({ at }) => ('place' in at ? [at.place] : [])))];
  const stands = PLACES.filter((place) => {
    const at = modules(encoder, []).map((module) => `${fusionPath(family, name, place, module)}.`);
    return [...kept.keys()].some((key) =>
      at.some((path) => `${key.startsWith(family.prefix) ? '' : family.prefix}${key}`.startsWith(path)),
    );
  });
  if (stands.length > 0 && stands.join() !== places.join())
    fail({
      code: 'adapter.mismatch',
      subject: path,
      found: `the fusion '${name}' after ${stands.join(' and ')}`,
      expected: `after ${places.join(' and ')}, where ${list([...fusion.adapters.keys()])} stand`,
      next: 'Load the adapters that it was made for.',
    });
  if (fusionSpecs(fusion).length > 0) return kept;
  return new Map([...kept].filter(([key]) => !/\.dense\.(?:weight|bias)$/.test(key)));
}
