import { describe, expect, it } from 'vitest';
import { createRandom } from '../../base/random.ts';
import { type Tensor, tensor } from '../../base/tensor.ts';
import { referenceEngine } from '../../session/reference.ts';
import { evaluateShape } from '../dim.ts';
import { gradients } from '../grad.ts';
import * as ops from '../ops/index.ts';
import { add, div, matmul, mul, neg, sub } from '../ops/index.ts';
import { type Program, partsOf, print, verify } from '../program.ts';
import { constant, input, nameOf, scalar, type Value, weight } from '../value.ts';
import { optimize, RULES, type Rule, rewrite } from './index.ts';
import { shareErf } from './training.ts';

const SIZES = new Map([
  ['B', 2],
  ['S', 3],
]);
const x = input('x', 'float32', ['B', 4]);
const y = input('y', 'float32', ['B', 4]);
const row = input('row', 'float32', [1, 4]);
const held = (shape: number[], value: number) =>
  constant(tensor('float32', shape, new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value)));
const rule = (name: string): Rule => RULES.find((one) => one.name === name) as Rule;
const tested = new Set<string>();

/** Runs both programs on the same numbers. Only rounding of constants may differ: they are float32. */
async function expectSame(before: Program, after: Program): Promise<void> {
  const random = createRandom(7);
  const feeds: Record<string, Tensor> = {};
  const { inputs, weights } = partsOf(before);
  const fill = (value: Value) => {
    const shape = evaluateShape(value.shape, SIZES);
    return tensor(
      'float64',
      shape,
      Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal()),
    );
  };
  for (const value of inputs) feeds[nameOf(value) as string] = fill(value);
  const frozen = new Map(weights.map((value) => [nameOf(value) as string, fill(value)]));
  const [a, b] = await Promise.all([before, after].map(async (program) => (await referenceEngine().compile(program, frozen)).run(feeds)));
  for (const name of Object.keys(before.outputs)) {
    const [expected, got] = [a?.[name] as Tensor, b?.[name] as Tensor];
    expect(got.shape).toEqual(expected.shape);
    const scale = Math.max(...Array.from(expected.data, Number).map(Math.abs));
    expected.data.forEach((value, i) => void expect(Math.abs(Number(got.data[i]) - Number(value))).toBeLessThan(1e-6 * scale));
  }
}

/** Applies one rule; returns the two programs as text. */
async function applied(name: string, out: Value): Promise<{ before: string; after: string }> {
  tested.add(name);
  const before = { outputs: { out } };
  const after = rewrite(before, [rule(name)]);
  verify(after);
  expect(`${after.outputs.out?.dtype}[${after.outputs.out?.shape}]`).toBe(`${out.dtype}[${out.shape}]`);
  await expectSame(before, after);
  return { before: print(before), after: print(after) };
}

async function unchanged(name: string, out: Value): Promise<void> {
  const { before, after } = await applied(name, out);
  expect(after).toBe(before);
}

describe('foldConstants', () => {
  it('computes scalars of scalars', async () => {
    expect(await applied('foldConstants', mul(x, add(scalar(2), div(scalar(3), scalar(4)))))).toMatchInlineSnapshot(`
      {
        "after": "x: float32[B,4] = Input()
      %0: float32[] = Constant() 2.75
      %1: float32[B,4] = Mul(x, %0)
      out <- %1",
        "before": "x: float32[B,4] = Input()
      %0: float32[] = Constant() 2
      %1: float32[] = Constant() 3
      %2: float32[] = Constant() 4
      %3: float32[] = Div(%1, %2)
      %4: float32[] = Add(%0, %3)
      %5: float32[B,4] = Mul(x, %4)
      out <- %5",
      }
    `);
  });
  it('leaves integers and shaped constants alone', async () => {
    const two = constant(tensor('int32', [], Int32Array.of(2)));
    await unchanged('foldConstants', add(two, two));
    await unchanged('foldConstants', add(held([1], 1), scalar(2)));
  });
});

