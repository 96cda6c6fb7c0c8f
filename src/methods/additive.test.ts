import { describe, expect, it } from 'vitest';
import { nodeFiles } from '../base/files-node.ts';
import { float32, type Tensor } from '../base/tensor.ts';
import { type LinearSite, loadEncoder } from '../encoders/index.ts';
import { constant, input, mul, sub, type Value, weight } from '../graph/index.ts';
import { type Dropout, noDropout, type ParameterSpec, parameters } from '../nn/index.ts';
import { referenceEngine } from '../session/reference.ts';
import { keptEntries, overMean } from './additive.ts';
import { attach } from './attachment.ts';
import { encoderFacts } from './context.ts';
import { configureMethod, METHODS } from './registry.ts';

const [ROWS, WIDTH] = [3, 32];
const fill = (shape: readonly number[], salt: number): Tensor =>
  float32(
    shape,
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => 0.3 * Math.sin(1.7 * i + salt)),
  );

/** What one adapter changes at a query, with a dropout of the test's own. */
async function changed(text: string, dropout: Dropout): Promise<number[]> {
  const encoder = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');
  const attachment = attach(configureMethod(text), { ...encoderFacts(encoder), name: 'a' });
  const [x, y] = [input('x', 'float32', [ROWS, WIDTH]), input('y', 'float32', [ROWS, WIDTH])];
  const own = { weight: weight('w', 'float32', [WIDTH, WIDTH]), bias: undefined, name: 'query', layer: 0, module: 0 };
  const site: LinearSite = { batch: ROWS, length: 1, first: 0, ...own, x, y };
  const output = attachment
    .hooks(
      parameters(() => false),
      dropout,
    )
    .linear?.(site) as Value;
  const values = attachment.parameters.map(({ name, shape }: ParameterSpec, i) => [name, fill(shape, i)] as const);
  const weights = new Map([...values, ['w', fill([WIDTH, WIDTH], 40)] as const]);
  const session = await referenceEngine().compile({ outputs: { change: sub(output, y) } }, weights);
  const { change } = await session.run({ x: fill([ROWS, WIDTH], 50), y: fill([ROWS, WIDTH], 60) });
  return Array.from(change?.data ?? [], Number);
}

/** Keeps the first of every `n` of a row, and rescales as dropout does. */
const every =
  (n: number, places: string[] = []): Dropout =>
  (x, p, place) => {
    if (p === 0) return x;
    places.push(place);
    const kept = Float32Array.from({ length: x.shape.at(-1) as number }, (_, i) => (i % n === 0 ? 1 / (1 - p) : 0));
    return mul(x, constant({ dtype: 'float32', shape: [1, kept.length], data: kept }));
  };

it('entries are kept without a scale, or over their mean, also where none is kept', async () => {
  const kept = keptEntries(4, 0.2, every(2), 'a') as Value;
  const none = keptEntries(4, 0.2, every(9), 'b') as Value;
  const outputs = { kept, scaled: overMean(kept), none: overMean(sub(none, none)) };
  expect(keptEntries(4, 0.2, noDropout, 'c')).toBeUndefined();
  const found = await (await referenceEngine().compile({ outputs }, new Map())).run({});
  const rounded = (name: string) => Array.from(found[name]?.data ?? [], Number).map((x) => Math.round(x * 1e6) / 1e6);
  expect(rounded('kept')).toEqual([1, 0, 1, 0]);
  expect(rounded('scaled')).toEqual([2, 0, 2, 0]);
  expect(rounded('none')).toEqual([0, 0, 0, 0]);
});

describe('dropouts of PEFT', () => {
  it.each(
    METHODS.filter(({ schema }) => schema.safeParse({ rank_dropout: 0.5 }).success).map(({ presets }) => Object.keys(presets)[0] as string),
  )('%s: rank_dropout drops outputs of the update, module_dropout all of it', async (name) => {
    const whole = await changed(`${name}[r=2]`, noDropout);
    const places: string[] = [];
    const some = await changed(`${name}[r=2, rank_dropout=0.5, module_dropout=0.5]`, every(2, places));
    expect(places).toEqual(['layer.0.query.a.rank', 'layer.0.query.a.module']);
    const scale = (some[0] as number) / (whole[0] as number);
    expect(Math.min(...[1, 2].map((one) => Math.abs(scale - one)))).toBeLessThan(1e-6);
    some.forEach((value, i) => void expect(value).toBeCloseTo(i % 2 === 0 ? scale * (whole[i] as number) : 0, 9));
    expect(Math.max(...whole.map(Math.abs))).toBeGreaterThan(1e-3);
    const off: Dropout = (x, p) => (p === 0 ? x : mul(x, constant(float32([1, 1], [0]))));
    expect((await changed(`${name}[r=2, module_dropout=0.5]`, off)).map(Math.abs).every((x) => x === 0)).toBe(true);
  });
});
