import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../../test/cli.ts';
import { writeTinyEncoder, writeTinyTask } from '../../test/tiny.ts';
import { nodeFiles as files } from '../base/files-node.ts';
import { configureMethod } from '../methods/index.ts';
import { nodeEngine } from '../session/node.ts';
import { loadTask } from '../tasks/index.ts';
import { trainSettings } from './settings.ts';
import { trainTasks } from './train-tasks.ts';

const folder = temporaryFolder();

it('tasks whose heads have one shape share their programs, and each leaves out rows of its own', async () => {
  const model = await writeTinyEncoder(folder);
  const [first, tagging] = [await writeTinyTask(folder, 'classification'), await writeTinyTask(folder, 'tagging')];
  const twin = join(folder, 'twin');
  cpSync(first, twin, { recursive: true });
  const card = JSON.parse(readFileSync(join(first, 'card.json'), 'utf8'));
  writeFileSync(join(twin, 'card.json'), JSON.stringify({ ...card, name: 'twin' }));
  const compiled = async (paths: readonly string[], output: string) => {
    const engine = await nodeEngine({ threads: 1 });
    const tasks = await Promise.all(paths.map((path) => loadTask(files, path)));
    const settings = trainSettings.parse({ maxSteps: 2, batchSize: 2, maxLength: 16 });
    const method = configureMethod('seq_bn');
    const exclusions = new Map([['twin', new Set([0, 5])]]);
    const results = await trainTasks({ files, engine, model, method, tasks, exclusions, output: join(folder, output), settings });
    expect(results).toHaveLength(paths.length);
    return engine.compilations;
  };
  const alone = await compiled([first], 'a');
  expect(alone).toBeGreaterThan(0);
  expect(await compiled([first, twin], 'b')).toBe(alone);
  const rows = ['tiny-classification', 'twin'].map(
    (name) => JSON.parse(readFileSync(join(folder, 'b', name, 'metrics.json'), 'utf8')).settings.rows,
  );
  expect(rows).toEqual([192, 190]);
  expect(await compiled([first, tagging], 'c')).toBeGreaterThan(alone);
});
