import { defined, type Files, type Tensor, totalElements } from '../base/index.ts';
import { asName, checkName, type HeadPackage, type HeadTraining } from '../checkpoint/index.ts';
import { type Encoder, loadEncoder } from '../encoders/index.ts';
import { trained } from '../methods/index.ts';
import { majorityScore } from '../metrics/index.ts';
import { type Model, trainableParameters } from '../model/model.ts';
import { headFor, normalisedHead, pooledHead, sequenceLength, trainingOf, withDropout, withTokenizer } from '../model/task-setup.ts';
import type { Pooling } from '../nn/index.ts';
import { type Head, poolingOf } from '../objectives/index.ts';
import type { Answer } from '../predict/answer.ts';
import { metricsOf } from '../predict/evaluation.ts';
import { createPredictor } from '../predict/predictor.ts';
import { classBalance, type Row, type Task } from '../tasks/index.ts';
import { loadTokenizer } from '../text/index.ts';
import { modelCard, type SavedAs, solvedText, type TrainTaskResult } from './card.ts';
import { checkContrastive, contrastiveModel, contrastiveSettings, contrastiveText } from './contrastive.ts';
import { digestOfEncoder, digestOfRows } from './fingerprint.ts';
import { type LoadedRows, loadSplit } from './load-rows.ts';
import { openRun } from './open-run.ts';
import { checkOutputFolder } from './output-folder.ts';
import { type TaskProgress, taskProgressSchema } from './progress.ts';
import { releasing } from './releasing.ts';
import { notesTo, type RunOptions } from './run-options.ts';
import { exactSettings, type TrainSettings } from './settings.ts';
import { checkSolvable, type SolvedHead, solveHead } from './solved-head.ts';
import { type TrainResult, trainModel } from './trainer.ts';

export interface RunTaskOptions extends RunOptions {
  readonly task: Task;
  /** Name of what is trained and of its head; the task's when left out, with _ for dots and slashes. */
  readonly name?: string;
  readonly headLayers?: number;
  /** Which vector of each sequence the head reads; what the encoder's folder says when left out, else the first token's. */
  readonly pooling?: Pooling;
  /** How the head begins: drawn when left out, or solved exactly for what everything else begins as (LP-FT, Kumar et al. 2022). */
  readonly headStart?: 'solved';
  /** Trains what is attached on pairs of rows, alike or not, and solves the head after it (docs/few-rows.md). */
  readonly contrastive?: true;
  /** Told how many rows have been read where a head is solved. */
  readonly onProgress?: (done: number, of: number) => void;
  /** Read at most this many rows of each split. */
  readonly limit?: number;
  /** Training rows to leave out, from 0. */
  readonly exclude?: ReadonlySet<number>;
  readonly settings: TrainSettings;
}

/** What a run trains and what becomes of it; everything else is the same for all of them. */
export interface Plan {
  /** What the user wrote, for cards and logs. */
  readonly text: string;
  /** What decides the result beside the options that all runs have; a run resumes with the same only. */
  readonly decisive?: Readonly<Record<string, unknown>>;
  /** Whether the head is solved, and nothing is trained. */
  readonly exact?: boolean;
  /** The task as this run reads it: in the words of a teacher. Runs before any row is read. */
  task?(task: Task, encoder: Encoder): Promise<Task>;
  /** Which vector the head reads where nothing is asked for. Runs after `task`. */
  pooling?(): Pooling | undefined;
  /** The model to train, and what it begins with. */
  model(encoder: Encoder, head: Head, note: (text: string) => void): Promise<Start>;
  /** Other targets for the training rows than their labels: a teacher's answers. */
  teach?(train: LoadedRows): Promise<LoadedRows>;
  /** Is shown the answers at the end, with the attention observed in them. */
  onAnswers?(split: 'validation' | 'test', answers: readonly Answer[]): void;
  /** What the folder is to those who use it. */
  readonly saves: SavedAs;
  /** Writes what was learnt, by parameter name. */
  save(files: Files, output: string, trained: Trained): Promise<void>;
}

