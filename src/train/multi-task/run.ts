import type { z } from 'zod';
import { defined, fail, type Tensor, totalElements } from '../../base/index.ts';
import { asName, checkName } from '../../checkpoint/index.ts';
import { type Encoder, loadEncoder } from '../../encoders/index.ts';
import { majorityScore } from '../../metrics/index.ts';
import { shortList } from '../../model/head-task.ts';
import type { Model } from '../../model/model.ts';
import { checkSequences } from '../../model/prepare.ts';
import { trainingOf, withDropout } from '../../model/task-setup.ts';
import { type Head, poolingOf, withPooling } from '../../objectives/index.ts';
import { createPredictor } from '../../predict/predictor.ts';
import type { Task } from '../../tasks/index.ts';
import { loadTokenizer } from '../../text/index.ts';
import { digestOfEncoder, digestOfRows, digestOfTensors } from '../fingerprint.ts';
import { openRun } from '../open-run.ts';
import { checkOutputFolder } from '../output-folder.ts';
import { releasing } from '../releasing.ts';
import { notesTo, type RunOptions } from '../run-options.ts';
import { checkSettings } from '../settings.ts';
import { type MultiTaskSummary, multiTaskCard, type TaskSummary } from './card.ts';
import { chosenRows } from './chosen.ts';
import { headOf, type LoadedTask, type LoadingTasks, loadTask, noteSizes } from './load-tasks.ts';
import type { Beginning, FirstValues, MultiTaskMethod } from './method.ts';
import { type MultiTaskProgress, multiTaskProgressSchema } from './progress.ts';
import { type MultiTaskSettings, multiTaskSettings } from './settings.ts';
import { taskFeatures } from './task-features.ts';
import { type MultiTaskResult, scoreTask, trainMultiTask } from './trainer.ts';

export interface RunMultiTaskOptions extends RunOptions, Omit<LoadingTasks, 'settings'> {
  /** Those left out have their defaults. */
  readonly settings: z.input<typeof multiTaskSettings>;
  /** Folder of the encoder; of the model that grows, where the method adds to one. */
  readonly model: string;
  readonly tasks: readonly Task[];
}

/**
 * Trains one model on several tasks, scores every one of them beside its most frequent answer, and saves the model with a card.
 * @throws usage.*, method.*, task.*, train.*
 */
