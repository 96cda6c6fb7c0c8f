import { z } from 'zod';
import { baseName, defined, type Files, fail, joinPath, type Tensor } from '../../base/index.ts';
import {
  CA_MTL_CONFIG,
  type HeadTraining,
  loadAdapter,
  loadHead,
  MULTI_TASK_CONFIG,
  publishedCaMtl,
  saveAdapter,
  saveEncoder,
  saveHead,
} from '../../checkpoint/index.ts';
import { loadEncoder } from '../../encoders/index.ts';
import { type Json, readJson } from '../../formats/json.ts';
import {
  attach,
  attachPerTask,
  type ConfiguredMethod,
  configureMethod,
  encoderFacts,
  namesAmongTasks,
  SHARED_NAME,
} from '../../methods/index.ts';
import { withLabels } from '../../model/head-task.ts';
import { type Head, headParameters } from '../../objectives/index.ts';
import type { AnsweringModel } from '../../predict/answer-tasks.ts';
import { copyTokenizer } from '../../text/index.ts';
import { loadCaMtl, type SavedCaMtl } from './ca-mtl-folder.ts';
import type { TrainedTasks } from './method.ts';
import { checkTaskNames } from './task-names.ts';

/** A model of several tasks as it lies in a folder. */
export interface SavedMultiTask extends AnsweringModel {
  readonly notes: readonly string[];
}

const schema = z.object({
  version: z.literal(1),
  method: z.string(),
  kind: z.enum(['shared', 'per_task', 'encoder']),
  /** Whether the encoder lies beside it; else the one it was trained on must be given. */
  encoder: z.boolean(),
  tasks: z.array(z.string()).min(1),
});

/** A way to share an encoder by modules of one method, as it is saved. */
interface SavedModules {
  /** What the user wrote. */
  readonly text: string;
  readonly configured: ConfiguredMethod;
  readonly modules: 'per task' | 'shared' | 'none';
  readonly trainsEncoder: boolean;
}

const KINDS = { 'per task': 'per_task', shared: 'shared', none: 'encoder' } as const;

/**
 * Writes the encoder where it was trained, for each task a folder of its name with its head and adapter in the layout of Python's
 * `adapters`, and multitask_config.json last.
 */
export async function saveModules(
  files: Files,
  folder: string,
  { text, configured, modules, trainsEncoder }: SavedModules,
  { model: { encoder, heads }, parameters, training }: TrainedTasks,
): Promise<void> {
  const named = (wanted: (name: string) => boolean) => new Map([...parameters].filter(([name]) => wanted(name)));
  // An adapter is made for the encoder that it was trained with.
  const model = trainsEncoder ? { ...encoder, name: baseName(folder) } : encoder;
  if (trainsEncoder) {
    const weights = named((name) => encoder.weights.has(name));
    await saveEncoder(files, folder, encoder, weights);
    await copyTokenizer(files, encoder.folder, folder);
  }
  for (const [task, head] of heads.entries()) {
    const path = joinPath(folder, head.name);
    const ofHead = headParameters(head, encoder.config).map(({ name }) => name);
    const packed = { ...head, tensors: named((name) => ofHead.includes(name)), ...defined({ training: training[task] }) };
    if (modules === 'none') {
      await saveHead(files, path, packed, model);
      continue;
    }
    const name = modules === 'shared' ? SHARED_NAME : head.name;
    const trained = namesAmongTasks(configured, name, encoderFacts(encoder));
    const tensors = new Map([...trained].map(([inAdapter, inRun]) => [inAdapter, parameters.get(inRun) as Tensor]));
    await saveAdapter(files, path, { name, method: configured, tensors, head: packed, model });
  }
  const config: z.infer<typeof schema> = {
    version: 1,
    method: text,
    kind: KINDS[modules],
    encoder: trainsEncoder,
    tasks: heads.map(({ name }) => name),
  };
  await files.write(joinPath(folder, MULTI_TASK_CONFIG), `${JSON.stringify(config, null, 2)}\n`);
}

/** Whether a folder holds a model of several tasks: one of ours, or one of CA-MTL's published code, which its tensors tell. */
export async function isMultiTask(files: Files, folder: string): Promise<boolean> {
  for (const name of [MULTI_TASK_CONFIG, CA_MTL_CONFIG]) if ((await files.kind(joinPath(folder, name))) === 'file') return true;
  return (await publishedCaMtl(files, folder)) !== undefined;
}

/** Reads a CA-MTL model to add tasks to. @throws usage.value for other models of several tasks; what {@link loadCaMtl} throws */
export async function loadGrowing(files: Files, folder: string): Promise<SavedCaMtl> {
  const path = joinPath(folder, MULTI_TASK_CONFIG);
  if ((await files.kind(path)) !== 'file') {
    if ((await files.kind(joinPath(folder, 'config.json'))) === 'file') return loadCaMtl(files, folder);
    return fail({
      code: 'usage.value',
      subject: '--model',
      found: `${folder}, ${(await files.kind(folder)) === 'none' ? 'which is not there' : 'a folder without config.json'}`,
      expected: 'a CA-MTL model, as multigraft multitask --output makes it',
    });
  }
  const { method } = checked(await readJson(files, path), path);
  return fail({
    code: 'usage.value',
    subject: '--add',
    found: `${folder}, a model of the method ${method}`,
    expected: 'a CA-MTL model',
    next: 'Train all tasks anew with the new one among them, or that one by itself: multigraft train.',
  });
}