interface Start {
  readonly model: Model;
  /** First values that are not drawn. */
  readonly initial: ReadonlyMap<string, Tensor>;
  /** Digests of what was read from folders, by what it is: a run resumes with the same content only, wherever it lies. */
  readonly contents?: Readonly<Record<string, unknown>>;
}

interface Trained {
  readonly model: Model;
  /** The head with its weights. */
  readonly head: HeadPackage;
  /** Everything else that trained. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** The step that it is of. */
  readonly step: number;
}

/** Trains on one task, scores it, and saves what was learnt with a card and its metrics. */
export async function runTask(options: RunTaskOptions, plan: Plan): Promise<TrainTaskResult> {
  const { files, engine, output, contrastive = false } = options;
  const settings = contrastive ? contrastiveSettings(options.settings) : options.settings;
  const started = performance.now();
  const name = checkName(options.name ?? asName(options.task.name), '--name', 'Choose another name.', 'usage.value');
  if (output !== undefined) await checkOutputFolder(files, output, options);
  const note = notesTo(options);
  const loaded = await loadEncoder(files, options.model, { checkFinite: true });
  const tokenizer = await loadTokenizer(files, loaded.folder);
  const encoder = withTokenizer(loaded, tokenizer);
  for (const text of encoder.notes) note(text);
  const task = (await plan.task?.(options.task, encoder)) ?? options.task;

  const maxLength = sequenceLength(encoder, tokenizer, settings.maxLength, task.kind);
  const loading = { files, tokenizer, maxLength, limit: options.limit, exclude: options.exclude, note };
  const train = await loadSplit(task, 'train', loading);
  const validation = task.files.validation ? await loadSplit(task, 'validation', loading) : undefined;
  const test = task.files.test ? await loadSplit(task, 'test', loading) : undefined;
  for (const text of describeClasses(task, train.rows)) note(text);
  if (!validation)
    note(`No validation rows: the last weights are kept${test ? ', and only the test rows are scored' : ' and nothing is scored'}.`);

  const exact = plan.exact === true;
  const solves = exact || contrastive || options.headStart === 'solved';
  const made = headFor(task, name, train.rows, options.headLayers ?? (solves ? 1 : undefined));
  const reading = pooledHead(made, encoder, options.pooling ?? plan.pooling?.());
  const head = solves ? normalisedHead(reading, encoder) : reading;
  if (solves) checkSolvable(head, exact ? `--method ${plan.text}` : contrastive ? '--contrastive' : '--head-start solved');
  const { model, initial, contents } = await plan.model(withDropout(encoder, settings.dropout), head, note);
  if (contrastive) {
    checkContrastive(head, totalElements(trained(model.attachment)), { ...options, settings }, plan.text);
    note(contrastiveText(settings));
  }
  const { saveEvery: _, ...deciding } = settings;
  const decisive = exact ? exactSettings(settings) : deciding;
  const stage = contrastive ? { contrastive } : {};
  const facts = { model: encoder.name, task: task.name, method: plan.text, name, rows: train.rows.length, ...stage, ...decisive };
  const fingerprint = {
    ...facts,
    head: head.config,
    ...(options.headStart && { headStart: options.headStart }),
    ...plan.decisive,
    ...contents,
    log: options.log ?? null,
    encoder: await digestOfEncoder(encoder),
    trainingRows: await digestOfRows(train.prepared),
    validationRows: validation ? await digestOfRows(validation.prepared) : null,
  };
  const run = await openRun<TaskProgress>(options, fingerprint, taskProgressSchema);
  const taught = plan.teach ? await plan.teach(train) : train;
  let solved: SolvedHead | undefined;
  const result = await run.train(async (hooks): Promise<TrainResult> => {
    const solve = async (from: ReadonlyMap<string, Tensor>, penalty?: number) => {
      const { units } = train.prepared;
      solved = await solveHead({
        engine,
        model,
        units,
        seed: settings.seed,
        initial: from,
        ...defined({ penalty, onProgress: options.onProgress }),
      });
      note(solvedText(solved.facts));
      return new Map([...from, ...solved.tensors]);
    };
    const common = { engine, task, train: taught, settings, ...defined({ resume: run.saved }), ...hooks };
    if (contrastive) {
      const learnt = await trainModel({ ...common, model: contrastiveModel(model), initial, validation: undefined });
      return { ...learnt, parameters: await solve(new Map([...initial, ...learnt.parameters]), 1) };
    }
    if (exact) {
      await hooks.begin?.();
      return { parameters: await solve(initial), steps: 0, best: undefined, stoppedEarly: false };
    }
    // What goes on with a saved state has its head from there.
    return trainModel({ ...common, model, validation, initial: solves && !run.saved ? await solve(initial) : initial });
  });

  const metrics = await score(options, plan, { ...result, model, task }, { validation, test });
  const last = test ?? validation;
  const summary: TrainTaskResult = {
    name,
    task: task.name,
    method: plan.text,
    parameters: totalElements(trainableParameters(model)),
    steps: result.steps,
    best: result.best,
    stoppedEarly: result.stoppedEarly,
    ...stage,
    ...(solved && { solved: solved.facts }),
    ...(head.kind.pools && { pooling: poolingOf(head.config), ...(head.config.normalize && { normalized: true as const }) }),
    metrics,
    majority: last && majorityScore(task, last.rows, train.rows)?.accuracy,
    seconds: (performance.now() - started) / 1000,
  };
  const told = exact ? decisive : { ...stage, ...settings, learningRate: settings.learningRate ?? model.attachment.learningRate };
  await run.finish({
    save: (into, folder) => plan.save(into, folder, trainedParts(result, model, trainingOf(train.rows, maxLength))),
    summary,
    settings: facts,
    card: modelCard(summary, task, encoder, told, plan.saves),
  });
  return summary;
}

