import { describe, expect, it } from 'vitest';
import { createRandom, elementCount, float32, int32, type Tensor } from '../base/index.ts';
import { referenceEngine } from '../session/reference.ts';
import { forEach, type ModuleAxis } from './for-each.ts';
import {
  add,
  concat,
  type Dim,
  expand,
  gather,
  gemm,
  greater,
  input,
  layerNorm,
  logSoftmax,
  matmul,
  mul,
  pick,
  reduceMean,
  reduceSum,
  reshape,
  scalar,
  scatterRows,
  slice,
  softmax,
  sub,
  tanh,
  transpose,
  type Value,
  where,
} from './index.ts';

const ITEMS = 3;
const random = createRandom(4);
const numbers = (shape: readonly number[]): Tensor =>
  float32(
    shape,
    Array.from({ length: elementCount(shape) }, () => random.normal()),
  );

/** x and m differ among items, m by module; c is the same for all. i are indices that differ. */
const SHAPES = { x: [4, 6], m: [6], c: [6] } as const;
const values = {
  x: numbers([ITEMS, 4, 6]),
  m: numbers([2, 6]),
  c: numbers([6]),
  i: int32([ITEMS, 2], [0, 3, 1, 1, 2, 0]),
  same: int32([2], [3, 1]),
};
const MODULES = [1, 0, 1];
const part = ({ dtype, shape, data }: Tensor, item: number): Tensor => {
  const own = shape.slice(1);
  const size = elementCount(own);
  return { dtype, shape: own, data: data.slice(item * size, (item + 1) * size) } as Tensor;
};

type Given = Readonly<Record<'x' | 'm' | 'c' | 'i' | 'same', Value>>;

const DRAWINGS: readonly [string, (given: Given) => Value][] = [
  ['element-wise, of several ranks', ({ x, m, c }) => where(greater(x, m), mul(sub(x, c), m), tanh(c))],
  ['a module and what is the same', ({ m, c }) => tanh(add(m, c))],
  ['broadcasting to more axes', ({ x, m }) => add(reshape(x, [2, 1, 2, 6]), reshape(m, [6]))],
  ['products', ({ x, m, c }) => matmul(matmul(x, reshape(m, [1, 6]), { transB: true, alpha: 2 }), reshape(c, [1, 6]))],
  ['products of what has more axes', ({ x, m }) => matmul(reshape(x, [2, 2, 6]), reshape(m, [6, 1]))],
  ['a linear of its own', ({ x, m }) => gemm(x, expand(m, [5, 6]), expand(reshape(slice(m, 0, 0, 1), []), [5]), { transB: true })],
  ['a linear of all', ({ x, c }) => gemm(x, expand(c, [5, 6]), expand(scalar(3), [5]), { transB: true })],
  ['a linear of its own over what is the same', ({ m, c }) => gemm(expand(c, [2, 6]), reshape(m, [1, 6]), scalarRow(), { transB: true })],
  ['norms of all', ({ x, c }) => layerNorm(x, c, c, 1e-5)],
  ['norms of its own', ({ x, m, c }) => layerNorm(x, m, c, 1e-5)],
  ['norms of its own over what is the same', ({ m, c }) => layerNorm(c, m, m, 1e-5)],
  ['softmax', ({ x, m }) => mul(softmax(x), logSoftmax(m))],
  [
    'reductions from either end',
    ({ x }) =>
      concat(
        [reduceSum(x, [0]), reduceMean(reshape(x, [2, 2, 6]), [-2, 0]), reduceSum(x, [-2])].map((y) => reshape(y, [6])),
        0,
      ),
  ],
  ['shapes', ({ x, c }) => concat([transpose(x, [1, 0]), expand(reshape(c, [6, 1]), [6, 2])], 1)],
  ['slices', ({ x, m }) => mul(slice(x, 0, 1, 3), expand(reshape(slice(m, 0, 2, 3), [1, 1]), [2, 6]))],
  ['rows by the same indices', ({ x, same }) => gather(x, same)],
  ['the same rows by indices of its own', ({ c, i }) => gather(c, i)],
  ['sums at indices of its own', ({ m, i }) => scatterRows(slice(m, 0, 0, 2), i, [5])],
  ['sums of the same at indices of its own', ({ c, i }) => scatterRows(slice(c, 0, 0, 2), i, [5])],
  ['elements of its own by indices of its own', ({ x, i }) => gather(reshape(slice(x, 1, 0, 1), [4]), i)],
];

