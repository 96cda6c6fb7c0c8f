import { describe, expect, test } from 'vitest';
import { open, world } from '../../test/tiny-world.ts';
import { combined } from '../model/weighted.ts';
import { matrix } from '../nn/index.ts';
import type { AutoAdapterModel } from './auto-adapter-model.ts';

const ROWS = [{ text: 'bako mitu lesar' }, { text: 'sarnof' }];
const logits = async (model: AutoAdapterModel) => (await model.predict(ROWS)).flatMap((answer) => answer.logits as number[]);

async function modelWith(...methods: readonly string[]) {
  const model = await open(world());
  for (const [i, method] of methods.entries()) model.addAdapter(['a', 'b', 'c'][i] as string, method);
  model.addClassificationHead('a', { numLabels: 3 });
  return model;
}

function close(found: readonly number[], expected: readonly number[], digits = 6) {
  expect(found).toHaveLength(expected.length);
  for (const [i, x] of found.entries()) expect(x).toBeCloseTo(expected[i] as number, digits);
}

describe('a LoRA of another method', () => {
  test.each([
    'vera[vera_b=3.0,alpha=80]',
    'lora[init_weights="bert",r=4,alpha=900,attn_matrices=["k"],output_lora=True,leave_out=[1]]',
    'mtl_lora[init_weights="bert",alpha=900]',
  ])('%s answers the same', async (method) => {
    const model = await modelWith(method);
    model.setActiveAdapters(undefined);
    model.activeHead = 'a';
    const stock = await logits(model);
    model.setActiveAdapters('a');
    const expected = await logits(model);
    const done: number[] = [];
    const { name, kept } = await model.toLora('a', { rank: 8, setActive: true, onProgress: (count) => done.push(count) });
    expect([name, model.activeAdapters]).toEqual(['a-lora', 'a-lora']);
    expect(kept).toBeCloseTo(1, 10);
    expect(done.length).toBeGreaterThan(1);
    close(await logits(model), expected);
    expect(Math.max(...stock.map((x, i) => Math.abs(x - (expected[i] as number))))).toBeGreaterThan(1e-4);
  });

  test('a rank that is too low says what is kept; biases, norms, gates and other sites are refused by name', async () => {
    const model = await modelWith('lora[init_weights="bert",r=6]', 'bitfit', 'seq_bn');
    const { kept } = await model.toLora('a', { rank: 2 });
    expect(kept).toBeGreaterThan(0.2);
    expect(kept).toBeLessThan(0.9);
    await expect(model.toLora('b', { rank: 2 })).rejects.toThrow(/a change of the (norm|bias)/);
    await expect(model.toLora('c', { rank: 2 })).rejects.toThrow(/'residual', where no weights stand/);
    await expect(model.toLora('a', { rank: 0 })).rejects.toMatchObject({ code: 'usage.value' });
    await expect(model.toLora('a', { rank: 2 })).rejects.toMatchObject({ code: 'adapter.duplicate' });
    model.addAdapter('g', 'lora[use_gating=True,init_weights="bert"]');
    await expect(model.toLora('g', { rank: 2 })).rejects.toThrow(/a gate/);
  });
});