describe('divideByConstant', () => {
  it('multiplies by the inverse', async () => {
    expect(await applied('divideByConstant', div(x, scalar(8)))).toMatchInlineSnapshot(`
      {
        "after": "x: float32[B,4] = Input()
      %0: float32[] = Constant() 0.125
      %1: float32[B,4] = Mul(x, %0)
      out <- %1",
        "before": "x: float32[B,4] = Input()
      %0: float32[] = Constant() 8
      %1: float32[B,4] = Div(x, %0)
      out <- %1",
      }
    `);
  });
  it('keeps a division by zero, and one that widens', async () => {
    const before = { outputs: { out: div(x, scalar(0)) } };
    expect(print(rewrite(before, [rule('divideByConstant')]))).toBe(print(before));
    await unchanged('divideByConstant', div(input('v', 'float32', [4]), held([1, 1], 2)));
  });
});

describe('foldNegation', () => {
  it('turns sums with a negation into differences', async () => {
    expect(await applied('foldNegation', add(x, neg(y)))).toMatchInlineSnapshot(`
      {
        "after": "x: float32[B,4] = Input()
      y: float32[B,4] = Input()
      %0: float32[B,4] = Sub(x, y)
      out <- %0",
        "before": "x: float32[B,4] = Input()
      y: float32[B,4] = Input()
      %0: float32[B,4] = Neg(y)
      %1: float32[B,4] = Add(x, %0)
      out <- %1",
      }
    `);
    expect(await applied('foldNegation', sub(x, neg(y)))).toMatchInlineSnapshot(`
      {
        "after": "x: float32[B,4] = Input()
      y: float32[B,4] = Input()
      %0: float32[B,4] = Add(x, y)
      out <- %0",
        "before": "x: float32[B,4] = Input()
      y: float32[B,4] = Input()
      %0: float32[B,4] = Neg(y)
      %1: float32[B,4] = Sub(x, %0)
      out <- %1",
      }
    `);
    expect(await applied('foldNegation', mul(x, scalar(-1)))).toMatchInlineSnapshot(`
      {
        "after": "x: float32[B,4] = Input()
      %0: float32[B,4] = Neg(x)
      out <- %0",
        "before": "x: float32[B,4] = Input()
      %0: float32[] = Constant() -1
      %1: float32[B,4] = Mul(x, %0)
      out <- %1",
      }
    `);
  });
  it('keeps a product by −1 that widens', async () => {
    await unchanged('foldNegation', mul(input('v', 'float32', [4]), held([1, 1], -1)));
  });
});

describe('dropNeutral', () => {
  it.each([
    ['x + 0', add(x, scalar(0))],
    ['0 + x', add(scalar(0), x)],
    ['x − 0', sub(x, scalar(0))],
    ['x · 1', mul(x, scalar(1))],
    ['1 · x', mul(scalar(1), x)],
    ['x / 1', div(x, scalar(1))],
    ['−(−x)', neg(neg(x))],
  ])('%s is x', async (_, out) => {
    expect((await applied('dropNeutral', out)).after).toBe('x: float32[B,4] = Input()\nout <- x');
  });
  it('multiplies constants together', async () => {
    expect(await applied('dropNeutral', mul(scalar(2), mul(x, scalar(3))))).toMatchInlineSnapshot(`
      {
        "after": "x: float32[B,4] = Input()
      %0: float32[] = Constant() 6
      %1: float32[B,4] = Mul(x, %0)
      out <- %1",
        "before": "%0: float32[] = Constant() 2
      x: float32[B,4] = Input()
      %1: float32[] = Constant() 3
      %2: float32[B,4] = Mul(x, %1)
      %3: float32[B,4] = Mul(%0, %2)
      out <- %3",
      }
    `);
  });
  it('keeps a neutral element that widens, and 0 − x', async () => {
    await unchanged('dropNeutral', add(input('v', 'float32', [4]), held([1, 1], 0)));
    await unchanged('dropNeutral', sub(scalar(0), x));
  });
  it('leaves integers alone', async () => {
    const two = constant(tensor('int32', [], Int32Array.of(2)));
    const ids = input('ids', 'int32', ['B']);
    const before = { outputs: { out: mul(mul(ids, two), two) } };
    expect(print(rewrite(before, [rule('dropNeutral')]))).toBe(print(before));
  });
});

