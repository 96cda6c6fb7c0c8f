import { type Files, fail, joinPath, totalElements } from '../base/index.ts';
import {
  ADAPTER_CONFIG,
  CA_MTL_CONFIG,
  configHash,
  FUSION_CONFIG,
  HEAD_CONFIG,
  HEAD_WEIGHT_FILES,
  loadSetup,
  MULTI_TASK_CONFIG,
  publishedCaMtl,
  publishedTasks,
  SETUP_CONFIG,
} from '../checkpoint/index.ts';
import { loadEncoder, MODULES } from '../encoders/index.ts';
import { isJsonObject, type Json, readJson } from '../formats/json.ts';
import { countNonFinite, readSafetensorsIndex, readTensor, type TensorIndex } from '../formats/safetensors.ts';
import { readTorchIndex } from '../formats/torch.ts';
import { adaptersOf, configInAdapters, describe, methodOfConfig, shortestText } from '../methods/index.ts';
import { loadTask } from '../tasks/index.ts';
import { loadTokenizer } from '../text/index.ts';

interface InspectedTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
}

/** One thing found at a path: an adapter, a fusion, a head, a setup of several, a model of several tasks, an encoder, a tokenizer, a task, an unfinished run, a file of weights. */
export interface InspectedPart {
  readonly kind:
    | 'adapter'
    | 'fusion'
    | 'head'
    | 'setup'
    | 'model of several tasks'
    | 'encoder'
    | 'tokenizer'
    | 'task'
    | 'unfinished run'
    | 'weights';
  readonly path: string;
  readonly facts: Readonly<Record<string, Json>>;
  readonly tensors?: readonly InspectedTensor[];
  readonly parameters?: number;
  readonly warnings: readonly string[];
}

export interface Inspection {
  readonly path: string;
  readonly parts: readonly InspectedPart[];
}

const WEIGHTS = /\.(safetensors|bin|pt|ckpt)$/;
const TABLE = /\.(jsonl|csv|tsv|parquet)$/;
const WEIGHTS_OF = {
  adapter: ['adapter.safetensors', 'pytorch_adapter.bin', 'adapter_model.safetensors', 'adapter_model.bin'],
  fusion: ['model_adapter_fusion.safetensors', 'pytorch_model_adapter_fusion.bin'],
  head: HEAD_WEIGHT_FILES,
} as const;
const TOKENIZER_FILES = ['tokenizer.json', 'vocab.txt'];

/**
 * What a file or folder holds. Weights are read once to look for numbers that are not finite; nothing is run.
 * @throws file.missing, file.syntax for what nothing of this package reads, and what the readers throw
 */
export async function inspectPath(files: Files, path: string): Promise<Inspection> {
  const kind = await files.kind(path);
  if (kind === 'none')
    return fail({ code: 'file.missing', subject: path, found: 'nothing', expected: 'a file or a folder', next: 'Check the path.' });
  const parts = kind === 'file' ? [await inspectFile(files, path)] : await inspectFolder(files, path);
  if (parts.length > 0) return { path, parts };
  const names = await files.list(path).catch(() => []);
  const inside: string[] = [];
  for (const name of names) if ((await files.kind(joinPath(path, name))) === 'folder') inside.push(name);
  return fail({
    code: 'file.missing',
    subject: path,
    found: names.length ? `a folder with ${names.slice(0, 8).join(', ')}${names.length > 8 ? ', …' : ''}` : 'an empty folder',
    expected: 'an adapter, a fusion, a head, an encoder, a task, an unfinished run or weights',
    next:
      inside.length > 0
        ? `Give one of the folders in it: ${inside.slice(0, 4).join(', ')}${inside.length > 4 ? ', …' : ''}.`
        : 'Give the folder that has the files, or one of the files.',
  });
}

async function inspectFile(files: Files, path: string): Promise<InspectedPart> {
  if ((await files.size(path)) === 0)
    fail({
      code: 'file.truncated',
      subject: path,
      found: 'an empty file',
      expected: 'weights or rows',
      next: 'Copy or download it again.',
    });
  if (WEIGHTS.test(path)) return { kind: 'weights', path, facts: {}, ...(await tensorsOf(files, await indexOf(files, path))) };
  if (TABLE.test(path)) return inspectTask(files, path);
  return fail({
    code: 'file.syntax',
    subject: path,
    found: 'a kind of file that is not known',
    expected: 'weights (.safetensors, .bin) or rows (.jsonl, .csv, .tsv, .parquet)',
    next: 'Give the folder it lies in.',
  });
}

