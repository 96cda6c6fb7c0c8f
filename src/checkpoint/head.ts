import { asFloat32, type Files, fail, joinPath, shown, type Tensor } from '../base/index.ts';
import { pythonClass } from '../encoders/index.ts';
import { type Json, pythonJson } from '../formats/json.ts';
import { createHead, type Head, type HeadKind, headParameters } from '../objectives/index.ts';
import { checkModel, checkName, type ModelFacts, readFields, VERSION } from './facts.ts';
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
  /** Where kinds of heads from outside this package take part. */
  readonly headKinds?: readonly HeadKind[] | undefined;
}

export const HEAD_CONFIG = 'head_config.json';
/** Two special tokens and one of the text. */
const SHORTEST = 3;
const HEAD_WEIGHTS = { bin: 'pytorch_model_head.bin', safetensors: 'model_head.safetensors' };

/** Writes head_config.json and the head's weights as `adapters` does, the config last. @throws adapter.format, file.unreadable */
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
  await writeWeights(files, folder, HEAD_WEIGHTS, format, tensors);
  const config = Object.fromEntries(head.kind.keys.map((key) => [key, head.config[key]]));
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
  for (const name of [HEAD_CONFIG, HEAD_WEIGHTS.bin, HEAD_WEIGHTS.safetensors]) await files.remove(joinPath(folder, name));
}

/**
 * Reads a head that `adapters` or this package saved; `as` gives it another name, `headKinds` are those that it may be of.
 * @throws adapter.mismatch, adapter.format, head.config, and file.* for damaged files
 */
export async function loadHead(files: Files, folder: string, { encoder, as, headKinds }: LoadingHead): Promise<LoadedHead> {
  const path = joinPath(folder, HEAD_CONFIG);
  const raw = await readFields(files, path);
  if (raw.config === null)
    return fail({
      code: 'head.config',
      subject: path,
      found: `the fixed head of a ${shown(raw.model_class)}`,
      expected: 'a head of an AdapterModel class',
      next: 'In Python, load it into an AutoAdapterModel, which converts it, and save it again.',
    });
  checkModel(raw, encoder, path);
  const stored = typeof raw.name === 'string' ? raw.name : '';
  const name = checkName(as ?? raw.name, `${path}: field 'name'`, 'Load it under another name.');
  const head: Head = createHead(name, raw.config, path, headKinds);
  const weights = await readWeights(files, folder, HEAD_WEIGHTS);
  const found = new Map(
    [...weights.tensors].map(([key, value]) => [
      key.startsWith(`heads.${stored}.`) ? `heads.${name}.${key.slice(`heads.${stored}.`.length)}` : key,
      value,
    ]),
  );
  await takeWordTable(head, found, encoder, weights.path);
  const { tensors, notes } = matchTensors(found, headParameters(head, encoder.config), {
    path: weights.path,
    prefix: '',
    owner: `the head '${name}'`,
  });
  return { ...head, tensors, training: readTraining(raw, path), notes };
}

/** What was loaded from a folder, with the head that lies beside it there, unless `options.head` is false. @throws as {@link loadHead} */
export async function withSavedHead<T extends { readonly head?: HeadPackage; readonly notes: readonly string[] }>(
  files: Files,
  folder: string,
  loaded: T,
  options: LoadingHead & { readonly head?: boolean },
): Promise<T> {
  if (options.head === false || (await files.kind(joinPath(folder, HEAD_CONFIG))) !== 'file') return loaded;
  const { notes, ...head } = await loadHead(files, folder, options);
  return { ...loaded, head, notes: [...loaded.notes, ...notes] };
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