describe('foldExpand', () => {
  it('drops widenings that broadcasting does', async () => {
    expect(await applied('foldExpand', mul(x, ops.expand(row, ['B', 4])))).toMatchInlineSnapshot(`
      {
        "after": "x: float32[B,4] = Input()
      row: float32[1,4] = Input()
      %0: float32[B,4] = Mul(x, row)
      out <- %0",
        "before": "x: float32[B,4] = Input()
      row: float32[1,4] = Input()
      %0: float32[B,4] = Expand(row)
      %1: float32[B,4] = Mul(x, %0)
      out <- %1",
      }
    `);
  });
  it('keeps one of two where the shape needs it', async () => {
    const wide = add(ops.expand(row, ['B', 4]), ops.expand(scalar(2), ['B', 4]));
    const { after } = await applied('foldExpand', mul(x, ops.tanh(wide)));
    expect(after.match(/Expand/g)).toHaveLength(1);
  });
});

const q = input('q', 'float32', ['B', 2, 'S', 4]);
const k = input('k', 'float32', ['B', 2, 'S', 4]);

describe('foldTranspose', () => {
  it('turns a transpose of the last two axes into a flag', async () => {
    expect(await applied('foldTranspose', matmul(q, ops.transpose(k, [0, 1, 3, 2])))).toMatchInlineSnapshot(`
      {
        "after": "q: float32[B,2,S,4] = Input()
      k: float32[B,2,S,4] = Input()
      %0: float32[B,2,S,S] = MatMul(q, k, transB=true)
      out <- %0",
        "before": "q: float32[B,2,S,4] = Input()
      k: float32[B,2,S,4] = Input()
      %0: float32[B,2,4,S] = Transpose(k, perm=0,1,3,2)
      %1: float32[B,2,S,S] = MatMul(q, %0)
      out <- %1",
      }
    `);
  });
  it('takes flags back, on both sides, and keeps the scale', async () => {
    const swapped = (value: Value) => ops.transpose(value, [0, 1, 3, 2]);
    const { after } = await applied('foldTranspose', matmul(swapped(q), k, { transA: true, transB: true, alpha: 0.5 }));
    expect(after).toContain('MatMul(q, k, transB=true, alpha=0.5)');
  });
  it('keeps other transposes', async () => {
    const moved = input('moved', 'float32', ['B', 'S', 2, 4]);
    await unchanged('foldTranspose', matmul(ops.transpose(moved, [0, 2, 1, 3]), k, { transB: true }));
  });
});

describe('turnProduct', () => {
  const scores = input('scores', 'float32', ['B', 2, 'S', 'S']);
  const slopes = input('slopes', 'float32', ['B', 2, 'S', 4]);
  it('transposes the narrower operand', async () => {
    const product = ops.transpose(matmul(scores, slopes, { transA: true, alpha: 0.5 }), [0, 2, 1, 3]);
    expect(await applied('turnProduct', product)).toMatchInlineSnapshot(`
      {
        "after": "slopes: float32[B,2,S,4] = Input()
      scores: float32[B,2,S,S] = Input()
      %0: float32[B,2,4,S] = MatMul(slopes, scores, transA=true, alpha=0.5)
      %1: float32[B,S,2,4] = Transpose(%0, perm=0,3,1,2)
      out <- %1",
        "before": "scores: float32[B,2,S,S] = Input()
      slopes: float32[B,2,S,4] = Input()
      %0: float32[B,2,S,4] = MatMul(scores, slopes, transA=true, alpha=0.5)
      %1: float32[B,S,2,4] = Transpose(%0, perm=0,2,1,3)
      out <- %1",
      }
    `);
  });
  it('leaves a product whose first operand is the narrower one, or that no transpose follows', async () => {
    await unchanged('turnProduct', ops.transpose(matmul(slopes, scores, { transA: true }), [0, 1, 3, 2]));
    await unchanged('turnProduct', matmul(scores, slopes, { transA: true }));
    await unchanged('turnProduct', ops.transpose(matmul(scores, slopes), [0, 2, 1, 3]));
  });
});