/**
 * Reads a folder that a method of several tasks has saved, or one of CA-MTL's published code. `model` is the folder of the encoder, for
 * adapters that were trained on a frozen one.
 * @throws usage.flag without an encoder, method.config, adapter.*, head.config, encoder.*, file.*
 */
export async function loadMultiTask(files: Files, folder: string, { model }: { readonly model?: string } = {}): Promise<SavedMultiTask> {
  const path = joinPath(folder, MULTI_TASK_CONFIG);
  if ((await files.kind(path)) !== 'file') {
    const saved = await loadCaMtl(files, folder);
    const heads = saved.heads.map((head) => withLabels(head));
    return {
      ...saved,
      grows: true,
      heads,
      training: saved.training.map((task) => ({ maxLength: saved.attachment.plan.config.max_length, ...task })),
      notes: [...saved.encoder.notes, ...saved.notes],
    };
  }
  const { kind, encoder: beside, tasks } = checked(await readJson(files, path), path);
  if (!beside && model === undefined)
    fail({
      code: 'usage.flag',
      subject: folder,
      found: 'adapters without an encoder',
      expected: 'the encoder that they were trained on',
      next: `Give --model ENCODER --adapter ${folder}.`,
    });
  const encoder = await loadEncoder(files, beside ? folder : (model as string));
  const facts = encoderFacts(encoder);
  const tensors = new Map<string, Tensor>();
  const heads: Head[] = [];
  const training: HeadTraining[] = [];
  const notes = [...encoder.notes];
  let configured: ConfiguredMethod | undefined;
  for (const task of tasks) {
    const place = joinPath(folder, task);
    const adapter =
      kind === 'encoder'
        ? undefined
        : await loadAdapter(files, place, { encoder, head: false, as: kind === 'per_task' ? task : SHARED_NAME });
    const head = await loadHead(files, place, { encoder, as: task });
    configured ??= adapter?.method;
    if (adapter && configured) checkSame(adapter.method, configured, place, tasks[0] as string);
    const inRun = adapter && kind === 'per_task' ? namesAmongTasks(adapter.method, task, facts) : undefined;
    for (const [name, value] of [...(adapter?.tensors ?? []), ...head.tensors]) {
      const trained = inRun?.get(name) ?? name;
      checkShared(tensors.get(trained), value, `${place}: ${name}`, tasks[0] as string);
      tensors.set(trained, value);
    }
    heads.push(withLabels({ name: task, config: head.config, kind: head.kind }));
    training.push(head.training ?? {});
    notes.push(...(adapter?.notes ?? []), ...head.notes);
  }
  const method = configured ?? configureMethod('full');
  const attachment = kind === 'per_task' ? attachPerTask(method, tasks, facts) : attach(method, { ...facts, name: SHARED_NAME });
  return { encoder, attachment, heads, tensors, training, grows: false, notes: [...new Set(notes)] };
}

/** @throws method.config */
function checked(raw: Json, path: string): z.infer<typeof schema> {
  const read = schema.safeParse(raw);
  if (read.success) {
    checkTaskNames(read.data.tasks, path);
    return read.data;
  }
  const issue = read.error.issues[0];
  return fail({
    code: 'method.config',
    subject: `${path}: ${issue?.path.join('.') || 'the whole'}`,
    found: issue?.message ?? 'another form',
    expected: 'a file as this version writes it',
  });
}

/** One program computes the modules of all tasks. @throws adapter.format for one that is made otherwise */
function checkSame(method: ConfiguredMethod, first: ConfiguredMethod, place: string, task: string): void {
  const key = [...Object.keys(first.config), 'architecture'].find(
    (setting) => String(JSON.stringify(settingOf(method, setting))) !== String(JSON.stringify(settingOf(first, setting))),
  );
  if (key === undefined) return;
  fail({
    code: 'adapter.format',
    subject: `${place}: key '${key}'`,
    found: JSON.stringify(settingOf(method, key)) ?? 'nothing',
    expected: `${JSON.stringify(settingOf(first, key))}, as in ${task}: the tasks of one model have the same modules`,
    next: 'The folders are of different runs: take all of one, or use each by itself with --adapter.',
  });
}

function settingOf({ method, config }: ConfiguredMethod, key: string): unknown {
  return key === 'architecture' ? (method.architecture ?? null) : config[key];
}

/** What tasks share lies in the folder of each. @throws adapter.format for copies that differ */
function checkShared(before: Tensor | undefined, { data }: Tensor, subject: string, first: string): void {
  if (before && !before.data.every((x: number | bigint, i: number) => Object.is(x, data[i])))
    fail({
      code: 'adapter.format',
      subject,
      found: `other numbers than in ${first}`,
      expected: 'the same, since the tasks share it',
      next: 'The folders are of different runs: take all of one.',
    });
}
