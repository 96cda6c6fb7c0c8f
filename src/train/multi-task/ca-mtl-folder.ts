import { asFloat32, defined, type Files, fail, joinPath, type Tensor } from '../../base/index.ts';
import { CA_MTL_CONFIG, type HeadTraining, publishedTasks, readTraining, trainingFields } from '../../checkpoint/index.ts';
import { type Encoder, loadEncoder, readWeightIndex } from '../../encoders/index.ts';
import { isJsonObject, type Json, readJson } from '../../formats/json.ts';
import { countNonFinite, readSafetensors, readTensor, type TensorIndex, writeSafetensors } from '../../formats/safetensors.ts';
import {
  attachCaMtl,
  type CaMtlAttachment,
  type CaMtlConfig,
  caMtlConfig,
  checkCaMtlConfig,
  encoderFacts,
  fromPublishedName,
  isCaMtlName,
} from '../../methods/index.ts';
import type { Model } from '../../model/model.ts';
import { createHead, type Head, headParameters } from '../../objectives/index.ts';
import { checkTaskNames } from './task-names.ts';

/** A CA-MTL model as it lies in a folder: encoder, attachment, a head for each task, and the tensors of the last two. */
export interface SavedCaMtl extends Model {
  readonly attachment: CaMtlAttachment;
  /** By full name; those of the encoder are in `encoder.weights`. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** What the rows of each task look like to the encoder, by the task's name, where that is known: see {@link taskFeatures}. */
  readonly features?: ReadonlyMap<string, Tensor>;
  /** How each task was trained, as far as that is known. */
  readonly training: readonly HeadTraining[];
}

interface LoadedCaMtl extends SavedCaMtl {
  /** What a user should know. */
  readonly notes: readonly string[];
}

/** Beside a model: what the rows of each task look like, a vector for each. */
const FEATURES = 'task_features.safetensors';

/**
 * Writes config.json of the encoder, `model.safetensors` with every tensor by its full name (those of `tensors` in place of
 * the encoder's), task_features.safetensors where there are features, and ca_mtl_config.json last. Tokenizer files are the
 * caller's to copy.
 */
export async function saveCaMtl(files: Files, folder: string, model: SavedCaMtl): Promise<void> {
  const { encoder, attachment, heads, tensors, features, training } = model;
  const all: [string, Tensor][] = [];
  for (const [name, weight] of encoder.weights) all.push([name, tensors.get(name) ?? (await weight.read())]);
  for (const { name } of addedOf(model)) all.push([name, tensors.get(name) ?? missing(name, 'the model to save')]);
  await files.write(joinPath(folder, 'model.safetensors'), writeSafetensors(all, { format: 'pt' }));
  const { torch_dtype: _old, dtype: _new, _name_or_path: _before, ca_mtl: _published, ...fields } = encoder.fields;
  await files.write(joinPath(folder, 'config.json'), json(fields));
  if (features) await files.write(joinPath(folder, FEATURES), writeSafetensors([...features], { format: 'pt' }));
  const tasks = heads.map(({ name, config }, task) => ({ name, head: config, ...trainingFields(training[task]) }));
  await files.write(joinPath(folder, CA_MTL_CONFIG), json({ ...attachment.plan.config, tasks }));
}

/**
 * Reads a folder of {@link saveCaMtl}, or one of the published code: config.json of its encoder and `pytorch_model.bin` (or the
 * same tensors in another format).
 * @throws encoder.weights for a file that is no CA-MTL model; method.config, head.config, encoder.config, file.*
 */
export async function loadCaMtl(files: Files, folder: string): Promise<LoadedCaMtl> {
  const index = await readWeightIndex(files, folder);
  const rename = (key: string) => (isCaMtlName(key) || /^(heads|decoders)\./.test(key) ? undefined : fromPublishedName(key, String));
  const encoder = await loadEncoder(files, folder, { rename, checkFinite: true });
  const path = joinPath(folder, CA_MTL_CONFIG);
  const { config, heads, training } =
    (await files.kind(path)) === 'file' ? configured(await readJson(files, path), path) : published(index, encoder);
  const attachment = attachCaMtl(config, { ...encoderFacts(encoder), tasks: heads.length });
  const model = { encoder, attachment, heads };
  const notes: string[] = [];
  const renamed = new Map(
    [...index.tensors].map(([key, entry]) => [fromPublishedName(key, (task) => `heads.${heads[task]?.name}.1`), entry]),
  );
  const tensors = new Map<string, Tensor>();
  for (const { name, shape } of addedOf(model)) {
    const subject = `${index.path}: ${name}`;
    const entry = renamed.get(name) ?? missing(name, index.path);
    if (String(entry.shape) !== String(shape))
      fail({
        code: 'encoder.weights',
        subject,
        found: `[${entry.shape}]`,
        expected: `[${shape}]`,
        next: `${CA_MTL_CONFIG} belongs to another model.`,
      });
    const tensor = { dtype: 'float32', shape, data: asFloat32(await readTensor(files, entry), subject) } as const;
    const wrong = countNonFinite(tensor);
    if (wrong > 0) notes.push(`${name} holds ${wrong} numbers that are not finite.`);
    tensors.set(name, tensor);
  }
  const features = await featuresIn(files, joinPath(folder, FEATURES), model);
  return { ...model, tensors, training, notes, ...defined({ features }) };
}

