import { asFloat32, type Files, fail, joinPath, MultigraftError, shown, type Tensor } from '../base/index.ts';
import { pythonClass } from '../encoders/index.ts';
import { isJsonObject, type Json, pythonJson } from '../formats/json.ts';
import { createHead, type Head, type HeadKind, headParameters } from '../objectives/index.ts';
import { checkModel, checkName, type ModelFacts, readFields, VERSION } from './facts.ts';
import { readFixedHead } from './fixed-head.ts';
import { matchTensors, readWeights, tensorsToWrite, type WeightFormat, writeWeights } from './weights.ts';

/** What predictions should know of how a head was trained: keys of our own in head_config.json, which Python passes over. */
export interface HeadTraining {
  /** Tokens per sequence. */
  readonly maxLength?: number;
  /** Whether every row had a second text. */
  readonly textPairs?: boolean;
}

/** A prediction head with its weights, by full name (`heads.NAME.1.weight`). */
export interface HeadPackage extends Head {
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Absent in heads that were saved elsewhere. */
  readonly training?: HeadTraining;
}

export interface LoadedHead extends HeadPackage {
  /** What a user should know. */
  readonly notes: readonly string[];
}

export interface LoadingHead {
  readonly encoder: ModelFacts;
  /** Another name for the head. */
  readonly as?: string | undefined;
  /** What a head is called whose file has no name: one of transformers' own classes. */
  readonly unnamed?: string | undefined;
  /** Where kinds of heads from outside this package take part. */
  readonly headKinds?: readonly HeadKind[] | undefined;
}

export const HEAD_CONFIG = 'head_config.json';
/** Two special tokens and one of the text. */
const SHORTEST = 3;
const HEAD_WEIGHTS = { bin: 'pytorch_model_head.bin', safetensors: 'model_head.safetensors' };
/**
 * Of heads that Python's would compute otherwise: it looks for a head by the name of its weights, says that there is none, and loads
 * what lies beside it.
 */
const OWN_WEIGHTS = { bin: 'pooled_head.bin', safetensors: 'pooled_head.safetensors' };
/** What such a head has in its configuration. */
const OWN_KEYS = ['pooling', 'normalize'] as const;
/** Every name that the weights of a head may have. */
export const HEAD_WEIGHT_FILES: readonly string[] = [HEAD_WEIGHTS, OWN_WEIGHTS].flatMap(({ bin, safetensors }) => [safetensors, bin]);

/** Whether Python's `adapters` has a head that computes the same. */
export function isPythons({ config }: Pick<Head, 'config'>): boolean {
  return config.pooling === undefined && !config.normalize;
}

/**
 * Writes head_config.json and the head's weights as `adapters` does, the config last; those of a head that it does not have under
 * names that it does not look for. @throws adapter.format, file.unreadable */
export async function saveHead(
  files: Files,
  folder: string,
  head: HeadPackage,
  model: ModelFacts,
  { format = 'bin' }: { format?: WeightFormat } = {},
): Promise<void> {
  checkName(head.name, "the head's name", 'Give it another name.');
  const tensors = tensorsToWrite(head.tensors, headParameters(head, model.config), `head '${head.name}'`);
  const shared = head.kind.wordTable?.(head);
  const words = shared === undefined ? undefined : await wordTable(model);
  if (shared !== undefined && words) tensors.push([shared, words]);
  const [names, others] = isPythons(head) ? [HEAD_WEIGHTS, OWN_WEIGHTS] : [OWN_WEIGHTS, HEAD_WEIGHTS];
  for (const name of Object.values(others)) await files.remove(joinPath(folder, name));
  await writeWeights(files, folder, names, format, tensors);
  const keys = isPythons(head) ? head.kind.keys : [...head.kind.keys, ...OWN_KEYS.filter((key) => head.config[key] !== undefined)];
  const config = Object.fromEntries(keys.map((key) => [key, head.config[key]]));
  await files.write(
    joinPath(folder, HEAD_CONFIG),
    pythonJson({ config, ...modelFields(model, head.name), ...trainingFields(head.training) }, { floatKeys: ['dropout_prob'] }),
  );
}

/** The fields that every config file of `adapters` ends with. */
export function modelFields(model: ModelFacts, name: string): Record<string, unknown> {
  const { family, config } = model;
  return {
    hidden_size: config.hidden,
    model_class: pythonClass(family),
    model_name: model.name,
    model_type: family.name,
    name,
    version: VERSION,
  };
}

/** The keys under which it is written. */
export function trainingFields({ maxLength, textPairs }: HeadTraining = {}): Record<string, unknown> {
  return { ...(maxLength !== undefined && { max_length: maxLength }), ...(textPairs && { text_pairs: true }) };
}

/** What {@link trainingFields} wrote. @throws adapter.format */
export function readTraining(raw: Readonly<Record<string, Json>>, path: string): HeadTraining {
  const { max_length: maxLength, text_pairs: textPairs } = raw;
  const wrong = (key: string, expected: string) =>
    fail({
      code: 'adapter.format',
      subject: `${path}: field '${key}'`,
      found: shown(raw[key]),
      expected,
      next: 'Correct it, or remove the line: then the usual value holds.',
    });
  if (maxLength !== undefined && !(typeof maxLength === 'number' && Number.isInteger(maxLength) && maxLength >= SHORTEST))
    wrong('max_length', `a whole number of tokens, at least ${SHORTEST}`);
  if (textPairs !== undefined && typeof textPairs !== 'boolean') wrong('text_pairs', 'true or false');
  return {
    ...(maxLength !== undefined && { maxLength: maxLength as number }),
    ...(textPairs !== undefined && { textPairs: textPairs as boolean }),
  };
}

