import { asFloat32, type Files, fail, joinPath, list, type Tensor } from '../base/index.ts';
import { isJsonObject, readJson } from '../formats/json.ts';
import {
  countNonFinite,
  readSafetensorsIndex,
  readShardedIndex,
  readTensor,
  type TensorEntry,
  type TensorIndex,
} from '../formats/safetensors.ts';
import type { EncoderConfig } from './config.ts';
import { encoderSpecs } from './draw.ts';
import { familyOf } from './families.ts';
import type { EncoderFamily } from './family.ts';
import { configFields } from './fields.ts';
import { readSentenceModel, type SentenceModel } from './sentence.ts';

/** How the note ends that says how many tensors of which type were not float32. */
export const EXPANDED = 'tensors are expanded to float32 at load.';

/** A tensor of an encoder: where it lies, and how to read it as float32. */
export interface EncoderWeight extends Omit<TensorEntry, 'strides'> {
  /** Whether the bytes at `offset` are float32 in row-major order, so that an engine may use them where they are. */
  readonly inPlace: boolean;
  /** float32, whatever the file holds. */
  read(): Promise<Tensor>;
}

export interface Encoder {
  readonly name: string;
  readonly folder: string;
  readonly family: EncoderFamily;
  readonly config: EncoderConfig;
  /** The raw config.json. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** By full name, prefix included. The pooler is absent where the checkpoint has none. */
  readonly weights: ReadonlyMap<string, EncoderWeight>;
  /** What a user should know: unknown extra keys, expanded types, numbers that are not finite. */
  readonly notes: readonly string[];
  /** How its folder says that texts become vectors; absent where it says nothing of that. */
  readonly sentence?: SentenceModel;
  /** Token ids of a text, those that begin and end it too, where its tokenizer is there. */
  readonly tokenize?: (text: string) => readonly number[];
}

const WEIGHT_FILES = ['model.safetensors', 'model.safetensors.index.json', 'pytorch_model.bin', 'pytorch_model.bin.index.json'] as const;

export interface LoadOptions {
  readonly checkFinite?: boolean;
  /** The name that a tensor of the file has here; undefined leaves it to others. */
  readonly rename?: (key: string) => string | undefined;
  /** All families that there are, where some come from outside this package. */
  readonly families?: readonly EncoderFamily[];
}

/**
 * Loads an encoder from a Hugging Face folder, or the one in a folder of sentence-transformers. Headers are read, weights stay where they are; `checkFinite` reads them
 * all once to warn of NaN and infinities.
 * @throws encoder.config, encoder.weights (lists the keys), file.* for damaged files
 */
export async function loadEncoder(
  files: Files,
  given: string,
  { checkFinite = false, rename, families }: LoadOptions = {},
): Promise<Encoder> {
  const sentence = await readSentenceModel(files, given);
  const folder = sentence?.encoder ?? given;
  const path = joinPath(folder, 'config.json');
  if ((await files.kind(path)) !== 'file')
    fail({
      code: 'file.missing',
      subject: path,
      found: { none: 'no such folder', file: 'a file where a folder is needed', folder: 'a folder without config.json' }[
        await files.kind(folder)
      ],
      expected: 'a Hugging Face model folder (config.json, weights, tokenizer.json)',
      next: 'Check --model.',
    });
  const fields = await readJson(files, path);
  if (!isJsonObject(fields)) return fail({ code: 'encoder.config', subject: path, found: 'no JSON object', expected: 'an object' });
  const reader = configFields(fields, path);
  const family = familyOf(reader.text('model_type'), path, families);
  const config = family.config(reader);
  if (config.hidden % config.heads !== 0)
    fail({
      code: 'encoder.config',
      subject: path,
      found: `${config.hidden} hidden units and ${config.heads} heads`,
      expected: 'a multiple',
    });
  const index = await readWeightIndex(files, folder);
  const { weights, notes } = await matchWeights(files, index, family, config, rename);
  if (checkFinite) notes.push(...(await nonFinite(weights)));
  const name =
    typeof fields._name_or_path === 'string' && fields._name_or_path
      ? fields._name_or_path
      : (given.replace(/\/+$/, '').split('/').at(-1) as string);
  return { name, folder, family, config, fields, weights, notes, ...(sentence && { sentence }) };
}

/** Loaded when there is such a file: most encoders have none. */
const torch = () => import('../formats/torch.ts');

