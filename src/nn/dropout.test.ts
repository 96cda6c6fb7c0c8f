import { describe, expect, it } from 'vitest';
import { type Tensor, tensor } from '../base/tensor.ts';
import { add, gradients, input, mul, type Program, reduceSum, reshape, scalar, type Value, verify } from '../graph/index.ts';
import { nodeEngine } from '../session/node.ts';
import { referenceEngine } from '../session/reference.ts';
import { noDropout, planDropout } from './dropout.ts';

const x = input('x', 'float32', ['B', 'S', 16]);
const BINDINGS = new Map([
  ['B', 8],
  ['S', 25],
]);
const ones = tensor('float32', [8, 25, 16], new Float32Array(8 * 25 * 16).fill(1));

async function run(program: Program, feeds: Record<string, Tensor>, pools: ReadonlyMap<string, Tensor>) {
  const results = await (await referenceEngine().compile(program, pools)).run(feeds);
  return Object.fromEntries(Object.entries(results).map(([name, { data }]) => [name, Array.from(data, Number)])) as Record<
    string,
    number[]
  >;
}

/** The mask of one site: dropout of ones. */
async function mask(p: number, seed: number, step: number, microBatch = 0): Promise<number[]> {
  const plan = planDropout(16, seed);
  const program = { outputs: { y: plan.dropout(x, p, 'a') } };
  verify(program);
  const { y } = await run(program, { x: ones, ...plan.feeds(seed, step, microBatch, BINDINGS) }, plan.pools);
  return y as number[];
}

