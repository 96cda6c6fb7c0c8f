import { expect, it } from 'vitest';
import { tinyTask } from '../../test/tiny.ts';
import { SIZES, world } from '../../test/tiny-world.ts';
import { configureMethod } from '../methods/index.ts';
import { nodeEngine } from '../session/node.ts';
import { loadTask } from '../tasks/index.ts';
import { trainSettings } from './settings.ts';
import { trainTasks } from './train-tasks.ts';

it('tasks whose heads have one shape share their programs', async () => {
  const files = world();
  const { card, rows } = tinyTask('classification', SIZES);
  await files.write('twin/card.json', JSON.stringify({ ...card, name: 'twin' }));
  for (const [split, values] of Object.entries(rows))
    await files.write(`twin/${split}.jsonl`, values.map((row) => JSON.stringify(row)).join('\n'));
  const compiled = async (names: readonly string[], output: string) => {
    const engine = await nodeEngine({ threads: 1 });
    const tasks = await Promise.all(names.map((name) => loadTask(files, name)));
    const settings = trainSettings.parse({ maxSteps: 2, batchSize: 2, maxLength: 16 });
    const results = await trainTasks({ files, engine, model: 'tiny', method: configureMethod('seq_bn'), tasks, output, settings });
    expect(results.map(({ name }) => name)).toEqual(names);
    return engine.compilations;
  };
  const alone = await compiled(['classification'], 'a');
  expect(alone).toBeGreaterThan(0);
  expect(await compiled(['classification', 'twin'], 'b')).toBe(alone);
  expect(await compiled(['classification', 'tagging'], 'c')).toBeGreaterThan(alone);
});