/** The tensors of a model folder, whatever form its weight file has. */
export async function readWeightIndex(files: Files, folder: string): Promise<TensorIndex> {
  const present = new Set(await files.list(folder));
  const file = WEIGHT_FILES.find((name) => present.has(name));
  switch (file) {
    case 'model.safetensors':
      return readSafetensorsIndex(files, joinPath(folder, file));
    case 'model.safetensors.index.json':
      return readShardedIndex(files, folder);
    case 'pytorch_model.bin':
      return (await torch()).readTorchIndex(files, joinPath(folder, file));
    case 'pytorch_model.bin.index.json':
      return (await torch()).readShardedTorchIndex(files, folder);
    default:
      return fail({ code: 'file.missing', subject: folder, found: 'no weights', expected: `one of ${WEIGHT_FILES.join(', ')}` });
  }
}

async function matchWeights(
  files: Files,
  index: TensorIndex,
  family: EncoderFamily,
  config: EncoderConfig,
  rename: (key: string) => string | undefined = (key) => key,
) {
  const specs = encoderSpecs(family, config);
  const needed = new Map(specs.map(({ name, shape }) => [name, shape]));
  const found = new Map<string, TensorEntry>();
  const unknown: string[] = [];
  for (const [written, entry] of index.tensors) {
    const key = rename(written);
    if (key === undefined) continue;
    const name = canonicalName(key, family, needed);
    if (needed.has(name)) found.set(name, entry);
    else if (!family.ignored.some((pattern) => pattern.test(key)) && !/\.position_ids$|\.token_type_ids$/.test(`.${key}`))
      unknown.push(key);
  }
  const missing = specs.flatMap(({ name, part }) => (found.has(name) || part === 'pooler' ? [] : [name]));
  if (missing.length)
    fail({
      code: 'encoder.weights',
      subject: index.path,
      found: `no ${list(missing)}`,
      expected: `the ${needed.size} tensors of a ${family.name} encoder with ${config.layers} layers`,
      next: 'The file is incomplete, or config.json belongs to another model.',
    });
  const misshapen = [...found].filter(([name, { shape }]) => String(shape) !== String(needed.get(name)));
  if (misshapen.length)
    fail({
      code: 'encoder.weights',
      subject: index.path,
      found: list(misshapen.map(([name, { shape }]) => `${name} [${shape}]`)),
      expected: list(misshapen.map(([name]) => `[${needed.get(name)}]`)),
      next: 'config.json belongs to another model.',
    });

  const weights = new Map<string, EncoderWeight>();
  const expanded = new Map<string, number>();
  const places = new Map<string, string>();
  for (const [name, entry] of found) {
    const { strides: _strides, ...place } = entry;
    if (entry.dtype !== 'float32') expanded.set(entry.dtype, (expanded.get(entry.dtype) ?? 0) + 1);
    const file = places.get(entry.file) ?? (await files.realPath(entry.file));
    places.set(entry.file, file);
    weights.set(name, {
      ...place,
      name,
      file,
      inPlace: entry.dtype === 'float32' && entry.strides === undefined,
      read: async () => ({
        dtype: 'float32',
        shape: entry.shape,
        data: asFloat32(await readTensor(files, entry), `${index.path}: ${name}`),
      }),
    });
  }
  const notes = [...expanded].map(([dtype, count]) => `${count} ${dtype} ${EXPANDED}`);
  if (unknown.length) notes.push(`Not part of a ${family.name} encoder, ignored: ${list(unknown)}.`);
  return { weights, notes };
}

/** Adds the prefix to keys of bare checkpoints and renames the old names of layer norms. */
function canonicalName(key: string, { prefix }: EncoderFamily, needed: ReadonlyMap<string, unknown>): string {
  const renamed = key.replace(/LayerNorm\.gamma$/, 'LayerNorm.weight').replace(/LayerNorm\.beta$/, 'LayerNorm.bias');
  return needed.has(renamed) ? renamed : prefix + renamed;
}

async function nonFinite(weights: ReadonlyMap<string, EncoderWeight>): Promise<string[]> {
  const notes: string[] = [];
  for (const [name, entry] of weights) {
    const count = countNonFinite(await entry.read());
    if (count) notes.push(`${name} holds ${count} numbers that are not finite.`);
  }
  return notes;
}