/** Metrics of the kept weights, by split; the plan is shown the answers. */
function score(
  { engine }: RunTaskOptions,
  plan: Plan,
  { model, task, parameters, ...trained }: TrainResult & { readonly model: Model; readonly task: Task },
  splits: Readonly<Record<'validation' | 'test', LoadedRows | undefined>>,
): Promise<TrainTaskResult['metrics']> {
  return releasing(async (hold) => {
    const values = { current: () => parameters, steps: () => keptStep(trained) };
    const predictor = hold(await createPredictor(engine, model, { ...values, observe: plan.onAnswers !== undefined }));
    const metrics: { validation?: Record<string, number>; test?: Record<string, number> } = {};
    for (const split of ['validation', 'test'] as const) {
      const loaded = splits[split];
      if (!loaded) continue;
      const answers = await predictor.answers(loaded.rows, loaded.prepared);
      plan.onAnswers?.(split, answers);
      metrics[split] = metricsOf(task, loaded.rows, answers);
    }
    return metrics;
  });
}

function trainedParts({ parameters, ...trained }: TrainResult, model: Model, training: HeadTraining): Trained {
  const head = model.heads[0] as Head;
  const pick = (wanted: boolean) => new Map([...parameters].filter(([key]) => key.startsWith(`heads.${head.name}.`) === wanted));
  return { model, head: { ...head, tensors: pick(true), training }, tensors: pick(false), step: keptStep(trained) };
}

/** The step that the kept weights are of. */
function keptStep({ best, steps }: Pick<TrainResult, 'best' | 'steps'>): number {
  return best?.step ?? steps;
}

function describeClasses(task: Task, rows: readonly Row[]): string[] {
  const balance = classBalance(task, rows);
  if (!balance) return [];
  const shown = Object.entries(balance.counts)
    .slice(0, 8)
    .map(([label, count]) => `${label} ${count}`);
  const notes = [
    `Classes: ${shown.join(', ')}${Object.keys(balance.counts).length > 8 ? ', …' : ''}; the largest is ${(100 * balance.majority).toFixed(1)} %.`,
  ];
  if (balance.empty.length) notes.push(`No training row has ${balance.empty.slice(0, 8).join(', ')}.`);
  return notes;
}
