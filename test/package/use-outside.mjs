// Trains, saves, loads and answers with a method, a block, a kind of head and a family from outside; each must have had its say.
import { readFileSync, writeFileSync } from 'node:fs';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { AutoAdapterModel, loadTask, nodeFiles } from 'multigraft';
import { COSINE, PRE_NORM, SHIFT, SUM } from './outside.mjs';

const assets = join(dirname(createRequire(import.meta.url).resolve('multigraft/package.json')), 'assets');
const extensions = { families: [PRE_NORM], methods: [SHIFT], blocks: [SUM], heads: [COSINE] };
const rows = [{ text: 'My invoice shows the wrong amount.' }];
const work = await mkdtemp(join(tmpdir(), 'outside-'));

/** The scores of the first row. */
async function scores(model) {
  const [answer] = await model.predict(rows);
  if (!answer?.logits?.flat().every(Number.isFinite)) throw new Error(`no answer: ${JSON.stringify(answer)}`);
  return answer.logits.flat();
}

function differ(what, a, b) {
  if (Math.max(...a.map((x, i) => Math.abs(x - b[i]))) < 1e-6) throw new Error(`${what} changes nothing`);
}

try {
  const encoder = join(work, 'encoder');
  await cp(join(assets, 'seedling'), encoder, { recursive: true });
  const config = JSON.parse(readFileSync(join(encoder, 'config.json'), 'utf8'));
  writeFileSync(join(encoder, 'config.json'), JSON.stringify({ ...config, model_type: PRE_NORM.name }));
  const task = await loadTask(nodeFiles, join(assets, 'tasks', 'tickets_topic'));
  const model = await AutoAdapterModel.fromPretrained(encoder, extensions);
  model.addAdapter('a', 'shift');
  model.addAdapter('b', 'seq_bn[reduction_factor=24]');
  for (const name of ['a', 'b']) {
    model.addHead(name, { head_type: 'cosine', num_labels: task.labels.length, label2id: Object.fromEntries(task.labels.map((l, i) => [l, i])) });
    await model.trainAdapter(name, { task, limit: 32, maxSteps: 2 });
  }
  const alone = await scores(model);
  if (alone.some((score) => Math.abs(score) > 10)) throw new Error(`cosines times 10 are at most 10: ${alone}`);
  const sum = { type: 'sum', children: ['a', 'b'] };
  model.setActiveAdapters(sum);
  const together = await scores(model);
  differ('the block', alone, together);

  const folder = join(work, 'setup');
  await model.saveAdapterSetup(folder, sum, { head: 'b' });
  const again = await AutoAdapterModel.fromPretrained(encoder, extensions);
  await again.loadAdapterSetup(folder);
  const loaded = await scores(again);
  if (loaded.some((x, i) => Math.abs(x - together[i]) > 1e-5)) throw new Error(`saved and loaded it answers ${loaded}, not ${together}`);

  const bert = await AutoAdapterModel.fromPretrained(join(assets, 'seedling'), { ...extensions, families: [] });
  const refused = await bert.loadAdapterSetup(folder).catch((error) => error.code);
  if (refused !== 'adapter.mismatch') throw new Error(`what was trained on ${PRE_NORM.name} and loaded into bert: ${JSON.stringify(refused)}`);
  console.log('method, block, head and family from outside: trained, saved, loaded, answered');
} finally {
  await rm(work, { recursive: true, force: true });
}
