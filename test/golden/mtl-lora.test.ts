import { readFileSync } from 'node:fs';
import { describe, expect, it, test } from 'vitest';
import { memoryFiles } from '../../src/base/files.ts';
import { float32, type Tensor } from '../../src/base/tensor.ts';
import { ADAPTER_CONFIG, type LoadedAdapter, loadAdapter, saveAdapter } from '../../src/checkpoint/index.ts';
import { loadEncoder } from '../../src/encoders/index.ts';
import { readTorch } from '../../src/formats/torch.ts';
import { attach, attachPerTask, namesAmongTasks } from '../../src/methods/index.ts';
import { createHead, type Head } from '../../src/objectives/index.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { referenceEngine } from '../../src/session/reference.ts';
import { expectOutcome, passOf, type TaskRows } from './among-tasks.ts';
import { goldenFiles } from './files.ts';
import { readCases } from './forward.ts';

interface Case {
  readonly logits: number[][];
  readonly loss: number;
  readonly gradientNorms: Readonly<Record<string, number>>;
  readonly head: Readonly<Record<string, number[] | number[][]>>;
}

/** What tools/golden/mtl_lora.py says about three tasks in one batch; the file's own note has the details. */
const golden = readCases<TaskRows & { tasks: string[]; cases: Record<string, Case> }>('mtl-lora/cases.json');
const encoder = { ...(await loadEncoder(goldenFiles, 'test/golden/encoders/bert')), name: 'multigraft-tiny-bert' };
const facts = { encoder: encoder.config, family: encoder.family };
const head: Head = createHead('head', { head_type: 'classification', num_labels: 3, layers: 1, activation_function: 'tanh' }, 'test');

async function adaptersOf(name: string): Promise<LoadedAdapter[]> {
  return Promise.all(golden.tasks.map((task) => loadAdapter(goldenFiles, `test/golden/mtl-lora/${name}/${task}`, { encoder })));
}

function headTensors({ head: values }: Case): Map<string, Tensor> {
  return new Map(
    Object.entries(values).map(([name, rows]) => {
      const flat = rows.flat();
      return [name, float32(flat.length === rows.length ? [rows.length] : [rows.length, flat.length / rows.length], flat)];
    }),
  );
}

test('there are three cases', () => {
  expect(Object.keys(golden.cases)).toEqual(['several-ups', 'all-linears', 'linear']);
});

describe.each(Object.entries(golden.cases))('%s', (name, one) => {
  it.each(['node', 'reference'])('rows of all tasks in one batch give logits, loss and gradient norms of Python: %s', async (which) => {
    const adapters = await adaptersOf(name);
    const [{ method }] = adapters as [LoadedAdapter];
    const tensors = headTensors(one);
    for (const { tensors: own, name: task } of adapters)
      for (const [own1, inRun] of namesAmongTasks(method, task, facts)) {
        const value = own.get(own1) as Tensor;
        expect(tensors.get(inRun) ?? value).toEqual(value);
        tensors.set(inRun, value);
      }
    const attachment = attachPerTask(method, golden.tasks, facts);
    const trainable = attachment.parameters.map((spec) => spec.name);
    expect(trainable).toHaveLength(tensors.size - 2);
    const engine = which === 'node' ? await nodeEngine({ threads: 1 }) : referenceEngine();
    const outcome = await passOf(engine, { encoder, attachment, heads: [head] }, tensors, trainable, golden);
    expectOutcome(outcome, one, which === 'node' ? { forward: 1e-5, backward: 1e-5 } : { forward: 1e-7, backward: 1e-7 });
  });

  it('each task’s folder gives its rows the same logits by itself, and is saved as Python wrote it', async () => {
    const engine = await nodeEngine({ threads: 1 });
    for (const [task, adapter] of (await adaptersOf(name)).entries()) {
      expect(adapter.notes).toEqual([]);
      const rows = golden.taskIds.flatMap((id, row) => (id === task ? [row] : []));
      const model = { encoder, attachment: attach(adapter.method, { ...facts, name: adapter.name }), heads: [head] };
      const { logits } = await passOf(engine, model, new Map([...headTensors(one), ...adapter.tensors]), [], golden, [rows]);
      const want = rows.flatMap((row) => one.logits[row] as number[]);
      const got = logits.filter((value) => value !== undefined);
      expect(got).toHaveLength(want.length);
      for (const [i, value] of want.entries())
        expect(Math.abs((got[i] as number) - value)).toBeLessThan(1e-5 * Math.max(1, Math.abs(value)));

      const files = memoryFiles();
      await saveAdapter(files, 'out', adapter);
      const source = `test/golden/mtl-lora/${name}/${adapter.name}`;
      expect(new TextDecoder().decode(await files.read(`out/${ADAPTER_CONFIG}`))).toBe(readFileSync(`${source}/${ADAPTER_CONFIG}`, 'utf8'));
      const python = (await readTorch(goldenFiles, `${source}/pytorch_adapter.bin`)).tensors;
      const ours = (await readTorch(files, 'out/pytorch_adapter.bin')).tensors;
      expect(new Map([...ours].sort())).toEqual(new Map([...python].sort()));
    }
  });
});