function scalarRow(): Value {
  return expand(scalar(1), [1]);
}

const leaves = () => ({
  x: input('x', 'float32', SHAPES.x),
  m: input('m', 'float32', SHAPES.m),
  c: input('c', 'float32', SHAPES.c),
  i: input('i', 'int32', [2]),
  same: input('same', 'int32', [2]),
});

async function run(output: Value, feeds: Readonly<Record<string, Tensor>>): Promise<Tensor> {
  const session = await referenceEngine().compile({ outputs: { output } }, new Map());
  return (await session.run(feeds)).output as Tensor;
}

describe('a drawing for one item, computed for many', () => {
  it.each(DRAWINGS)('%s', async (_, draw) => {
    const one = leaves();
    const items: Dim = 'N';
    const [x, m, i] = [input('all x', 'float32', [items, 4, 6]), input('all m', 'float32', ['M', 6]), input('all i', 'int32', [items, 2])];
    const modules = input('modules', 'int32', [items]);
    const axis: ModuleAxis = { toItems: (value) => gather(value, modules) };
    const leaf = new Map([
      [one.x, { value: x }],
      [one.m, { value: m, axis }],
      [one.i, { value: i }],
    ]);
    const [output] = forEach([draw(one)], items, (value) => leaf.get(value)) as [Value];
    const { c, same } = values;
    const fed = { 'all x': values.x, 'all m': values.m, 'all i': values.i, modules: int32([ITEMS], MODULES), c, same };
    const found = await run(output, fed);
    for (let item = 0; item < ITEMS; item++) {
      const own = { x: part(values.x, item), m: part(values.m, MODULES[item] as number), i: part(values.i, item), c, same };
      const alone = await run(draw(one), own);
      expect(part(found, item).shape).toEqual(alone.shape);
      for (const [at, number] of part(found, item).data.entries()) expect(number).toBeCloseTo(Number(alone.data[at]), 12);
    }
  });

  it('gives as many of what differs in nothing', () => {
    const { c } = leaves();
    expect(forEach([tanh(c)], 'N', () => undefined)[0]?.shape).toEqual(['N', 6]);
  });

  it('computes what depends on modules alone once for each of them', () => {
    const one = leaves();
    const modules = input('modules', 'int32', ['N']);
    const seen: Value[] = [];
    const axis: ModuleAxis = {
      toItems(value) {
        seen.push(value);
        return gather(value, modules);
      },
    };
    const m = input('all m', 'float32', ['M', 6]);
    const [output] = forEach([add(one.x, tanh(mul(one.m, one.c)))], 'N', (value) =>
      value === one.m ? { value: m, axis } : value === one.x ? { value: input('all x', 'float32', ['N', 4, 6]) } : undefined,
    ) as [Value];
    expect(output.shape).toEqual(['N', 4, 6]);
    expect(seen.map(({ node, shape }) => [node.op.name, shape])).toEqual([['Tanh', ['M', 6]]]);
  });

  it('takes what each item has by the shorter way where there is one', () => {
    const one = leaves();
    const [m, short] = [input('all m', 'float32', ['M', 6]), input('short', 'float32', ['N', 6])];
    const axis: ModuleAxis = { toItems: () => expect.unreachable() };
    const leaf = (value: Value) =>
      value === one.m ? { value: m, axis, ofItems: () => short } : value === one.x ? { value: x } : undefined;
    const x = input('all x', 'float32', ['N', 4, 6]);
    const [output] = forEach([add(one.x, one.m)], 'N', leaf) as [Value];
    expect(output.node.inputs[1]?.node.inputs[0]).toBe(short);
  });

  it('refuses operators that cannot be computed so', () => {
    const one = leaves();
    const leaf = (value: Value) => (value === one.x ? { value: input('all x', 'float32', ['N', 4, 6]) } : undefined);
    expect(() => forEach([pick(one.x, input('places', 'int32', [4]))], 'N', leaf)).toThrow(
      'GatherElements for many items at once: found values that differ',
    );
  });
});