describe('foldScale', () => {
  it('makes a constant factor the α of the product', async () => {
    expect(await applied('foldScale', mul(matmul(q, k, { transB: true, alpha: 0.5 }), scalar(3)))).toMatchInlineSnapshot(`
      {
        "after": "q: float32[B,2,S,4] = Input()
      k: float32[B,2,S,4] = Input()
      %0: float32[B,2,S,S] = MatMul(q, k, transB=true, alpha=1.5)
      out <- %0",
        "before": "q: float32[B,2,S,4] = Input()
      k: float32[B,2,S,4] = Input()
      %0: float32[B,2,S,S] = MatMul(q, k, transB=true, alpha=0.5)
      %1: float32[] = Constant() 3
      %2: float32[B,2,S,S] = Mul(%0, %1)
      out <- %2",
      }
    `);
  });
  it('keeps factors that are not constant', async () => {
    await unchanged('foldScale', mul(matmul(q, k, { transB: true }), input('f', 'float32', [])));
  });
});

describe('foldOperandScale', () => {
  const b = weight('b', 'float32', [4]);
  it('makes the constant factor of an operand the α of the product', async () => {
    const halves = mul(x, scalar(0.5));
    const bare = (text: string) => text.split('\n').filter((line) => /MatMul|Gemm/.test(line));
    const product = matmul(mul(q, scalar(0.5)), mul(k, scalar(3)), { transB: true, alpha: 2 });
    expect(bare((await applied('foldOperandScale', product)).after)).toEqual(['%0: float32[B,2,S,S] = MatMul(q, k, transB=true, alpha=3)']);
    // The bias is not scaled.
    const layer = ops.gemm(halves, weight('w', 'float32', [4, 4]), b, { transB: true });
    expect(bare((await applied('foldOperandScale', layer)).after)).toEqual(['%0: float32[B,4] = Gemm(x, w, b, transB=true, alpha=0.5)']);
  });
  it('keeps factors that are not constant, and ones that widen', async () => {
    await unchanged('foldOperandScale', matmul(mul(q, input('f', 'float32', [])), k, { transB: true }));
    await unchanged('foldOperandScale', matmul(mul(weight('v', 'float32', [4, 4]), held([1, 1, 1], 2)), k, { transB: true }));
  });
});

