import { describe, expect, it } from 'vitest';
import type { Initializer, ParameterSpec } from '../nn/index.ts';
import { ParameterStore } from './store.ts';

const spec = (name: string, shape: readonly number[], init: Initializer): ParameterSpec => ({ name, shape, init, decay: true });

function statistics(init: Initializer): { mean: number; deviation: number; least: number; most: number } {
  const store = new ParameterStore([spec('a', [100, 200], init)]);
  store.initialize(7);
  const data = store.get('a').data as Float32Array;
  const mean = data.reduce((sum, x) => sum + x, 0) / data.length;
  const deviation = Math.sqrt(data.reduce((sum, x) => sum + (x - mean) ** 2, 0) / data.length);
  return { mean, deviation, least: Math.min(...data), most: Math.max(...data) };
}

describe('first values', () => {
  // The mean of 20,000 draws strays by σ/141, their deviation by about σ/200.
  it('constant', () =>
    expect(statistics({ kind: 'constant', value: 0.25 })).toEqual({ mean: 0.25, deviation: 0, least: 0.25, most: 0.25 }));

  it('normal', () => {
    const { mean, deviation, most } = statistics({ kind: 'normal', deviation: 0.02 });
    expect(Math.abs(mean)).toBeLessThan(0.0006);
    expect(deviation).toBeGreaterThan(0.0195);
    expect(deviation).toBeLessThan(0.0205);
    expect(most).toBeGreaterThan(0.06);
  });

  it('uniform by fan-in: within ±1/√in, deviation of that over √3', () => {
    const { mean, deviation, least, most } = statistics({ kind: 'fan-in-uniform', fanIn: 64 });
    expect(Math.abs(mean)).toBeLessThan(0.002);
    expect(deviation).toBeCloseTo(0.125 / Math.sqrt(3), 2);
    expect(least).toBeGreaterThanOrEqual(-0.125);
    expect(least).toBeLessThan(-0.1245);
    expect(most).toBeLessThanOrEqual(0.125);
    expect(most).toBeGreaterThan(0.1245);
  });

  it('truncated normal: nothing beyond the limit, and a smaller deviation', () => {
    const { deviation, least, most } = statistics({ kind: 'truncated-normal', deviation: 0.02, limit: 0.04 });
    expect(Math.max(-least, most)).toBeLessThanOrEqual(Math.fround(0.04));
    expect(most).toBeGreaterThan(0.039);
    // A normal cut at two deviations has 0.8796 of its deviation.
    expect(deviation / 0.02).toBeCloseTo(0.8796, 1);
    expect(deviation / 0.02).toBeLessThan(0.9);
  });

  it('depend on seed and name, not on what else there is', () => {
    const draw = (seed: number, ...names: string[]) => {
      const store = new ParameterStore(names.map((name) => spec(name, [4], { kind: 'normal', deviation: 1 })));
      store.initialize(seed);
      return [...store.get('a').data];
    };
    expect(draw(1, 'a')).toEqual(draw(1, 'b', 'a', 'c'));
    expect(draw(1, 'a')).not.toEqual(draw(2, 'a'));
    const both = new ParameterStore(['a', 'b'].map((name) => spec(name, [4], { kind: 'normal', deviation: 1 })));
    both.initialize(1);
    expect([...both.get('a').data]).not.toEqual([...both.get('b').data]);
  });
});

describe('numbers', () => {
  const specs = [spec('a', [2], { kind: 'constant', value: 1 }), spec('b', [1, 2], { kind: 'constant', value: 2 })];

  it('are restored with their moments, and belong to the store they were restored into', () => {
    const from = new ParameterStore(specs);
    for (const name of ['a', 'b']) {
      const { value, moment1, moment2 } = from.numbers(name);
      [value, moment1, moment2].forEach((data, i) => void data.fill(3 + i));
    }
    const to = new ParameterStore(specs);
    to.restore(from.state());
    expect([...to.state()].map(([part, { data }]) => [part, ...data])).toEqual([
      ['value', 3, 3, 3, 3],
      ['moment1', 4, 4, 4, 4],
      ['moment2', 5, 5, 5, 5],
    ]);
    from.numbers('b').value.fill(9);
    expect([...to.values()].flatMap(([, { data }]) => [...data])).toEqual([3, 3, 3, 3]);
    expect(to.get('b').shape).toEqual([1, 2]);
  });

  it('refuses two parameters of one name, and an unknown one', () => {
    expect(() => new ParameterStore([specs[0] as ParameterSpec, specs[0] as ParameterSpec])).toThrow("two parameters named 'a'");
    expect(() => new ParameterStore(specs).get('c')).toThrow("no parameter 'c'");
  });
});
