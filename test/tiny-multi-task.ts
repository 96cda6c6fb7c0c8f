import { expect } from 'vitest';
import { memoryFiles } from '../src/base/files.ts';
import type { Tensor } from '../src/base/tensor.ts';
import type { Encoder } from '../src/encoders/index.ts';
import type { Model } from '../src/model/model.ts';
import { prepare } from '../src/model/prepare.ts';
import { headFor } from '../src/model/task-setup.ts';
import { loadRows, loadTask } from '../src/tasks/index.ts';
import type { MultiTaskProgress } from '../src/train/multi-task/progress.ts';
import { multiTaskMethod } from '../src/train/multi-task/registry.ts';
import { type MultiTaskOptions, type TaskData, trainMultiTask } from '../src/train/multi-task/trainer.ts';
import type { SavedRun } from '../src/train/state.ts';
import { type TinyTask, tinyTask, tinyTokenizer } from './tiny.ts';

const tokenizer = tinyTokenizer();

/** One of several tasks, ready to train; without validation rows there is no validation. */
export async function tinyTaskData(name: TinyTask, sizes: { readonly train: number; readonly validation: number }): Promise<TaskData> {
  const { card, rows } = tinyTask(name, { ...sizes, test: 0 });
  const lines = (split: 'train' | 'validation') => rows[split].map((row) => `${JSON.stringify(row)}\n`).join('');
  const files = memoryFiles({
    't/card.json': JSON.stringify(card),
    't/train.jsonl': lines('train'),
    't/validation.jsonl': lines('validation'),
  });
  const task = await loadTask(files, 't');
  const split = async (which: 'train' | 'validation') => {
    const all = await loadRows(files, task, which);
    return { rows: all, prepared: prepare(all, { task, tokenizer, maxLength: 32 }) };
  };
  return { task, train: await split('train'), validation: sizes.validation > 0 ? await split('validation') : undefined };
}

/** A model with a new head for each task. */
export function tinyMultiTaskModel(encoder: Encoder, method: string, tasks: readonly TaskData[]): Model {
  const heads = tasks.map(({ task, train }) => headFor(task, task.name, train.rows, 1));
  const names = heads.map(({ name }) => name);
  return { encoder, attachment: multiTaskMethod(method).attach(encoder, names, 32), heads };
}

/** What a run has saved that was stopped after `step`; its progress as it comes back from a file. */
export async function savedAfter(step: number, options: MultiTaskOptions): Promise<SavedRun<MultiTaskProgress>> {
  let saved: SavedRun<MultiTaskProgress> | undefined;
  const aborting = new AbortController();
  const stopped = trainMultiTask({
    ...options,
    signal: aborting.signal,
    onEvent: (event) => void (event.type === 'step' && event.step === step && aborting.abort()),
    save: async ({ progress, parameters, best }) => {
      saved = { progress: JSON.parse(JSON.stringify(progress)), parameters: copies(parameters), best: best && copies(best) };
    },
  });
  await expect(stopped).rejects.toThrow(`Stopped after step ${step} of ${options.settings.maxSteps}`);
  return saved as SavedRun<MultiTaskProgress>;
}

function copies(all: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  return new Map([...all].map(([name, one]) => [name, { ...one, data: one.data.slice() }]));
}