describe('sumOverOutputs', () => {
  const weights = ops.softmax(input('scores', 'float32', ['B', 2, 'S', 'S']));
  const slopes = input('slopes', 'float32', ['B', 2, 'S', 4]);
  const mask = input('mask', 'float32', ['B', 2, 'S', 'S']);
  it('sums over the width of a head, with and without dropout', async () => {
    const slope = matmul(slopes, q, { transB: true });
    const plain = ops.reduceSum(mul(slope, weights), [-1]);
    expect(await applied('sumOverOutputs', plain)).toMatchInlineSnapshot(`
      {
        "after": "slopes: float32[B,2,S,4] = Input()
      scores: float32[B,2,S,S] = Input()
      %0: float32[B,2,S,S] = Softmax(scores)
      q: float32[B,2,S,4] = Input()
      %1: float32[B,2,S,4] = MatMul(%0, q)
      %2: float32[B,2,S,4] = Mul(slopes, %1)
      %3: float32[B,2,S,1] = ReduceSum(%2, axes=-1)
      out <- %3",
        "before": "slopes: float32[B,2,S,4] = Input()
      q: float32[B,2,S,4] = Input()
      %0: float32[B,2,S,S] = MatMul(slopes, q, transB=true)
      scores: float32[B,2,S,S] = Input()
      %1: float32[B,2,S,S] = Softmax(scores)
      %2: float32[B,2,S,S] = Mul(%0, %1)
      %3: float32[B,2,S,1] = ReduceSum(%2, axes=-1)
      out <- %3",
      }
    `);
    const dropped = await applied('sumOverOutputs', ops.reduceSum(mul(weights, mul(slope, mask)), [-1]));
    expect(dropped.after).toMatchInlineSnapshot(`
      "slopes: float32[B,2,S,4] = Input()
      scores: float32[B,2,S,S] = Input()
      %0: float32[B,2,S,S] = Softmax(scores)
      mask: float32[B,2,S,S] = Input()
      %1: float32[B,2,S,S] = Mul(%0, mask)
      q: float32[B,2,S,4] = Input()
      %2: float32[B,2,S,4] = MatMul(%1, q)
      %3: float32[B,2,S,4] = Mul(slopes, %2)
      %4: float32[B,2,S,1] = ReduceSum(%3, axes=-1)
      out <- %4"
    `);
  });
  it('fires in the gradient of an attention, and only there', async () => {
    const out = matmul(mul(ops.softmax(matmul(q, k, { transB: true })), mask), slopes);
    const loss = ops.reshape(ops.reduceSum(mul(out, q), [0, 1, 2, 3]), []);
    const [dq] = gradients(loss, [q]) as [Value];
    const before = { outputs: { loss, dq } };
    const after = rewrite(before, RULES);
    await expectSame(before, after);
    const sums = (program: Program) => print(program).match(/float32\[B,2,S,\w+\] = Mul\(/g) ?? [];
    expect(sums(after).filter((line) => line.includes('S,S')).length).toBe(sums(before).filter((line) => line.includes('S,S')).length - 1);
    await unchanged('sumOverOutputs', ops.reduceSum(mul(q, k), [-1]));
    await unchanged('sumOverOutputs', ops.reduceSum(mul(weights, mask), [-1]));
    await unchanged('sumOverOutputs', ops.reduceSum(mul(weights, matmul(slopes, q, { transB: true })), [-2]));
  });
});

describe('shareErf', () => {
  it('takes a GELU apart only where its derivative is there too, layer upon layer', async () => {
    const inner = ops.gelu(x);
    const out = ops.gelu(add(inner, y));
    const alone = { outputs: { out } };
    expect(shareErf(alone)).toBe(alone);
    const loss = ops.reshape(ops.reduceSum(out, [0, 1]), []);
    const before = { outputs: { loss, dy: gradients(loss, [y])[0] as Value } };
    const after = shareErf(before);
    verify(after);
    await expectSame(before, after);
    // The inner one needs no derivative: only y is asked for.
    expect(print(after).match(/= Gelu/g)).toHaveLength(1);
    expect(print(after).match(/= Erf/g)).toHaveLength(1);
    const both = { outputs: { loss, dx: gradients(loss, [x])[0] as Value } };
    await expectSame(both, shareErf(both));
    expect(print(shareErf(both))).not.toContain('Gelu');
    expect(print(shareErf(both)).match(/= Erf/g)).toHaveLength(2);
  });
});

describe('rewriting', () => {
  it('shares equal nodes, equal small constants and equal inputs', async () => {
    const out = add(ops.tanh(mul(x, scalar(2))), mul(ops.tanh(mul(x, scalar(2))), ops.tanh(mul(x, scalar(3)))));
    const after = rewrite({ outputs: { out } }, []);
    verify(after);
    await expectSame({ outputs: { out } }, after);
    expect(print(after).match(/Tanh/g)).toHaveLength(2);
    expect(print(after).match(/Constant/g)).toHaveLength(2);
  });

  it('tells 0 from −0, and attributes apart', () => {
    const after = rewrite(
      { outputs: { a: div(x, scalar(0)), b: div(x, scalar(-0)), c: ops.reduceSum(x, [0]), d: ops.reduceSum(x, [1]) } },
      [],
    );
    expect(print(after).match(/Constant/g)).toHaveLength(2);
    expect(print(after).match(/ReduceSum/g)).toHaveLength(2);
  });

  it('keeps a whole training program the same', async () => {
    const w = input('w', 'float32', [4, 4]);
    const b = weight('b', 'float32', [4]);
    const h = ops.layerNorm(add(x, ops.gelu(ops.gemm(x, w, b, { transB: true }))), b, b, 1e-5);
    const scores = ops.softmax(mul(matmul(h, ops.transpose(h, [1, 0])), scalar(0.5)));
    const loss = ops.reshape(ops.reduceMean(ops.logSoftmax(matmul(scores, div(h, scalar(3)))), [0, 1]), []);
    const [dw, dx] = gradients(loss, [w, x]) as [Value, Value];
    const before = { outputs: { loss, dw, dx } };
    const after = optimize(before);
    verify(before);
    verify(after);
    await expectSame(before, after);
    expect(partsOf(after).nodes.length).toBeLessThan(partsOf(before).nodes.length);
    // The one left is the gradient's own: a transposed product is no rule yet.
    expect(print(before).match(/Transpose/g)).toHaveLength(2);
    expect(print(after).match(/Transpose/g)).toHaveLength(1);
  });

  it('has a test above for every rule', () => {
    expect([...tested].sort()).toEqual(RULES.map((one) => one.name).sort());
    expect(RULES.length).toBe(10);
  });
});