describe('dropout', () => {
  it.each([0.1, 0.5])('keeps 1 − p of the elements and scales them by 1/(1 − p): p = %s', async (p) => {
    const values = await mask(p, 3, 0);
    const kept = values.filter((value) => value !== 0);
    for (const value of kept) expect(value).toBeCloseTo(1 / (1 - p), 6);
    // 3,200 draws: five standard deviations.
    expect(Math.abs(kept.length / values.length - (1 - p))).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / values.length));
  });

  it('drops each column about as often, and rows differ', async () => {
    const values = await mask(0.5, 3, 0);
    const rows = Array.from({ length: 200 }, (_, row) => values.slice(row * 16, row * 16 + 16));
    for (let column = 0; column < 16; column++) {
      const kept = rows.filter((row) => row[column] !== 0).length;
      expect(Math.abs(kept - 100)).toBeLessThan(5 * Math.sqrt(50));
    }
    expect(new Set(rows.map(String)).size).toBeGreaterThan(150);
  });

  it('repeats with the seed and changes with seed, step and micro-batch', async () => {
    const first = await mask(0.3, 3, 7, 1);
    expect(await mask(0.3, 3, 7, 1)).toEqual(first);
    for (const other of [await mask(0.3, 4, 7, 1), await mask(0.3, 3, 8, 1), await mask(0.3, 3, 7, 2)]) {
      const equal = other.filter((value, i) => value === first[i]).length / first.length;
      // Independent masks agree where both keep or both drop: 0.7² + 0.3².
      expect(Math.abs(equal - 0.58)).toBeLessThan(0.05);
    }
  });

  it('needs nothing but seed, step, micro-batch and site to go on: a resumed run draws the same rows', () => {
    const drawAll = (from: number) => {
      const plan = planDropout(16, 3);
      plan.dropout(x, 0.1, 'a');
      plan.dropout(x, 0.1, 'b');
      return Array.from({ length: 6 - from }, (_, i) => plan.feeds(3, from + i, 0, BINDINGS));
    };
    const whole = drawAll(0);
    expect(drawAll(4)).toEqual(whole.slice(4));
    expect(Object.keys(whole[0] ?? {})).toEqual(['dropout.rows.a', 'dropout.rows.b']);
    const vectors = whole.flatMap((feeds) => Object.values(feeds).map(({ data }) => String(data)));
    expect(new Set(vectors).size).toBe(12);
  });

  it('takes other rows for every seed', () => {
    const plan = planDropout(16, 3);
    plan.dropout(x, 0.1, 'a');
    const drawn = Array.from({ length: 500 }, (_, seed) => String(plan.feeds(seed, 0, 0, BINDINGS)['dropout.rows.a']?.data));
    expect(new Set(drawn).size).toBe(500);
  });

  it('gives the gradient the same mask, and sites their own', async () => {
    const plan = planDropout(16, 5);
    const first = plan.dropout(x, 0.5, 'a');
    const second = plan.dropout(mul(x, scalar(2)), 0.5, 'b');
    const loss = reshape(reduceSum(add(first, second), [0, 1, 2]), []);
    const [dx] = gradients(loss, [x]) as [Value];
    const feeds = { x: ones, ...plan.feeds(5, 0, 0, BINDINGS) };
    const results = await run({ outputs: { first, second, dx } }, feeds, plan.pools);
    const [a, b, slope] = [results.first, results.second, results.dx] as [number[], number[], number[]];
    slope.forEach((value, i) => void expect(value).toBe((a[i] as number) + (b[i] as number)));
    expect(a.some((value, i) => value !== (b[i] as number) / 2)).toBe(true);
  });

  it('holds one pool of 2,048 rows for each p, whatever the number of sites and rows', () => {
    const plan = planDropout(64, 0);
    for (let site = 0; site < 40; site++) plan.dropout(x, site % 2 ? 0.1 : 0.2, String(site));
    expect([...plan.pools.keys()]).toEqual(['dropout.pool.0.2', 'dropout.pool.0.1']);
    for (const pool of plan.pools.values()) expect(pool.shape).toEqual([2048, 64]);
    const rows = Object.values(plan.feeds(0, 0, 0, BINDINGS)).flatMap(({ data }) => [...(data as Int32Array)]);
    expect(rows.length).toBe(40 * 200);
    expect(Math.min(...rows)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...rows)).toBeLessThan(2048);
    expect(new Set(rows).size).toBeGreaterThan(1900);
  });

  describe('of rows that may be longer than a pool is wide', () => {
    const [batch, length, hidden] = [6, 150, 100];
    const bindings = new Map([
      ['B', batch],
      ['S', length],
    ]);
    const scores = input('scores', 'float32', ['B', 'S', 'S']);
    const states = input('states', 'float32', ['B', 'S', hidden]);
    const full = (...shape: number[]) => {
      const count = shape.reduce((a, b) => a * b, 1);
      return tensor('float32', shape, new Float32Array(count).fill(1));
    };
    const drawn = (seed: number, step: number) => {
      const plan = planDropout(8192, seed);
      const program = {
        outputs: { a: plan.dropout(scores, 0.25, 'a'), b: plan.dropout(states, 0.25, 'b'), c: plan.dropout(scores, 0.5, 'c') },
      };
      verify(program);
      const masks = plan.feeds(seed, step, 0, bindings);
      return { plan, program, masks, feeds: { scores: full(batch, length, length), states: full(batch, length, hidden), ...masks } };
    };

    it('keeps 1 − p of them in every column, on both engines alike, and changes with the step', async () => {
      const { plan, program, masks, feeds } = drawn(3, 0);
      expect([...plan.pools.values()].map(({ shape }) => shape)).toEqual([
        [2048, 64],
        [2048, 64],
      ]);
      expect(Object.values(masks).map(({ shape }) => shape)).toEqual([
        [batch * length, 3],
        [batch * length, 2],
        [batch * length, 3],
      ]);
      const results = await run(program, feeds, plan.pools);
      for (const [name, width, p] of [
        ['a', length, 0.25],
        ['b', hidden, 0.25],
        ['c', length, 0.5],
      ] as const) {
        const values = results[name] as number[];
        expect(values).toHaveLength(batch * length * width);
        expect([...new Set(values)].sort()).toEqual([0, Math.fround(1 / (1 - p))]);
        const kept = new Array<number>(width).fill(0);
        for (const [i, value] of values.entries()) kept[i % width] = (kept[i % width] as number) + Number(value !== 0);
        // 900 draws for each column, from a pool whose 2,048 rows deviate by themselves.
        for (const count of kept) expect(Math.abs(count / 900 - (1 - p))).toBeLessThan(5 * Math.sqrt(p * (1 - p) * (1 / 900 + 1 / 2048)));
      }
      const session = await (await nodeEngine({ threads: 1 })).compile(program, plan.pools);
      const native = await session.run(feeds);
      await session.release();
      for (const name of ['a', 'b', 'c']) expect(Array.from(native[name]?.data ?? [], Number)).toEqual(results[name]);
      const next = drawn(3, 1);
      expect((await run(next.program, next.feeds, next.plan.pools)).a).not.toEqual(results.a);
    });
  });

  it('puts rows together from pieces where methods lengthened them, beside whole rows of the same p', async () => {
    const plan = planDropout(40, 3);
    const longer = plan.dropout(input('longer', 'float32', ['B', 'S+30']), 0.25, 'a');
    const plain = plan.dropout(input('plain', 'float32', ['B', 'S']), 0.25, 'b');
    verify({ outputs: { longer, plain } });
    expect([...plan.pools].map(([name, { shape }]) => [name, shape])).toEqual([
      ['dropout.pieces.0.25', [2048, 64]],
      ['dropout.pool.0.25', [2048, 40]],
    ]);
    const bindings = new Map([
      ['B', 300],
      ['S', 40],
    ]);
    const ones = (columns: number) => tensor('float32', [300, columns], new Float32Array(300 * columns).fill(1));
    const masks = plan.feeds(3, 0, 0, bindings);
    const results = await run({ outputs: { longer, plain } }, { longer: ones(70), plain: ones(40), ...masks }, plan.pools);
    const kept = (results.longer as number[]).filter((value) => value !== 0).length / (300 * 70);
    expect(Math.abs(kept - 0.75)).toBeLessThan(0.02);
    const alone = planDropout(40, 3);
    alone.dropout(input('plain', 'float32', ['B', 'S']), 0.25, 'b');
    expect(alone.pools.get('dropout.pool.0.25')).toEqual(plan.pools.get('dropout.pool.0.25'));
  });

  it('is the identity for p = 0 and in evaluation', () => {
    const plan = planDropout(16, 0);
    expect(plan.dropout(x, 0, 'a')).toBe(x);
    expect(noDropout(x, 0.5, 'a')).toBe(x);
    expect(plan.pools.size).toBe(0);
    expect(plan.feeds(0, 0, 0, BINDINGS)).toEqual({});
  });

  it('refuses two sites of one name, and rows wider than the pool', () => {
    const plan = planDropout(8, 0);
    expect(() => plan.dropout(x, 0.1, 'wide')).toThrow('Slice: found [2048,8]; expected elements 0 to 16 on axis 1.');
    const narrow = input('n', 'float32', ['B', 8]);
    plan.dropout(narrow, 0.1, 'a');
    expect(() => plan.dropout(narrow, 0.1, 'a')).toThrow("two dropout sites named 'a'");
  });
});
