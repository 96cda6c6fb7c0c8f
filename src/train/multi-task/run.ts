import type { z } from 'zod';
import { fail } from '../../base/errors.ts';
import { joinPath } from '../../base/files.ts';
import { elementCount, type Tensor } from '../../base/tensor.ts';
import { asName, checkName } from '../../checkpoint/index.ts';
import { loadEncoder } from '../../encoders/index.ts';
import { type CaMtlAttachment, type CaMtlReport, caMtlReport } from '../../methods/index.ts';
import { computeMetrics, majorityScore } from '../../metrics/index.ts';
import { checkChoices } from '../../model/data.ts';
import { shortList } from '../../model/head-task.ts';
import { canGrow, type MultiTaskModel, multiTaskParameters } from '../../model/multi-task.ts';
import { trainingOf, withDropout } from '../../model/task-setup.ts';
import { type Head, headParameters } from '../../objectives/index.ts';
import { createMultiTaskPredictor } from '../../predict/multi-task-predictor.ts';
import type { Engine } from '../../session/session.ts';
import type { Task } from '../../tasks/index.ts';
import { loadTokenizer } from '../../text/index.ts';
import { digestOfEncoder, digestOfRows, digestOfTensors } from '../fingerprint.ts';
import { type Log, openLog } from '../log.ts';
import { checkOutputFolder, METRICS, recordWrites, removeEarlier } from '../output-folder.ts';
import { isStop, removePartial } from '../run-task.ts';
import { checkSettings, type TrainEvent } from '../settings.ts';
import { multiTaskProgressSchema, runStateOf } from '../state.ts';
import type { Split } from '../trainer.ts';
import { samplerStateSchema } from './batches.ts';
import { type MultiTaskSummary, multiTaskCard, type TaskSummary } from './card.ts';
import { chosenRows } from './chosen.ts';
import { saveMultiTask } from './folder.ts';
import { headOf, type LoadedTask, type LoadingTasks, loadTask, noteSizes } from './load-tasks.ts';
import type { Beginning, MultiTaskMethod } from './method.ts';
import { multiTaskSettings } from './settings.ts';
import { taskFeatures } from './task-features.ts';
import { type MultiTaskProgress, trainMultiTask } from './trainer.ts';

export interface RunMultiTaskOptions extends Omit<LoadingTasks, 'settings'> {
  /** Those left out have their defaults. */
  readonly settings: z.input<typeof multiTaskSettings>;
  readonly engine: Engine;
  /** Folder of the encoder; of the model that grows, where the method adds to one. */
  readonly model: string;
  readonly tasks: readonly Task[];
  /** Where everything goes; nothing is written without it. */
  readonly output?: string;
  readonly resume?: boolean;
  readonly overwrite?: boolean;
  readonly log?: string;
  readonly onEvent?: (event: TrainEvent) => void;
  readonly signal?: AbortSignal;
}

/**
 * Trains one model on several tasks, scores every one of them beside its most frequent answer, and saves the model with a card.
 * @throws usage.*, method.*, task.*, train.*
 */