/** Removes a head's files, so that none of an earlier save is taken for that of a later one. */
export async function removeHead(files: Files, folder: string): Promise<void> {
  for (const name of [HEAD_CONFIG, ...HEAD_WEIGHT_FILES]) await files.remove(joinPath(folder, name));
}

/**
 * Reads a head that `adapters` or this package saved; `as` gives it another name, `headKinds` are those that it may be of. One of
 * transformers' own classes becomes what Python makes of it.
 * @throws adapter.mismatch, adapter.format, head.config, and file.* for damaged files
 */
export async function loadHead(files: Files, folder: string, { encoder, as, unnamed, headKinds }: LoadingHead): Promise<LoadedHead> {
  const path = joinPath(folder, HEAD_CONFIG);
  const raw = await readFields(files, path);
  checkModel(raw, encoder, path);
  const name = checkName(as ?? raw.name ?? unnamed, `${path}: field 'name'`, 'Load it under another name.');
  const own = isJsonObject(raw.config) && (raw.config.pooling !== undefined || raw.config.normalize === true);
  const weights = await readWeights(files, folder, own ? OWN_WEIGHTS : HEAD_WEIGHTS);
  const { head, tensors: found } =
    raw.config === null
      ? readFixedHead(raw, weights.tensors, encoder, name, path, headKinds)
      : readFlexibleHead(raw, weights.tensors, encoder, name, path, headKinds);
  await takeWordTable(head, found, encoder, weights.path);
  const saved = headParameters(head, encoder.config);
  const { tensors, notes } = matchTensors(found, saved, {
    path: weights.path,
    prefix: '',
    owner: `the head '${name}'`,
    own: (key) => key.startsWith(`heads.${head.name}.`),
  });
  const named = { ...head, name };
  const values = headParameters(named, encoder.config).map(
    (spec, i) => [spec.name, tensors.get(saved[i]?.name as string) as Tensor] as const,
  );
  return { ...named, tensors: new Map(values), training: readTraining(raw, path), notes };
}

/** Under the name that its file says. @throws head.config for what is none of an AdapterModel class of this family, or of its predecessors */
function readFlexibleHead(
  raw: Readonly<Record<string, Json>>,
  weights: ReadonlyMap<string, Tensor>,
  { family }: ModelFacts,
  name: string,
  path: string,
  kinds: readonly HeadKind[] | undefined,
): { readonly head: Head; readonly tensors: Map<string, Tensor> } {
  const classes = [pythonClass(family), `${family.python}ModelWithHeads`];
  if (typeof raw.model_class === 'string' && !classes.includes(raw.model_class))
    fail({
      code: 'head.config',
      subject: `${path}: field 'model_class'`,
      found: shown(raw.model_class),
      expected: classes.map((one) => `'${one}'`).join(' or '),
      next: 'Load the adapter without its head.',
    });
  const stored = typeof raw.name === 'string' ? raw.name : name;
  return { head: createHead(stored, raw.config, path, kinds), tensors: new Map(weights) };
}

/**
 * What was loaded from a folder, with the head that lies beside it there, unless `options.head` is false. A head of a kind that there
 * is none of here becomes a note; a damaged one is an error. @throws as {@link loadHead}, but for head.config
 */
export async function withSavedHead<T extends { readonly name: string; readonly head?: HeadPackage; readonly notes: readonly string[] }>(
  files: Files,
  folder: string,
  loaded: T,
  options: LoadingHead & { readonly head?: boolean },
): Promise<T> {
  if (options.head === false || (await files.kind(joinPath(folder, HEAD_CONFIG))) !== 'file') return loaded;
  try {
    const { notes, ...head } = await loadHead(files, folder, { ...options, unnamed: loaded.name });
    return { ...loaded, head, notes: [...loaded.notes, ...notes] };
  } catch (error) {
    if (!(error instanceof MultigraftError) || error.code !== 'head.config') throw error;
    return { ...loaded, notes: [...loaded.notes, `The head of '${loaded.name}' cannot be read, and is left out: ${error.message}`] };
  }
}

/** The word embeddings of an encoder, where its weights are at hand. */
async function wordTable({ family, weights }: ModelFacts): Promise<Tensor | undefined> {
  return weights?.get(`${family.prefix}${family.wordTable}.weight`)?.read();
}

/** Takes the encoder's word table out of a head's tensors. @throws adapter.mismatch where it holds other numbers */
async function takeWordTable(head: Head, found: Map<string, Tensor>, encoder: ModelFacts, path: string): Promise<void> {
  const name = head.kind.wordTable?.(head);
  const saved = name === undefined ? undefined : found.get(name);
  if (name === undefined || !saved) return;
  const words = await wordTable(encoder);
  const [numbers, wanted] = [saved, words].map((tensor) => tensor && asFloat32(tensor, `${path}: ${name}`));
  if (wanted && !(numbers?.length === wanted.length && numbers.every((x, i) => Object.is(x, wanted[i]))))
    fail({
      code: 'adapter.mismatch',
      subject: `${path}: ${name}`,
      found: 'other numbers than the word embeddings have',
      expected: `those of ${encoder.name}: the head reads them, and has none of its own`,
      next: 'Load the encoder that the head was trained with.',
    });
  found.delete(name);
}
