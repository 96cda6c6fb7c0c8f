import { beforeAll, describe, expect, test } from 'vitest';
import { AutoAdapterModel } from '../../src/auto-adapter-model/index.ts';
import { float32 } from '../../src/base/index.ts';
import { loadAdapter, saveAdapter } from '../../src/checkpoint/index.ts';
import { configureMethod } from '../../src/methods/index.ts';
import type { Combination, CombinationOptions } from '../../src/model/weighted.ts';
import { type Matrix, matrix, multiplied } from '../../src/nn/index.ts';
import { referenceEngine } from '../../src/session/reference.ts';
import { world } from '../tiny-world.ts';
import { readCases } from './forward.ts';

type Halves = Readonly<Record<string, { readonly down: number[][]; readonly up: number[][] }>>;
type Changes = Readonly<Record<string, number[][]>>;

const golden = readCases<{
  readonly probe: number[][];
  readonly weights: number[];
  readonly average: number[];
  readonly inputs: Readonly<Record<string, readonly Halves[]>>;
  readonly peft: Readonly<
    Record<
      string,
      { combination: Combination; options: Record<string, unknown>; weights: number[]; ranks: number[]; alphas: number[]; changes: Changes }
    >
  >;
  readonly adapters: { readonly r: number; readonly alpha: number; readonly changes: Readonly<Record<string, Changes>> };
}>('merging/merging.json');
const NAMES = ['a', 'b', 'c'];
const PREFIX = 'bert.';
const files = world();

/** A model with the LoRAs that Python had. */
async function modelWith(inputs: readonly Halves[], alphas: readonly number[]) {
  const model = await AutoAdapterModel.fromPretrained('tiny', { files, engine: referenceEngine() });
  for (const [i, halves] of inputs.entries()) {
    const name = NAMES[i] as string;
    const r = Object.values(halves)[0]?.down.length as number;
    const method = configureMethod(`lora[r=${r},alpha=${alphas[i]},attn_matrices=['q'],intermediate_lora=True,leave_out=[0,2]]`);
    const tensors = new Map(
      Object.entries(halves).flatMap(([path, { down, up }]) => [
        [`${PREFIX}${path}.loras.${name}.lora_A`, float32([down.length, 32], down.flat())] as const,
        [`${PREFIX}${path}.loras.${name}.lora_B`, float32([up.length, r], up.flat())] as const,
      ]),
    );
    await saveAdapter(files, `saved-${name}`, { name, method, tensors, model: model.encoder });
    await model.loadAdapter(`saved-${name}`);
  }
  return model;
}

/** (scale B A)·probe at each linear of an adapter, as a folder of it has them. */
async function changesOf(model: AutoAdapterModel, name: string): Promise<Record<string, Matrix>> {
  await model.saveAdapter('out', name);
  const { method, tensors } = await loadAdapter(files, 'out', { encoder: model.encoder });
  const { r, alpha } = method.config as { r: number; alpha: number };
  const probe = matrix(32, 2, golden.probe.flat());
  return Object.fromEntries(
    [...tensors]
      .filter(([key]) => key.endsWith('lora_A'))
      .map(([key, down]) => {
        const up = tensors.get(key.replace(/A$/, 'B'));
        const product = multiplied(
          matrix(up?.shape[0] as number, r, up?.data as Float32Array),
          multiplied(matrix(r, 32, down.data as Float32Array), probe),
        );
        return [
          key.slice(PREFIX.length).split('.loras.')[0] as string,
          matrix(
            product.rows,
            2,
            product.data.map((x) => (alpha / r) * x),
          ),
        ];
      }),
  );
}

function near(found: Readonly<Record<string, Matrix>>, expected: Changes, factor = 1) {
  expect(Object.keys(found).toSorted()).toEqual(Object.keys(expected).toSorted());
  for (const [path, rows] of Object.entries(expected)) {
    const numbers = rows.flat();
    const size = numbers.reduce((most, x) => Math.max(most, Math.abs(x)), 0) * factor;
    const data = (found[path] as Matrix).data;
    expect(data).toHaveLength(numbers.length);
    expect(data.reduce((most, x, i) => Math.max(most, Math.abs(x - factor * (numbers[i] as number))), 0) / size).toBeLessThan(1e-5);
  }
}

test('there are 15 combinations of peft and 4 of adapters', () => {
  expect([Object.keys(golden.peft).length, Object.keys(golden.adapters.changes).length]).toEqual([15, 4]);
  expect(new Set(Object.values(golden.peft).map(({ combination }) => combination)).size).toBe(11);
});

test.each(Object.entries(golden.peft))(
  'add_weighted_adapter of peft: %s',
  async (_name, { options, combination, weights, ranks, alphas, changes }) => {
    const inputs = (golden.inputs[ranks.join(',')] as readonly Halves[]).slice(0, weights.length);
    const model = await modelWith(inputs, alphas);
    const { svd_rank: svdRank, density, majority_sign_method: majoritySignMethod } = options;
    const given = { svdRank, density, majoritySignMethod } as CombinationOptions;
    const known = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
    await model.addWeightedAdapter('out', model.adapters, weights, { combinationType: combination, ...known });
    near(await changesOf(model, 'out'), changes);
  },
);

describe('average_adapter of adapters', () => {
  let model: AutoAdapterModel;
  beforeAll(async () => {
    model = await modelWith(golden.inputs['3,3,3'] as readonly Halves[], [5, 5, 5]);
  });

  test.each([
    ['linear', {}],
    ['linear, as they are', { normalizeWeights: false }],
    ['lora_linear_only_negate_b', { combineStrategy: 'lora_linear_only_negate_b', normalizeWeights: false }],
  ] as const)('%s', async (name, options) => {
    await model.averageAdapter('out', NAMES, { weights: golden.average, overwriteOk: true, ...options });
    near(await changesOf(model, 'out'), golden.adapters.changes[name] as Changes);
  });

  test('lora_delta_w_svd, at the scale of what went in: Python gives α/svd_rank of unscaled products', async () => {
    const options = { combineStrategy: 'lora_delta_w_svd', svdRank: 4 } as const;
    await model.averageAdapter('out', NAMES, { weights: golden.average, overwriteOk: true, ...options });
    near(await changesOf(model, 'out'), golden.adapters.changes.lora_delta_w_svd as Changes, 4 / golden.adapters.r);
  });
});
