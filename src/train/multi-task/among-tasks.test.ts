import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../../test/cli.ts';
import { writeTinyEncoder, writeTinyTask } from '../../../test/tiny.ts';
import { AutoAdapterModel } from '../../auto-adapter-model/auto-adapter-model.ts';
import { nodeFiles as files } from '../../base/files-node.ts';
import { elementCount, type Tensor } from '../../base/tensor.ts';
import { loadAdapter, saveAdapter } from '../../checkpoint/index.ts';
import type { Answer } from '../../predict/answer.ts';
import { answerTasks } from '../../predict/answer-tasks.ts';
import { nodeEngine } from '../../session/node.ts';
import type { Engine } from '../../session/session.ts';
import { loadTask, type Task } from '../../tasks/index.ts';
import { loadGrowing, loadMultiTask } from './folder.ts';
import { multiTaskMethod } from './registry.ts';
import { runMultiTask } from './run.ts';
import { multiTaskSettings } from './settings.ts';

/** MTL-LoRA, whose tasks share a part, and projected attention, trained with the encoder as in its paper. */
const METHODS = { 'mtl_lora[init_weights="bert", n_up_projection=2]': false, pals: true } as const;
type Text = keyof typeof METHODS;
const TEXTS = Object.keys(METHODS) as Text[];

const folder = temporaryFolder();
const KINDS = ['classification', 'tagging'] as const;
let engine: Engine;
let model: string;
let tasks: Task[];

beforeAll(async () => {
  engine = await nodeEngine({ threads: 1 });
  model = await writeTinyEncoder(folder);
  const paths = await Promise.all(KINDS.map((kind) => writeTinyTask(folder, kind, { train: 12, validation: 4, test: 3 })));
  tasks = await Promise.all(paths.map((path) => loadTask(files, path)));
});

const runs = new Map<Text, ReturnType<typeof train>>();

function trained(text: Text): ReturnType<typeof train> {
  const run = runs.get(text) ?? train(text);
  runs.set(text, run);
  return run;
}

async function train(text: Text) {
  const output = join(folder, text.slice(0, 4));
  const settings = multiTaskSettings.parse({ maxSteps: 2, batchSize: 6, learningRate: 0.02, maxLength: 24 });
  const method = multiTaskMethod(text, { trainEncoder: METHODS[text] });
  const summary = await runMultiTask({ files, engine, model, tasks, method, settings, output });
  const saved = await loadMultiTask(files, output, { model });
  return { output, summary, saved, encoder: METHODS[text] ? output : model };
}

/** Test rows of both tasks in turns. */
function mixedRows(): (Record<string, unknown> & { task: string })[] {
  const lines = KINDS.map((kind) =>
    readFileSync(join(folder, `tiny-${kind}`, 'test.jsonl'), 'utf8')
      .trimEnd()
      .split('\n'),
  );
  return [0, 1, 2].flatMap((row) => KINDS.map((kind, task) => ({ ...JSON.parse(lines[task]?.[row] as string), task: `tiny-${kind}` })));
}

describe.each(TEXTS)('%s', (text) => {
  it('answers mixed rows from its folder as each task’s folder answers its own', async () => {
    const { output, saved, encoder } = await trained(text);
    const rows = mixedRows();
    const together = await answerTasks(saved, rows, { files, engine });
    const alone = await AutoAdapterModel.fromPretrained(encoder);
    for (const kind of KINDS) {
      await alone.loadAdapter(join(output, `tiny-${kind}`), { setActive: true });
      const own = rows.filter(({ task }) => task === `tiny-${kind}`).map(({ task: _, ...row }) => row);
      const same = together.filter((_, i) => rows[i]?.task === `tiny-${kind}`);
      const numbers = (answers: readonly Answer[]) => answers.flatMap(({ logits = [] }) => logits.flat());
      const [got, want] = [numbers(same), numbers(await alone.predict(own))];
      expect(want.length).toBeGreaterThanOrEqual(9);
      expect(got).toHaveLength(want.length);
      for (const [i, value] of want.entries()) expect(Math.abs((got[i] as number) - value)).toBeLessThan(1e-5);
    }
  });

  it('counts what is trained, and what all of it has', async () => {
    const { summary, saved } = await trained(text);
    const numbers = (all: Iterable<{ readonly shape: readonly number[] }>) =>
      [...all].reduce((sum, { shape }) => sum + elementCount(shape), 0);
    const added = numbers(saved.tensors.values());
    expect(summary.size).toBe(summary.encoderParameters + added);
    const pooler = numbers([...saved.encoder.weights].flatMap(([name, weight]) => (name.includes('.pooler.') ? [weight] : [])));
    expect(summary.parameters).toBe(METHODS[text] ? summary.size - pooler : added);
  });

  it('takes no task that comes later', async () => {
    const { output } = await trained(text);
    await expect(loadGrowing(files, output)).rejects.toThrow(
      `--add: found ${output}, a model of the method ${text}; expected a CA-MTL model. Train all tasks anew`,
    );
  });
});

it('folders of different runs, whose shared parts differ, are refused', async () => {
  const { output, encoder } = await trained(TEXTS[0] as Text);
  const place = join(output, 'tiny-tagging');
  const loaded = await loadAdapter(files, place, { encoder: (await loadMultiTask(files, output, { model: encoder })).encoder });
  const [[name, first]] = [...loaded.tensors] as [[string, Tensor]];
  first.data[0] = 9;
  await saveAdapter(files, place, loaded);
  await expect(loadMultiTask(files, output, { model: encoder })).rejects.toThrow(
    `${place}: ${name}: found other numbers than in tiny-classification; expected the same, since the tasks share it.`,
  );
});

it('a folder whose module is made otherwise is refused, one under another name is taken', async () => {
  const output = join(folder, 'lora');
  const settings = multiTaskSettings.parse({ maxSteps: 2, batchSize: 6, learningRate: 0.02, maxLength: 24 });
  await runMultiTask({ files, engine, model, tasks, method: multiTaskMethod('lora[init_weights="bert"]'), settings, output });
  const answers = async (task: string) => {
    const rows = mixedRows().filter((row) => row.task === 'tiny-tagging');
    return answerTasks(
      await loadMultiTask(files, output, { model }),
      rows.map((row) => ({ ...row, task })),
      { files, engine },
    );
  };
  const before = await answers('tiny-tagging');
  const list = join(output, 'multitask_config.json');
  renameSync(join(output, 'tiny-tagging'), join(output, 'words'));
  writeFileSync(list, readFileSync(list, 'utf8').replace('tiny-tagging', 'words'));
  expect(await answers('words')).toEqual(before);
  const path = join(output, 'words', 'adapter_config.json');
  writeFileSync(path, readFileSync(path, 'utf8').replace(/"alpha": \d+/, '"alpha": 3'));
  await expect(loadMultiTask(files, output, { model })).rejects.toThrow(
    /words: key 'alpha': found 3; expected \d+, as in tiny-classification: the tasks of one model have the same modules\./,
  );
  writeFileSync(list, readFileSync(list, 'utf8').replace('words', 'tiny-classification'));
  await expect(loadMultiTask(files, output, { model })).rejects.toThrow("found two tasks named 'tiny-classification'");
});