export async function runMultiTask(options: RunMultiTaskOptions): Promise<MultiTaskSummary> {
  const { files, engine, method, output } = options;
  const settings = checkSettings(multiTaskSettings, options.settings);
  const started = performance.now();
  const names = namesOf(options.tasks, method);
  if (output !== undefined) for (const task of options.tasks) await checkOutputFolder(files, output, { ...options, task });
  const encoder = method.base?.encoder ?? (await loadEncoder(files, options.model, { checkFinite: true }));
  const tasks = await loadAll({ ...options, settings }, names, encoder);

  const heads = tasks.map(({ task, name, train }) => headOf({ ...options, settings }, task, name, train.rows, encoder));
  if (options.pooling !== undefined && !heads.some(({ kind }) => kind.pools)) withPooling(heads[0] as Head, options.pooling);
  for (const [i, { train, validation, test }] of tasks.entries())
    for (const loaded of [train, validation, test]) if (loaded) checkSequences(loaded.prepared.units, heads[i] as Head);
  const attachment = method.attach(encoder, names, Math.max(...tasks.map(({ maxLength }) => maxLength)));
  const model = { encoder: withDropout(encoder, settings.dropout), attachment, heads };

  const { saveEvery: _, ...decisive } = settings;
  const facts = { model: encoder.name, tasks: options.tasks.map(({ name }) => name), method: method.text, ...decisive };
  const run = await openRun<MultiTaskProgress>(
    options,
    { ...facts, ...(await fingerprintOf(options, encoder, tasks, heads)) },
    multiTaskProgressSchema,
  );
  const featuresWith = (weights: ReadonlyMap<string, Tensor>) =>
    taskFeatures(
      engine,
      encoder,
      weights,
      tasks.map(({ train }) => train.prepared.units),
    );
  // What a model that grows reads of its encoder does not change any more.
  const featuresBefore = method.base && (await featuresWith(method.base.tensors));
  const first = method.initial?.(heads, featuresBefore ?? []);
  for (const [i, begins] of (first?.begins ?? []).entries()) notesTo(options)(`${names[i]} ${beginningText(begins)}.`);
  const begin = defined({ initial: first?.parameters, resume: run.saved });
  const trained = await run.train((hooks) => trainMultiTask({ engine, model, tasks, settings, ...begin, ...hooks }));

  const summary: MultiTaskSummary = {
    method: method.text,
    ...sizesOf(trained, encoder),
    ...defined({ report: method.report?.(model), addedTo: method.base?.heads.map(({ name }) => name) }),
    steps: trained.steps,
    best: trained.best,
    stoppedEarly: trained.stoppedEarly,
    tasks: await scoreTasks(options, model, tasks, trained, first),
    sampling: await samplingOf(options, trained, names, run.logPath),
    seconds: (performance.now() - started) / 1000,
  };
  const learningRate = settings.learningRate ?? attachment.learningRate;
  await run.finish({
    async save(into, folder) {
      const features = method.grows ? (featuresBefore ?? (await featuresWith(trained.parameters))) : [];
      await method.save(into, folder, {
        model,
        parameters: trained.parameters,
        training: tasks.map(({ train, maxLength }) => trainingOf(train.rows, maxLength)),
        features: new Map(features.map((feature, i) => [names[i] as string, feature])),
      });
    },
    summary,
    settings: facts,
    card: multiTaskCard(summary, options.tasks, encoder, method, { ...settings, learningRate }),
  });
  return summary;
}

/** Reads all tasks, and says what is odd about them. */
async function loadAll(
  options: RunMultiTaskOptions & { readonly settings: MultiTaskSettings },
  names: readonly string[],
  encoder: Encoder,
): Promise<LoadedTask[]> {
  const tokenizer = await loadTokenizer(options.files, encoder.folder);
  const note = notesTo(options);
  for (const text of encoder.notes) note(text);
  const tasks: LoadedTask[] = [];
  for (const [i, task] of options.tasks.entries())
    tasks.push(await loadTask(options, task, { name: names[i] as string, encoder, tokenizer, note }));
  noteSizes(tasks, options.settings, note);
  if (options.exclude && options.tasks.every(({ name }) => !options.exclude?.has(name)))
    note(`No rows are left out: the list has ${shortList([...options.exclude.keys()])}, and none of these tasks trains.`);
  return tasks;
}

/** What decides the result beside the settings: a run resumes with the same only. */
async function fingerprintOf(
  { method, log }: RunMultiTaskOptions,
  encoder: Encoder,
  tasks: readonly LoadedTask[],
  heads: readonly Head[],
): Promise<Readonly<Record<string, unknown>>> {
  const { base } = method;
  const rows: Record<string, unknown> = {};
  for (const { name, train, validation } of tasks) {
    rows[`training rows of ${name}`] = await digestOfRows(train.prepared);
    rows[`validation rows of ${name}`] = validation ? await digestOfRows(validation.prepared) : null;
  }
  return {
    ...Object.fromEntries(heads.map(({ name, config }) => [`head of ${name}`, config])),
    trainsEncoder: method.trainsEncoder,
    log: log ?? null,
    encoder: await digestOfEncoder(encoder),
    'the model that grows': base
      ? await digestOfTensors(
          base.tensors,
          base.heads.map(({ name, config }) => ({ name, config })),
        )
      : null,
    like: method.like ?? null,
    ...rows,
  };
}

