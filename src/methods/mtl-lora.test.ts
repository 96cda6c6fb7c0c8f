import { describe, expect, it } from 'vitest';
import { nodeFiles } from '../base/files-node.ts';
import { elementCount } from '../base/tensor.ts';
import { loadEncoder } from '../encoders/index.ts';
import type { ParameterSpec } from '../nn/index.ts';
import { attachPerTask, configureMethod, namesAmongTasks } from './index.ts';

const { config, family } = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');
const BASE = { ...config, layers: 12, groups: 12, hidden: 768, intermediate: 3072 };
const TASKS = ['a', 'b', 'c', 'd'];
const count = (specs: readonly ParameterSpec[]) => specs.reduce((sum, { shape }) => sum + elementCount(shape), 0);

describe('the parameters of several tasks', () => {
  it('are A and B once, and for each task a Λ and the weights of the up-projections', () => {
    const configured = configureMethod('mtl_lora[r=4, n_up_projection=3]');
    const { parameters, perTask, oneTaskRuns } = attachPerTask(configured, TASKS, { encoder: BASE, family });
    // Two linears in each of 12 layers.
    expect(count(parameters)).toBe(24 * (4 * 768 + 3 * 768 * 4 + TASKS.length * (4 + 3)));
    expect(perTask?.size).toBe(24 * 2 * TASKS.length);
    expect([...(perTask ?? [])].filter(([name]) => name.includes('.c.')).every(([, task]) => task === 2)).toBe(true);
    expect(oneTaskRuns).toBeUndefined();
  });

  it('have one name for what is shared, and each task’s own for the rest', () => {
    const names = namesAmongTasks(configureMethod('mtl_lora[attn_matrices=["v"], leave_out=[1, 2]]'), 'b', { encoder: config, family });
    const path = 'bert.encoder.layer.0.attention.self.value.loras';
    expect([...names]).toEqual([
      [`${path}.b.lora_A`, `${path}.shared.lora_A`],
      [`${path}.b.lora_B`, `${path}.shared.lora_B`],
      [`${path}.b.task_specific.values`, `${path}.b.task_specific.values`],
      [`${path}.b.weights`, `${path}.b.weights`],
    ]);
  });

  it('begin as LoRA would: a full Λ as the identity, and up-projections that count alike', () => {
    const { parameters } = attachPerTask(configureMethod('mtl_lora[task_specific_matrix_type="linear"]'), ['a'], {
      encoder: config,
      family,
    });
    const [down, up, matrix, weights] = parameters.slice(0, 2).concat(parameters.slice(-2)) as [
      ParameterSpec,
      ParameterSpec,
      ParameterSpec,
      ParameterSpec,
    ];
    expect([down.init, up.init, matrix.init, weights.init]).toEqual([
      { kind: 'fan-in-uniform', fanIn: 32 },
      { kind: 'constant', value: 0 },
      { kind: 'near-identity', off: 0 },
      { kind: 'constant', value: 1 },
    ]);
    expect(matrix.shape).toEqual([8, 8]);
  });
});

it('what `adapters` cannot keep is refused', () => {
  expect(() => configureMethod('mtl_lora[attn_matrices=["o"]]')).toThrow('key \'attn_matrices.0\': found "o"');
  expect(() => configureMethod('mtl_lora[use_gating=True]')).toThrow("key 'use_gating': found true");
  expect(() => configureMethod('mtl_lora[selfattn_lora=False]')).toThrow('some linear to adapt');
  expect(() => configureMethod('mtl_lora[weights_sharpnes=1]')).toThrow("Did you mean 'weights_sharpness'?");
});
