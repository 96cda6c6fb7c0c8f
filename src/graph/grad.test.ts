import { describe, expect, it } from 'vitest';
import { float32, int32, type Tensor } from '../base/tensor.ts';
import { referenceEngine } from '../session/reference.ts';
import { broadcastShapes } from './dim.ts';
import { gradients } from './grad.ts';
import { add, cast, gather, gemm, greater, layerNorm, mul, reduceSum, relu, reshape, tanh } from './ops/index.ts';
import { apply1, input, type Op, scalar, topological, type Value, weight } from './value.ts';

const x = input('x', 'float32', [3]);
const FEED = { x: float32([3], [1, -2, 3]) };

async function run(outputs: Record<string, Value>, feeds: Record<string, Tensor>): Promise<Record<string, number[]>> {
  const results = await (await referenceEngine().compile({ outputs }, new Map())).run(feeds);
  return Object.fromEntries(Object.entries(results).map(([name, { data }]) => [name, Array.from(data, Number)]));
}

const total = (value: Value) =>
  reshape(
    reduceSum(
      value,
      value.shape.map((_, axis) => axis),
    ),
    [],
  );

describe('gradients', () => {
  it('add up over all uses of a value', async () => {
    const [dx] = gradients(total(add(add(mul(x, x), x), mul(x, scalar(3)))), [x]) as [Value];
    expect(await run({ dx }, FEED)).toEqual({ dx: [6, 0, 10] });
  });

  it('reach values in the middle and the values below them', async () => {
    const h = mul(x, x);
    const loss = total(mul(h, scalar(2)));
    const [dh, dx, dLoss] = gradients(loss, [h, x, loss]) as [Value, Value, Value];
    expect(await run({ dh, dx, dLoss }, FEED)).toEqual({ dh: [2, 2, 2], dx: [4, -8, 12], dLoss: [1] });
  });

  it('have the shape of what they are gradients of', async () => {
    const s = input('s', 'float32', []);
    const row = input('row', 'float32', [1, 4]);
    const wide = input('wide', 'float32', ['B', 4]);
    const loss = total(add(mul(wide, row), s));
    const drawn = gradients(loss, [s, row, wide]);
    expect(drawn.map((gradient) => gradient.shape)).toEqual([[], [1, 4], ['B', 4]]);
  });

  it('settle what a rule leaves as its operator broadcast it, or as narrow as it came', async () => {
    const sum: Op = {
      name: 'Sum',
      infer: ([a, b]) => [{ dtype: 'float32', shape: broadcastShapes('Sum', (a as Value).shape, (b as Value).shape) }],
      gradient: (_, [dy]) => [dy, dy],
      reference: () => [],
    };
    const total: Op = {
      name: 'Total',
      infer: () => [{ dtype: 'float32', shape: [] }],
      gradient: (_, [dy]) => [reshape(dy as Value, [1])],
      reference: () => [],
    };
    const row = input('row', 'float32', [1, 3]);
    const wide = input('wide', 'float32', ['B', 3]);
    const loss = apply1(total, [apply1(sum, [apply1(sum, [wide, x]), row])]);
    const [dWide, dx, dRow] = gradients(loss, [wide, x, row]) as [Value, Value, Value];
    expect([dWide, dx, dRow].map(({ shape }) => shape)).toEqual([['B', 3], [3], [1, 3]]);
    const like = reduceSum(mul(wide, scalar(0)), [0]);
    const drawn = { dWide: add(dWide, like), dx: add(dx, reshape(like, [3])), dRow: add(dRow, like) };
    const feeds = { wide: float32([2, 3], [1, 2, 3, 4, 5, 6]) };
    expect(await run(drawn, feeds)).toEqual({ dWide: [1, 1, 1, 1, 1, 1], dx: [2, 2, 2], dRow: [2, 2, 2] });
  });

  it('stop at conditions, and pass where both ways are open', async () => {
    const gate = cast(greater(x, scalar(0)), 'float32');
    const [dx] = gradients(total(mul(gate, x)), [x]) as [Value];
    expect(await run({ dx }, FEED)).toEqual({ dx: [1, 0, 1] });
  });

  it('draw nothing below the lowest trainable value', () => {
    const layers = (frozen: number, trained: number) => {
      const parameters: Value[] = [];
      let h: Value = input('x', 'float32', ['B', 8]);
      for (let i = 0; i < frozen + trained; i++) {
        const make = i < frozen ? weight : input;
        const [w, b] = [make(`w${i}`, 'float32', [8, 8]), make(`b${i}`, 'float32', [8])];
        if (i >= frozen) parameters.push(w, b);
        h = layerNorm(relu(gemm(h, w, b, { transB: true })), b, b, 1e-5);
      }
      const loss = total(h);
      const forward = topological([loss]);
      return { forward, all: topological(gradients(loss, parameters)), parameters };
    };
    const [few, many] = [layers(1, 2), layers(9, 2)];
    const backward = ({ forward, all }: typeof few) => all.length - all.filter((node) => forward.includes(node)).length;
    expect(backward(many)).toBe(backward(few));
    expect(backward(few)).toBeGreaterThan(10);
    // Of a frozen weight only the forward pass may know.
    const users = many.all.filter((node) => node.inputs.some((value) => value.node.attributes.name === 'w3'));
    expect(users.map((node) => node.op.name)).toEqual(['Gemm']);
  });

  it('of an integer path are none, but tables behind indices have them', async () => {
    const ids = input('ids', 'int32', [2]);
    const table = input('table', 'float32', [3, 1]);
    const loss = total(gather(table, ids));
    const [dTable] = gradients(loss, [table]) as [Value];
    expect(await run({ dTable }, { ids: int32([2], [2, 2]), table: float32([3, 1], [1, 2, 3]) })).toEqual({ dTable: [0, 0, 2] });
    expect(() => gradients(loss, [ids])).toThrow(
      "a value of shape [2] ('ids'): found no path to the loss; expected a loss that depends on it.",
    );
  });
});

describe('gradients are refused', () => {
  const code = (action: () => unknown) => {
    try {
      action();
    } catch (error) {
      return (error as { code?: string }).code;
    }
    return undefined;
  };

  it('for a loss that is no scalar', () => {
    expect(() => gradients(x, [x])).toThrow('the loss: found shape [3]; expected a scalar.');
  });

  it('where no path leads', () => {
    const other = input('other', 'float32', [2]);
    expect(() => gradients(total(tanh(x)), [other])).toThrow("a value of shape [2] ('other'): found no path to the loss");
    expect(() => gradients(total(cast(greater(x, scalar(0)), 'float32')), [x])).toThrow('found no path to the loss');
  });

  it('through an operator without one, whose reason is given', () => {
    const round: Op = {
      name: 'Round',
      infer: ([value]) => [{ dtype: 'float32', shape: (value as Value).shape }],
      gradient: { none: 'Rounding is constant almost everywhere.' },
      reference: () => [],
    };
    const loss = total(apply1(round, [x]));
    expect(() => gradients(loss, [x])).toThrow(
      'Round: found no gradient; expected a differentiable operator. Rounding is constant almost everywhere.',
    );
    expect(code(() => gradients(loss, [x]))).toBe('graph.gradient');
  });

  it('twice through a layer norm, whose statistics have none', () => {
    const loss = total(mul(layerNorm(x, x, x, 1e-5), x));
    const [dx] = gradients(loss, [x]) as [Value];
    expect(code(() => gradients(total(mul(dx, dx)), [x]))).toBe('graph.gradient');
  });
});