/** Scores of the kept weights, task by task. */
function scoreTasks(
  { engine, method, exclude }: RunMultiTaskOptions,
  model: Model,
  tasks: readonly LoadedTask[],
  { parameters, bests }: MultiTaskResult,
  first: FirstValues | undefined,
): Promise<TaskSummary[]> {
  return releasing(async (hold) => {
    const predictor = hold(await createPredictor(engine, model, { fixed: parameters, steady: method.grows }));
    const summaries: TaskSummary[] = [];
    for (const [i, { name, task, train, validation, test }] of tasks.entries()) {
      const last = test ?? validation;
      summaries.push({
        name,
        task: task.name,
        kind: task.kind,
        metric: task.metric,
        rows: train.rows.length,
        leftOut: exclude?.get(task.name)?.size ?? 0,
        ...poolingIn(model.heads[i] as Head),
        metrics: {
          ...(validation && { validation: await scoreTask(predictor, i, task, validation) }),
          ...(test && { test: await scoreTask(predictor, i, task, test) }),
        },
        majority: last && majorityScore(task, last.rows, train.rows)?.metrics[task.metric],
        best: bests[i] ?? undefined,
        ...defined({ begins: first?.begins[i] }),
      });
    }
    return summaries;
  });
}

function poolingIn({ kind, config }: Head): Pick<TaskSummary, 'pooling'> {
  return kind.pools ? { pooling: poolingOf(config) } : {};
}

function sizesOf({ trained, parameters }: MultiTaskResult, { weights }: Encoder) {
  const encoderParameters = totalElements(weights.values());
  const added = [...parameters].flatMap(([name, value]) => (weights.has(name) ? [] : [value]));
  return { parameters: trained, encoderParameters, size: encoderParameters + totalElements(added) };
}

async function samplingOf(
  { files }: RunMultiTaskOptions,
  { scoring, seconds }: MultiTaskResult,
  names: readonly string[],
  logPath: string | undefined,
): Promise<MultiTaskSummary['sampling']> {
  if (!scoring) return undefined;
  const byName = (counts: readonly number[]) => Object.fromEntries(names.map((name, i) => [name, counts[i] as number]));
  return {
    seconds: scoring.seconds,
    shareOfTime: scoring.seconds / seconds,
    candidates: byName(scoring.candidates),
    chosen: byName(scoring.chosen),
    ...(logPath !== undefined && { overTime: await chosenRows(files, logPath, names) }),
  };
}

/** Whom a new task begins as, and how alike the rows are. */
function beginningText({ as, by, similarities = {} }: Beginning): string {
  const cosines = Object.entries(similarities)
    .toSorted(([, a], [, b]) => b - a)
    .map(([name, value]) => `${name} ${value.toFixed(3)}`);
  const why = { choice: 'as asked for', features: 'whose rows are the most alike', head: 'whose head is the most alike' }[by];
  return `begins as ${as}, ${why}${cosines.length > 0 ? ` (cosines: ${shortList(cosines)})` : ''}`;
}

/** Folders that a run makes for itself. */
const TAKEN = ['state', 'shared'];

/** @throws usage.flag, usage.value */
function namesOf(tasks: readonly Task[], { base }: MultiTaskMethod): string[] {
  if (tasks.length < (base ? 1 : 2))
    fail({
      code: 'usage.flag',
      subject: '--task',
      found: tasks.length === 0 ? 'none' : 'one task',
      expected: base ? 'one or more' : 'two or more',
      next: 'Give --task for each; multigraft train learns one.',
    });
  const names = tasks.map((task) => checkName(asName(task.name), 'task', 'Give the task another name in its card.', 'usage.value'));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined)
    fail({
      code: 'usage.value',
      subject: '--task',
      found: `two tasks named '${twice}'`,
      expected: 'tasks of different names',
      next: 'A folder is called as its card says, a single file by its own name.',
    });
  const learnt = names.find((name) => base?.heads.some((head) => head.name === name));
  if (learnt !== undefined)
    fail({ code: 'usage.value', subject: '--task', found: `'${learnt}', which the model has learnt`, expected: 'a new task' });
  const taken = names.find((name) => TAKEN.includes(name));
  if (taken !== undefined)
    fail({ code: 'usage.value', subject: '--task', found: `a task named '${taken}'`, expected: `any name but ${TAKEN.join(' and ')}` });
  return names;
}