async function inspectFolder(files: Files, folder: string): Promise<InspectedPart[]> {
  const names = new Set(await files.list(folder));
  const parts: InspectedPart[] = [];
  if (names.has('state') && (await files.kind(joinPath(folder, 'state', 'state.json'))) === 'file')
    parts.push(await inspectRun(files, joinPath(folder, 'state', 'state.json')));
  if (names.has(ADAPTER_CONFIG)) parts.push(await inspectSaved(files, folder, 'adapter', ADAPTER_CONFIG, names));
  if (names.has(FUSION_CONFIG)) parts.push(await inspectSaved(files, folder, 'fusion', FUSION_CONFIG, names));
  if (names.has(HEAD_CONFIG)) parts.push(await inspectSaved(files, folder, 'head', HEAD_CONFIG, names));
  if (names.has(SETUP_CONFIG)) parts.push(...(await inspectSetup(files, folder)));
  const several = [MULTI_TASK_CONFIG, CA_MTL_CONFIG].find((name) => names.has(name));
  const published = several === undefined ? await publishedCaMtl(files, folder) : undefined;
  if (several !== undefined) parts.push(...(await inspectSeveral(files, folder, several, names)));
  else if (published) parts.push(await inspectPublished(files, folder, published));
  else if (names.has('config.json') || names.has(MODULES)) parts.push(await inspectEncoder(files, folder, names));
  const tokenizer = TOKENIZER_FILES.find((name) => names.has(name));
  if (tokenizer)
    parts.push({ kind: 'tokenizer', path: joinPath(folder, tokenizer), facts: await tokenizerFacts(files, folder), warnings: [] });
  if ([...names].some((name) => name === 'card.json' || (TABLE.test(name) && /^(train|validation|test)\./.test(name))))
    parts.push(await inspectTask(files, folder));
  if (parts.length > 0) return parts;
  for (const name of names) if (WEIGHTS.test(name)) parts.push(await inspectFile(files, joinPath(folder, name)));
  return parts;
}

/** What is put together, then each of its parts. */
async function inspectSetup(files: Files, folder: string): Promise<InspectedPart[]> {
  const { composition, heads, fusions } = await loadSetup(files, folder);
  const facts = { setup: describe(composition), fusions: [...fusions.keys()], head: heads.length > 1 ? [...heads] : (heads[0] ?? null) };
  const inside = [...new Set([...adaptersOf(composition).map((name) => joinPath(folder, name)), ...fusions.values()])];
  const parts = await Promise.all(inside.map((path) => inspectFolder(files, path)));
  return [{ kind: 'setup', path: joinPath(folder, SETUP_CONFIG), facts, warnings: [] }, ...parts.flat()];
}

/** Its plan, its tasks and, of CA-MTL, all its tensors; of other methods the adapter and head of each task, and an encoder that was trained. */
async function inspectSeveral(files: Files, folder: string, several: string, names: ReadonlySet<string>): Promise<InspectedPart[]> {
  const path = joinPath(folder, several);
  const raw = await readJson(files, path);
  if (!isJsonObject(raw)) return fail({ code: 'adapter.format', subject: path, found: 'no JSON object', expected: 'an object' });
  const { tasks: listed, version: _, method = 'ca_mtl', ...config } = raw;
  const tasks = Array.isArray(listed) ? listed.map((task) => String(isJsonObject(task) ? task.name : task)) : [];
  const part = { kind: 'model of several tasks', path, facts: { method, tasks, config }, warnings: [] } as const;
  if (several === CA_MTL_CONFIG)
    return [{ ...part, ...(await tensorsOf(files, await indexOf(files, joinPath(folder, 'model.safetensors')))) }];
  const parts: InspectedPart[] = [part];
  // Names come from a file: those that are no folder's here lead nowhere.
  for (const task of new Set(tasks.filter((one) => names.has(one)))) {
    const inner = joinPath(folder, task);
    if ((await files.kind(inner)) !== 'folder') continue;
    const inside = new Set(await files.list(inner));
    if (inside.has(ADAPTER_CONFIG)) parts.push(await inspectSaved(files, inner, 'adapter', ADAPTER_CONFIG, inside));
    if (inside.has(HEAD_CONFIG)) parts.push(await inspectSaved(files, inner, 'head', HEAD_CONFIG, inside));
  }
  if (names.has('config.json')) parts.push(await inspectEncoder(files, folder, names));
  return parts;
}

/** A checkpoint of CA-MTL's published code, by the names in its file. */
async function inspectPublished(files: Files, folder: string, index: TensorIndex): Promise<InspectedPart> {
  const fields = await readJson(files, joinPath(folder, 'config.json'));
  const tasks = publishedTasks(isJsonObject(fields) ? fields.ca_mtl : undefined).map(String);
  const decoders = [...index.tensors.keys()].filter((name) => /^decoders\.\d+\.model\.weight$/.test(name)).length;
  const facts = { method: 'ca_mtl, as its published code saves it', tasks: tasks.length > 0 ? tasks : `${decoders}, without names` };
  return { kind: 'model of several tasks', path: index.path, facts, ...(await tensorsOf(files, index)) };
}

