import { defined, fail, totalElements } from '../base/index.ts';
import { type Composition, nameOf } from '../methods/index.ts';
import { taskForHead, taskOfHead, withLabels } from '../model/head-task.ts';
import { trainableParameters } from '../model/model.ts';
import { prepare } from '../model/prepare.ts';
import { headFor, pooledHead, sequenceLength, trainingOf, withDropout } from '../model/task-setup.ts';
import { headParameters, poolingOf } from '../objectives/index.ts';
import type { Engine } from '../session/session.ts';
import type { Row } from '../tasks/index.ts';
import { checkSettings, trainSettings } from '../train/settings.ts';
import { trainModel } from '../train/trainer.ts';
import type { AttachedHead } from './attached.ts';
import { readSplits } from './labelled-rows.ts';
import { keepTrained, type ModelState, modelOf, trainedValues } from './model-state.ts';
import { type AdapterTraining, checkTask, type TrainAdapterOptions } from './options.ts';

interface TrainAttachedOptions extends TrainAdapterOptions {
  /** Whether the adapters of a composition train with it. */
  readonly trainAdapters?: boolean;
}

/**
 * Trains a setup with the head of its name, which is made for the task when absent. The model changes once all is done, and not
 * before.
 * @throws adapter.missing, method.config, usage.value, task.*, train.*
 */
export async function trainAttached(
  state: ModelState,
  setup: Composition,
  { task, rows, validationRows, limit, pooling, onEvent, signal, trainAdapters = false, ...settings }: TrainAttachedOptions,
  engine: () => Promise<Engine>,
): Promise<AdapterTraining> {
  checkTask(task);
  const { files, encoder, tokenizer, heads } = state;
  const name = nameOf(setup);
  const checked = checkSettings(trainSettings, settings);
  const maxLength = sequenceLength(encoder, tokenizer, checked.maxLength, task.kind);
  const labelled = await readSplits(files, task, { rows, validationRows, limit });
  const made = () => pooledHead(headFor(task, name, labelled.train, undefined, state.kinds.heads), encoder, pooling);
  const head: AttachedHead = heads.find(name) ?? withLabels(made());
  if (pooling !== undefined && poolingOf(head.config) !== pooling)
    fail({
      code: 'usage.value',
      subject: 'pooling',
      found: pooling,
      expected: `${poolingOf(head.config)}, which the head '${name}' reads`,
    });
  const judged = taskForHead(task, head);
  // A head that was there before keeps the order of its outputs, whatever that of the task's labels is.
  const ofHead = { ...task, labels: taskOfHead(head).labels };
  const split = (all: readonly Row[]) => ({ rows: all, prepared: prepare(all, { task: ofHead, tokenizer, maxLength, kind: head.kind }) });
  const train = split(labelled.train);
  const validation = labelled.validation && split(labelled.validation);
  const model = await modelOf({ ...state, encoder: withDropout(encoder, checked.dropout) }, setup, [head], { trainAdapters });
  if (model.attachment.rowFeeds || model.attachment.channels || model.attachment.tokens !== undefined)
    fail({
      code: 'usage.value',
      subject: model.attachment.text,
      found: 'a block whose children act on different rows or tokens',
      expected: 'adapters and fusions that learn from all rows',
      next: 'Train each child by itself, which gives the same, and put them together afterwards.',
    });
  const { parameters, ...result } = await trainModel({
    engine: await engine(),
    model,
    task: judged,
    train,
    validation,
    settings: checked,
    initial: trainedValues(state, setup, [head]),
    ...defined({ onEvent, signal }),
  });
  const ofTheHead = new Set(headParameters(head, encoder.config).map((spec) => spec.name));
  const tensors = new Map([...parameters].filter(([key]) => ofTheHead.has(key)));
  await keepTrained(state, setup, parameters, { steps: result.best?.step ?? result.steps });
  heads.set(name, { ...head, tensors, training: trainingOf(labelled.train, maxLength) });
  return { ...result, trained: totalElements(trainableParameters(model)) };
}
