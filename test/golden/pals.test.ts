import { describe, expect, it } from 'vitest';
import type { Tensor } from '../../src/base/tensor.ts';
import { loadEncoder } from '../../src/encoders/index.ts';
import { readSafetensors } from '../../src/formats/safetensors.ts';
import { attachPerTask, configureMethod } from '../../src/methods/index.ts';
import { createHead, type Head } from '../../src/objectives/index.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { referenceEngine } from '../../src/session/reference.ts';
import { expectOutcome, passOf, type TaskRows } from './among-tasks.ts';
import { goldenFiles } from './files.ts';
import { readCases } from './forward.ts';

interface Case {
  readonly size: number;
  readonly heads: number;
  readonly leave_out: number[];
  readonly logits: number[][];
  readonly loss: number;
  readonly gradientNorms: Readonly<Record<string, number>>;
  readonly encoderGradientNorms: Readonly<Record<string, number>>;
}

/** What tools/golden/pals.py computes from the paper's equations, for two tasks; the file's own note has the details. */
const golden = readCases<TaskRows & { tasks: string[]; cases: Record<string, Case> }>('pals/cases.json');
const { tensors: stored } = await readSafetensors(goldenFiles, 'test/golden/pals/pals.safetensors');
const encoder = await loadEncoder(goldenFiles, 'test/golden/encoders/bert');
const head: Head = createHead('head', { head_type: 'classification', num_labels: 3, layers: 1 }, 'test');
/** A run is of one task. */
const PARTS = golden.tasks.map((_, task) => golden.taskIds.flatMap((id, row) => (id === task ? [row] : [])));

describe.each(Object.entries(golden.cases))('%s', (name, one) => {
  it.each(['node', 'reference'])('gives the logits, the loss and the gradient norms of the equations: %s', async (which) => {
    const { size, heads, leave_out } = one;
    // The first case is what the encoder's sizes ask for.
    const configured = name === 'default' ? configureMethod('pals') : configureMethod('pals', { size, heads, leave_out });
    const attachment = attachPerTask(configured, golden.tasks, { encoder: encoder.config, family: encoder.family });
    const own = [...stored].flatMap(([key, value]): [string, Tensor][] =>
      key.startsWith(`${name}/`) ? [[key.slice(name.length + 1), value]] : [],
    );
    const watched = Object.keys(one.encoderGradientNorms);
    const ofEncoder = await Promise.all(watched.map(async (key) => [key, (await encoder.weights.get(key)?.read()) as Tensor] as const));
    const tensors = new Map([...own, ...ofEncoder]);
    expect(attachment.parameters.map((spec) => spec.name).sort()).toEqual(
      own
        .map(([key]) => key)
        .filter((key) => !key.startsWith('heads.'))
        .sort(),
    );
    const engine = which === 'node' ? await nodeEngine({ threads: 1 }) : referenceEngine();
    const outcome = await passOf(engine, { encoder, attachment, heads: [head] }, tensors, [...tensors.keys()], golden, PARTS);
    const want = { ...one, gradientNorms: { ...one.gradientNorms, ...one.encoderGradientNorms } };
    expectOutcome(outcome, want, which === 'node' ? { forward: 1e-5, backward: 1e-4 } : { forward: 1e-7, backward: 1e-7 });
  });
});