export async function runMultiTask(options: RunMultiTaskOptions): Promise<MultiTaskSummary> {
  const { files, engine, method, output, onEvent, signal } = options;
  const settings = checkSettings(multiTaskSettings, options.settings);
  const started = performance.now();
  const names = namesOf(options.tasks, method);
  if (output !== undefined) for (const task of options.tasks) await checkOutputFolder(files, output, { ...options, task });
  const encoder = method.base?.encoder ?? (await loadEncoder(files, options.model, { checkFinite: true }));
  const tokenizer = await loadTokenizer(files, options.model);
  const note = (text: string) => onEvent?.({ type: 'note', text });
  for (const text of encoder.notes) note(text);
  const tasks: LoadedTask[] = [];
  for (const [i, task] of options.tasks.entries())
    tasks.push(await loadTask({ ...options, settings }, task, { name: names[i] as string, encoder, tokenizer, note }));
  noteSizes(tasks, settings, note);
  if (options.exclude && options.tasks.every(({ name }) => !options.exclude?.has(name)))
    note(`No rows are left out: the list has ${shortList([...options.exclude.keys()])}, and none of these tasks trains.`);

  const heads = tasks.map(({ task, name, train }) => headOf({ ...options, settings }, task, name, train.rows, encoder));
  for (const [i, { train, validation, test }] of tasks.entries())
    for (const split of [train, validation, test]) if (split) checkChoices(split.prepared.units, heads[i] as Head);
  const tokens = Math.max(...tasks.map(({ maxLength }) => maxLength));
  const attachment = method.attach(encoder, names, tokens);
  const model = { encoder: withDropout(encoder, settings.dropout), attachment, heads };

  const { saveEvery: _, ...decisive } = settings;
  const run = { model: encoder.name, tasks: options.tasks.map(({ name }) => name), method: method.text, ...decisive };
  const logPath = options.log ?? (output === undefined ? undefined : joinPath(output, 'log.jsonl'));
  const digests: Record<string, unknown> = {};
  for (const { name, train, validation } of tasks) {
    digests[`training rows of ${name}`] = await digestOfRows(train.prepared);
    digests[`validation rows of ${name}`] = validation ? await digestOfRows(validation.prepared) : null;
  }
  const fingerprint = {
    ...run,
    ...Object.fromEntries(heads.map(({ name, config }) => [`head of ${name}`, config])),
    trainsEncoder: method.trainsEncoder,
    log: options.log ?? null,
    encoder: await digestOfEncoder(encoder),
    'the model that grows': method.base ? await digestOfTensors(method.base.tensors, method.base.heads) : null,
    like: method.like ?? null,
    ...digests,
  };
  const state =
    output === undefined
      ? undefined
      : runStateOf<MultiTaskProgress>(files, output, fingerprint, multiTaskProgressSchema(samplerStateSchema));
  if (options.resume && !state)
    fail({ code: 'usage.value', subject: '--resume', found: 'no --output', expected: 'the folder of the run to resume' });
  const before = options.resume ? await state?.load() : undefined;
  const resume = before?.saved;
  const featuresOf = (trained: ReadonlyMap<string, Tensor>) =>
    taskFeatures(
      engine,
      encoder,
      trained,
      tasks.map(({ train }) => train.prepared.units),
    );
  // What a model that grows reads of its encoder does not change any more.
  const ofBase = method.base && (await featuresOf(method.base.tensors));
  const first = method.initial?.(heads, ofBase ?? []);
  for (const [i, begins] of (first?.begins ?? []).entries()) note(`${names[i]} ${beginningText(begins)}.`);
  let log: Log | undefined;
  let begun: 'no' | 'files' | 'steps' = 'no';
  const result = await trainMultiTask({
    engine,
    model,
    tasks,
    settings,
    ...(first && { initial: first.parameters }),
    ...(resume && { resume }),
    ...(signal && { signal }),
    async begin() {
      if (!before && (await state?.begin())) note(`The unfinished run in ${output} is replaced.`);
      begun = 'files';
      log = logPath === undefined ? undefined : await openLog(files, logPath, before?.logLength ?? 0);
    },
    async onEvent(event) {
      begun = 'steps';
      await log?.write(event);
      onEvent?.(event);
    },
    ...(state && { save: async (saved) => state.save(saved, await (log?.length() ?? 0)) }),
  }).catch(async (error) => {
    if (begun === 'files' && !before && !isStop(error)) await state?.remove();
    throw error;
  });

  const predictor = await createMultiTaskPredictor(engine, model, { fixed: result.parameters, steady: canGrow(model) });
  const summaries: TaskSummary[] = [];
  for (const [i, { name, task, train, validation, test }] of tasks.entries()) {
    const score = async ({ rows, prepared }: Split) => {
      const answers = await predictor.answers(
        rows,
        prepared.units.map((unit) => ({ ...unit, task: i })),
      );
      return computeMetrics(
        task,
        answers.map(({ prediction }) => prediction),
        rows,
      ).values as Record<string, number>;
    };
    const last = test ?? validation;
    summaries.push({
      name,
      task: task.name,
      kind: task.kind,
      metric: task.metric,
      rows: train.rows.length,
      leftOut: options.exclude?.get(task.name)?.size ?? 0,
      metrics: { ...(validation && { validation: await score(validation) }), ...(test && { test: await score(test) }) },
      majority: last && majorityScore(task, last.rows, train.rows)?.metrics[task.metric],
      best: result.bests[i] ?? undefined,
      ...(first && { begins: first.begins[i] as Beginning }),
    });
  }
  await predictor.release();
  const { scoring } = result;
  const byName = (counts: readonly number[]) => Object.fromEntries(names.map((name, i) => [name, counts[i] as number]));
  const numbersIn = (all: readonly { readonly shape: readonly number[] }[]) => all.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const encoderParameters = numbersIn([...encoder.weights.values()]);
  const summary: MultiTaskSummary = {
    method: method.text,
    parameters: result.trained,
    encoderParameters,
    size: encoderParameters + numbersIn([...result.parameters].flatMap(([name, value]) => (encoder.weights.has(name) ? [] : [value]))),
    ...(method.kind === 'ca_mtl' && !method.base && { report: reportOf(model, attachment as CaMtlAttachment) }),
    ...(method.base && { addedTo: method.base.heads.map((head) => head.name) }),
    steps: result.steps,
    best: result.best,
    stoppedEarly: result.stoppedEarly,
    tasks: summaries,
    sampling: scoring && {
      seconds: scoring.seconds,
      shareOfTime: scoring.seconds / result.seconds,
      candidates: byName(scoring.candidates),
      chosen: byName(scoring.chosen),
      ...(logPath !== undefined && { overTime: await chosenRows(files, logPath, names) }),
    },
    seconds: (performance.now() - started) / 1000,
  };
  if (output !== undefined) {
    const written = recordWrites(files);
    const training = tasks.map(({ train, maxLength }) => trainingOf(train.rows, maxLength));
    const features = method.kind === 'ca_mtl' ? (ofBase ?? (await featuresOf(result.parameters))) : [];
    const known = new Map([...(method.base?.features ?? []), ...features.map((value, i) => [names[i] as string, value] as const)]);
    await saveMultiTask(written.files, output, { method, model, parameters: result.parameters, training, features: known });
    const list = written.namesIn(output);
    await removeEarlier(files, output, list);
    await files.write(joinPath(output, METRICS), `${JSON.stringify({ ...summary, settings: run, files: list }, null, 1)}\n`);
    const rate = settings.learningRate ?? attachment.learningRate;
    await files.write(
      joinPath(output, 'README.md'),
      multiTaskCard(summary, options.tasks, encoder, method, { ...settings, learningRate: rate }),
    );
    await state?.remove();
    await removePartial(files, output);
  }
  return summary;
}

function reportOf(model: MultiTaskModel, attachment: CaMtlAttachment): CaMtlReport {
  const { encoder, heads } = model;
  const trained = new Set(multiTaskParameters(model).map(({ name }) => name));
  const ofHeads = heads.flatMap((head) => headParameters(head, encoder.config.hidden));
  return caMtlReport(attachment, ofHeads, { weights: encoder.weights, trains: (name) => trained.has(name) });
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
  const known = names.find((name) => base?.heads.some((head) => head.name === name));
  if (known !== undefined)
    fail({ code: 'usage.value', subject: '--task', found: `'${known}', which the model has learnt`, expected: 'a new task' });
  const taken = names.find((name) => TAKEN.includes(name));
  if (taken !== undefined)
    fail({ code: 'usage.value', subject: '--task', found: `a task named '${taken}'`, expected: `any name but ${TAKEN.join(' and ')}` });
  return names;
}
