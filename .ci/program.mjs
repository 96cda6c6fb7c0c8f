// The packed package, used as a stranger would: every export resolves, and five lines train and answer.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const resolve = createRequire(import.meta.url);
const { exports } = resolve('multigraft/package.json');
for (const path of Object.keys(exports).filter((name) => !name.endsWith('.json'))) {
  const names = Object.keys(await import(`multigraft${path.slice(1)}`));
  if (names.length === 0) throw new Error(`multigraft${path.slice(1)} exports nothing`);
}

import { AutoAdapterModel, loadTask, nodeFiles } from 'multigraft';

const assets = fileURLToPath(new URL('./assets/', `file://${resolve.resolve('multigraft/package.json')}`));
const model = await AutoAdapterModel.fromPretrained(`${assets}seedling`);
model.addAdapter('topic', 'seq_bn');
await model.trainAdapter('topic', { task: await loadTask(nodeFiles, `${assets}tasks/tickets_topic`), limit: 32, maxSteps: 2 });
const [answer] = await model.predict([{ text: 'My invoice shows the wrong amount.' }]);
if (typeof answer?.prediction !== 'string') throw new Error(`no answer: ${JSON.stringify(answer)}`);