async function featuresIn(files: Files, path: string, { encoder, heads }: Model): Promise<ReadonlyMap<string, Tensor> | undefined> {
  if ((await files.kind(path)) !== 'file') return undefined;
  const { tensors } = await readSafetensors(files, path);
  for (const { name } of heads) {
    const feature = tensors.get(name);
    if (feature && (feature.dtype !== 'float32' || String(feature.shape) !== String([encoder.config.hidden])))
      fail({
        code: 'encoder.weights',
        subject: `${path}: ${name}`,
        found: `${feature.dtype} [${feature.shape}]`,
        expected: `float32 [${encoder.config.hidden}]`,
        next: 'The file belongs to another model: remove it, and tasks that are added begin as the one whose head is most alike.',
      });
  }
  return tensors;
}

function addedOf({ attachment, heads, encoder }: Model & { readonly attachment: CaMtlAttachment }) {
  return [...attachment.added, ...heads.flatMap((head) => headParameters(head, encoder.config))];
}

function missing(name: string, subject: string): never {
  return fail({ code: 'encoder.weights', subject, found: `no ${name}`, expected: 'all tensors of a CA-MTL model' });
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

interface Described {
  readonly config: CaMtlConfig;
  readonly heads: readonly Head[];
  readonly training: readonly HeadTraining[];
}

function configured(raw: Json, path: string): Described {
  if (!isJsonObject(raw)) return fail({ code: 'method.config', subject: path, found: 'no JSON object', expected: 'an object' });
  const { tasks, ...config } = raw;
  if (!Array.isArray(tasks))
    return fail({ code: 'method.config', subject: path, found: 'no list of tasks', expected: "a list under 'tasks'" });
  const read = tasks.map((task, i) => {
    if (!isJsonObject(task) || typeof task.name !== 'string')
      return fail({
        code: 'head.config',
        subject: `${path}: task ${i}`,
        found: JSON.stringify(task),
        expected: "an object with 'name' and 'head'",
      });
    const subject = `${path}: task '${task.name}'`;
    return { head: createHead(task.name, task.head, subject), training: readTraining(task, subject) };
  });
  const heads = read.map(({ head }) => head);
  checkTaskNames(
    heads.map(({ name }) => name),
    path,
  );
  return { config: checkCaMtlConfig(config, path), heads, training: read.map(({ training }) => training) };
}

/**
 * Of a published model, variant, length and numbers of tasks and classes follow from the tensors; names of tasks and what was
 * frozen are read from a `ca_mtl` block in config.json: task0, task1, … and nothing without one.
 */
function published(index: TensorIndex, { fields }: Encoder): Described {
  const block = isJsonObject(fields.ca_mtl) ? fields.ca_mtl : {};
  const decoders = shapesOf(index, /^decoders\.(\d+)\.model\.weight$/);
  const [length] = shapesOf(index, /\.layer\.(\d+)\.(?:new_)?attention\.self\.random_weight_matrix$/).get(0) ?? [];
  if (decoders.size === 0) return missing('decoders.0.model.weight', index.path);
  if (length === undefined) return missing('random_weight_matrix', index.path);
  const names = publishedTasks(fields.ca_mtl as Json | undefined);
  if (names.length > 0 && names.length !== decoders.size)
    fail({
      code: 'method.config',
      subject: 'config.json: ca_mtl',
      found: `${names.length} tasks`,
      expected: `${decoders.size}, one for each decoder`,
    });
  const heads = Array.from({ length: decoders.size }, (_, task): Head => {
    const name = names[task] ?? `task${task}`;
    // One linear on the pooled vector; one output is a number, more are classes.
    const head = { head_type: 'classification', num_labels: decoders.get(task)?.[0], use_pooler: true };
    return createHead(String(name), head, `${index.path}: decoder ${task}`);
  });
  checkTaskNames(
    heads.map(({ name }) => name),
    'config.json: ca_mtl',
  );
  const ladder = [...index.tensors.keys()].some((key) => key.includes('.adapter_layer.'));
  const freeze = typeof block.freeze_encoder_layers === 'string' ? block.freeze_encoder_layers : 0;
  const config = caMtlConfig(ladder ? 'ca_mtl_large' : 'ca_mtl_base', { start: 'published', max_length: length, freeze });
  return { config, heads, training: heads.map(() => ({})) };
}

/** Shapes of the tensors whose names fit, by the number in the name. */
function shapesOf(index: TensorIndex, pattern: RegExp): Map<number, readonly number[]> {
  return new Map(
    [...index.tensors].flatMap(([key, { shape }]) => {
      const match = pattern.exec(key);
      return match ? [[Number(match[1]), shape] as const] : [];
    }),
  );
}