/** An adapter, fusion or head folder, in the layout of `adapters` or of PEFT; what its methods cannot read is shown all the same. */
async function inspectSaved(
  files: Files,
  folder: string,
  kind: 'adapter' | 'fusion' | 'head',
  configName: string,
  names: ReadonlySet<string>,
): Promise<InspectedPart> {
  const path = joinPath(folder, configName);
  const raw = await readJson(files, path, { python: true });
  if (!isJsonObject(raw)) return fail({ code: 'adapter.format', subject: path, found: 'no JSON object', expected: 'an object' });
  const { config: nested, ...facts } = raw;
  const warnings: string[] = [];
  const config = isJsonObject(nested) ? nested : {};
  if (kind === 'adapter' && isJsonObject(nested)) {
    try {
      const { method, config: complete } = methodOfConfig(nested, path, {
        onUnknownKey: (key) => void warnings.push(`The key '${key}' is unknown to this version.`),
      });
      facts.method = method.name;
      facts.configuration = shortestText({ method, config: complete });
      facts.hash = await configHash(configInAdapters({ method, config: complete }), method.floatKeys);
    } catch (error) {
      warnings.push(error instanceof Error ? error.message : String(error));
    }
  }
  const file = WEIGHTS_OF[kind].find((name) => names.has(name));
  if (!file) warnings.push(`There are no weights: ${WEIGHTS_OF[kind].join(', ')} are all absent.`);
  const weights = file ? await tensorsOf(files, await indexOf(files, joinPath(folder, file))) : { warnings: [] };
  return {
    kind,
    path: folder,
    facts: { ...facts, ...(file && { weights: file }), config },
    ...weights,
    warnings: [...warnings, ...weights.warnings],
  };
}

async function inspectEncoder(files: Files, folder: string, names: ReadonlySet<string>): Promise<InspectedPart> {
  const encoder = await loadEncoder(files, folder, { checkFinite: true });
  const { family: _family, ...sizes } = encoder.config;
  const tensors = [...encoder.weights.values()].map(({ name, dtype, shape }) => ({ name, dtype, shape }));
  const parameters = totalElements(tensors);
  const missing = TOKENIZER_FILES.some((name) => names.has(name)) ? [] : ['There is no tokenizer: put tokenizer.json beside it.'];
  const facts = Object.fromEntries(
    Object.entries({ name: encoder.name, type: encoder.family.name, ...sizes }).filter(
      (entry): entry is [string, string | number] => entry[1] !== undefined,
    ),
  );
  return { kind: 'encoder', path: folder, facts, tensors, parameters, warnings: [...encoder.notes, ...missing] };
}

async function inspectTask(files: Files, path: string): Promise<InspectedPart> {
  const { name, kind, labels, metric, files: splits } = await loadTask(files, path);
  return { kind: 'task', path, facts: { name, kind, labels: [...labels], metric, splits: Object.keys(splits) }, warnings: [] };
}

async function inspectRun(files: Files, path: string): Promise<InspectedPart> {
  const raw = await readJson(files, path);
  const state = isJsonObject(raw) ? raw : {};
  const saved = isJsonObject(state.saved) ? state.saved : {};
  const progress = isJsonObject(saved.progress) ? saved.progress : {};
  const facts = { step: progress.step ?? 0, best: progress.best ?? null, settings: state.settings ?? {} };
  return { kind: 'unfinished run', path, facts, warnings: ['Training has not ended here: the same command with --resume goes on.'] };
}

async function tokenizerFacts(files: Files, folder: string): Promise<Record<string, Json>> {
  const { vocabularySize, modelMaxLength, padToken } = await loadTokenizer(files, folder);
  return {
    tokens: vocabularySize,
    ...(Number.isFinite(modelMaxLength) && { longest: modelMaxLength }),
    ...(padToken !== undefined && { padding: padToken }),
  };
}

function indexOf(files: Files, path: string): Promise<TensorIndex> {
  if (path.endsWith('.safetensors')) return readSafetensorsIndex(files, path);
  return readTorchIndex(files, path);
}

async function tensorsOf(
  files: Files,
  index: TensorIndex,
): Promise<{ tensors: InspectedTensor[]; parameters: number; warnings: string[] }> {
  const warnings: string[] = [];
  const tensors: InspectedTensor[] = [];
  for (const [name, entry] of index.tensors) {
    tensors.push({ name, dtype: entry.dtype, shape: entry.shape });
    const bad = countNonFinite(await readTensor(files, entry));
    if (bad > 0) warnings.push(`${name} holds ${bad} numbers that are not finite (NaN or infinity).`);
  }
  return { tensors, parameters: totalElements(tensors), warnings };
}
