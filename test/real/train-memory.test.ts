import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { nodeFiles } from '../../src/base/files-node.ts';
import { loadEncoder } from '../../src/encoders/index.ts';
import { configureMethod } from '../../src/methods/index.ts';
import { adapterModel } from '../../src/model/model.ts';
import { prepare } from '../../src/model/prepare.ts';
import { headFor } from '../../src/model/task-setup.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { loadRows, loadTask } from '../../src/tasks/index.ts';
import { loadTokenizer } from '../../src/text/index.ts';
import { trainSettings } from '../../src/train/settings.ts';
import { trainModel } from '../../src/train/trainer.ts';

const MODEL = '../shared/models/minilm';
const TASK = '../shared/data/trec6';
const missing = [MODEL, TASK].filter((path) => !existsSync(path));

// In a file, and so in a process, of its own: what other tests leave behind would count.
it.skipIf(missing.length > 0)(
  `memory after 150 steps of MiniLM in mixed shapes is that of the first 50${missing.length ? ` (skipped: ${missing.join(', ')} is not there)` : ''}`,
  async () => {
    const task = await loadTask(nodeFiles, TASK);
    const rows = await loadRows(nodeFiles, task, 'train', { limit: 800 });
    const tokenizer = await loadTokenizer(nodeFiles, MODEL);
    const model = adapterModel(await loadEncoder(nodeFiles, MODEL), configureMethod('seq_bn'), 't', headFor(task, 't', rows));
    const engine = await nodeEngine({ threads: 1 });
    const resident: number[] = [];
    const shapes = prepare(rows, { task, tokenizer, maxLength: 64 });
    await trainModel({
      engine,
      model,
      task,
      train: { rows, prepared: shapes },
      validation: undefined,
      settings: trainSettings.parse({ batchSize: 4, maxSteps: 150 }),
      onEvent: (event) => void (event.type === 'step' && resident.push(process.memoryUsage().rss)),
    });
    expect(new Set(shapes.units.map((unit) => Math.ceil(unit.length / 8))).size).toBeGreaterThan(2);
    expect(resident).toHaveLength(150);
    expect((resident.at(-1) as number) / Math.max(...resident.slice(0, 50))).toBeLessThan(1.1);
    expect(engine.compilations).toBe(1);
  },
  120_000,
);