describe('averages', () => {
  test('names with weights; what is made is added and made active where that is asked for', async () => {
    const model = await modelWith('lora[init_weights="bert",alpha=900]', 'lora[dropout=0.1,alpha=900]');
    await model.averageAdapter('m', { a: 3, b: 1 });
    expect(model.activeAdapters).toBeUndefined();
    await model.averageAdapter('n', ['a', 'a'], { setActive: true });
    const mean = await logits(model);
    model.setActiveAdapters('a');
    close(mean, await logits(model));
    await expect(model.averageAdapter('m', ['a', 'b'])).rejects.toMatchObject({ code: 'adapter.duplicate' });
    await model.averageAdapter('m', ['a', 'b'], { overwriteOk: true });
  });

  test.each([
    [['a', 'c'], {}, /seq_bn: adapters of one configuration|the method seq_bn/],
    [['a', 'd'], {}, /r 4; expected r 8/],
    [['a', 'b'], { weights: [1, -1] }, /a sum of 0/],
    [['a', 'b'], { weights: [1] }, /2 numbers, one for each of a and b|2 numbers/],
    [['a', 'b'], { svdRank: 2 }, /none for 'linear'/],
    [['a', 'b'], { combineStrategy: 'lora_delta_w_svd' }, /a whole number above 0/],
    [['a', 'b'], { combineStrategy: 'cat' as 'linear' }, /one of linear/],
    [['c', 'c'], { combineStrategy: 'lora_linear_only_negate_b' }, /what it does at 'residual'/],
    [['v', 'v'], { combineStrategy: 'lora_linear_only_negate_b' }, /no half of an update/],
    [['o', 'o'], { combineStrategy: 'lora_delta_w_svd', svdRank: 2 }, /more than a low-rank update/],
    [[], {}, /at least one/],
  ] as const)('%s with %j is refused', async (names, options, message) => {
    const model = await modelWith('lora', 'lora', 'seq_bn');
    model.addAdapter('d', 'lora[r=4]');
    model.addAdapter('v', 'vera');
    model.addAdapter('o', 'dora');
    await expect(model.averageAdapter('m', names, options)).rejects.toThrow(message);
    expect(model.adapters).not.toContain('m');
  });

  test('heads of one form', async () => {
    const model = await modelWith('lora');
    model.addClassificationHead('b', { numLabels: 3 });
    model.addClassificationHead('c', { numLabels: 2 });
    await model.averageHead('m', ['a', 'b'], { weights: [1, 3] });
    expect(model.activeHead).toBe('m');
    expect(await logits(model)).toHaveLength(6);
    await expect(model.averageHead('n', ['a', 'c'])).rejects.toMatchObject({ code: 'head.config' });
    model.deleteHead('m');
    expect(model.activeHead).toBeUndefined();
  });
});

describe('combinations', () => {
  test.each([
    [{ combinationType: 'ties' }, /density/],
    [{ combinationType: 'dare_linear', density: 0 }, /above 0/],
    [{ combinationType: 'linear', svdRank: 3 }, /svdRank/],
    [{ combinationType: 'svd', density: 0.5 }, /density/],
    [{ combinationType: 'svd', majoritySignMethod: 'total' }, /majoritySignMethod/],
    [{ combinationType: 'mean' as 'svd' }, /one of svd/],
    [{ combinationType: 'linear' }, /adapters of ranks 8, 4/],
  ] as const)('%j is refused', async (options, message) => {
    const model = await modelWith('lora', 'lora[r=4]');
    await expect(model.addWeightedAdapter('m', ['a', 'b'], [1, 1], options)).rejects.toThrow(message);
  });

  test('dare keeps as many numbers as it should, the same for one seed, and the mean', () => {
    const update = {
      weight: 1,
      scale: 1,
      down: matrix(20, 400, new Float64Array(8000).fill(1)),
      up: matrix(3, 20, new Float64Array(60).fill(1)),
    };
    const { down } = combined([update], 'dare_linear', { density: 0.25, seed: 3 }, 0);
    const kept = down.data.filter((x) => x !== 0);
    expect(new Set(kept)).toEqual(new Set([4]));
    // 8000 draws: four deviations of 0.0048.
    expect(Math.abs(kept.length / 8000 - 0.25)).toBeLessThan(0.02);
    expect(combined([update], 'dare_linear', { density: 0.25, seed: 3 }, 0).down).toEqual(down);
    expect(combined([update], 'dare_linear', { density: 0.25, seed: 4 }, 0).down).not.toEqual(down);
    expect(combined([update], 'dare_linear', { density: 0.25, seed: 3 }, 1).down).not.toEqual(down);
  });

  test('a clamp cuts both factors at a quantile of the sizes of their numbers', () => {
    const update = { weight: 1, scale: 1, down: matrix(1, 2, [3, 4]), up: matrix(1, 1, [2]) };
    const { down, up } = combined([update], 'svd', { svdClamp: 0.75 }, 0);
    // Sizes 0.6, 0.8, 10: their middle.
    expect([...down.data, ...up.data].map((x) => Number(x.toFixed(12)))).toEqual([0.6, 0.8, 0.8]);
  });
});

test('an adapter that is deleted is gone, unless a fusion mixes it', async () => {
  const model = await modelWith('seq_bn', 'seq_bn', 'lora');
  model.setActiveAdapters('c');
  model.deleteAdapter('c');
  expect([model.adapters, model.activeAdapters]).toEqual([['a', 'b'], undefined]);
  model.addAdapterFusion(['a', 'b']);
  expect(() => model.deleteAdapter('a')).toThrow(/the fusion 'a,b', which mixes it/);
  expect(() => model.deleteAdapter('nobody')).toThrow(/none of that name/);
});
