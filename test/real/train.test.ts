import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { nodeFiles } from '../../src/base/files-node.ts';
import { loadEncoder } from '../../src/encoders/index.ts';
import { configureMethod } from '../../src/methods/index.ts';
import { adapterModel } from '../../src/model/model.ts';
import { prepare } from '../../src/model/prepare.ts';
import { headFor } from '../../src/model/task-setup.ts';
import type { Answer } from '../../src/predict/answer.ts';
import { createPredictor } from '../../src/predict/predictor.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { loadRows, loadTask } from '../../src/tasks/index.ts';
import { loadTokenizer } from '../../src/text/index.ts';
import { trainSettings } from '../../src/train/settings.ts';
import { trainTask } from '../../src/train/train-task.ts';
import { trainModel } from '../../src/train/trainer.ts';
import { temporaryFolder } from '../cli.ts';

const MODEL = '../shared/models/minilm';
const TASK = '../shared/data/trec6';
const missing = [MODEL, TASK].filter((path) => !existsSync(path));

describe.skipIf(missing.length > 0)(`MiniLM on trec6${missing.length ? ` (skipped: ${missing.join(', ')} is not there)` : ''}`, () => {
  it('400 rows and 3 epochs of seq_bn beat the most frequent class by far', async () => {
    const output = join(temporaryFolder(), 'trec6');
    const task = await loadTask(nodeFiles, TASK);
    const settings = trainSettings.parse({ epochs: 3, learningRate: 2e-3, evalEvery: 75 });
    const result = await trainTask({
      files: nodeFiles,
      engine: await nodeEngine({ threads: 1 }),
      model: MODEL,
      task,
      method: configureMethod('seq_bn'),
      output,
      limit: 400,
      settings,
    });
    expect(result.steps).toBe(75);
    const { test } = result.metrics;
    expect(test?.accuracy).toBeGreaterThan((result.majority ?? 1) + 0.25);
    const steps = readFileSync(join(output, 'log.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { step: number; loss?: number });
    expect(steps.filter((line) => line.loss !== undefined).map(({ step }) => step)).toEqual(Array.from({ length: 75 }, (_, i) => i + 1));
    expect(existsSync(join(output, 'state'))).toBe(false);
  }, 120_000);

  it('there is an answer for every row, in order', async () => {
    const task = await loadTask(nodeFiles, TASK);
    const rows = await loadRows(nodeFiles, task, 'test', { limit: 200 });
    const encoder = await loadEncoder(nodeFiles, MODEL);
    const head = headFor(task, 't', rows);
    const model = adapterModel(encoder, configureMethod('head'), 't', head);
    const tokenizer = await loadTokenizer(nodeFiles, MODEL);
    const { parameters } = await trainModel({
      engine: await nodeEngine({ threads: 1 }),
      model,
      task,
      train: { rows, prepared: prepare(rows.slice(0, 32), { task, tokenizer, maxLength: 64 }) },
      validation: undefined,
      settings: trainSettings.parse({ epochs: 1 }),
    });
    const predictor = await createPredictor(await nodeEngine({ threads: 1 }), model, { fixed: parameters });
    const all = await predictor.answers(rows, prepare(rows, { task, tokenizer, maxLength: 64 }));
    expect(all).toHaveLength(200);
    for (const i of [0, 7, 99, 199]) {
      const row = rows.slice(i, i + 1);
      const [alone] = await predictor.answers(row, prepare(row, { task, tokenizer, maxLength: 64 }));
      ((alone as Answer).logits as number[]).forEach(
        (value, k) => void expect(Math.abs(value - (((all[i] as Answer).logits as number[])[k] as number))).toBeLessThan(1e-4),
      );
    }
    await predictor.release();
  }, 60_000);
});
