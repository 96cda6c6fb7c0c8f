import { fail } from '../../base/index.ts';
import { broadcastShapes } from '../dim.ts';
import { broadcastMap, erf as erfOf, nd } from '../nd.ts';
import { apply1, type GradientRule, type Op, requireDtype, scalar, type Value } from '../value.ts';

/** Element-wise operators. Those of several operands broadcast as NumPy does. */

function unary(name: string, kernel: (x: number) => number, gradient: (x: Value, y: Value, dy: Value) => Value): Op<[Value]> {
  return {
    name,
    infer: ([x]) => {
      requireDtype(name, x, 'float32');
      return [{ dtype: 'float32', shape: x.shape }];
    },
    gradient: ({ inputs: [x], outputs: [y] }, [dy]) => [gradient(x, y, dy)],
    reference: ([x], _, [shape]) => [nd(shape, x.data.map(kernel))],
  };
}

type Two = [Value, Value];

function binary(
  name: string,
  kernel: (a: number, b: number) => number,
  gradient: GradientRule<Two> | { readonly none: string },
  boolean = false,
): Op<Two> {
  return {
    name,
    infer: ([left, right]) => {
      if (left.dtype !== right.dtype)
        fail({ code: 'graph.dtype', subject: name, found: `${left.dtype} and ${right.dtype}`, expected: 'one element type' });
      // Integers are rounded by a division, and the rewrites that turn divisions into products would change them.
      if (name === 'Div') requireDtype(name, left, 'float32');
      return [{ dtype: boolean ? 'bool' : left.dtype, shape: broadcastShapes(name, left.shape, right.shape) }];
    },
    gradient,
    reference: (inputs, _, [shape]) => [broadcastMap(shape, inputs, kernel)],
  };
}

const STEP = { none: 'a comparison is constant almost everywhere' };

export const ADD = binary(
  'Add',
  (a, b) => a + b,
  (_, [dy]) => [dy, dy],
);
export const SUB = binary(
  'Sub',
  (a, b) => a - b,
  (_, [dy]) => [dy, neg(dy)],
);
export const MUL = binary(
  'Mul',
  (a, b) => a * b,
  ({ inputs: [a, b] }, [dy]) => [mul(dy, b), mul(dy, a)],
);
export const DIV = binary(
  'Div',
  (a, b) => a / b,
  ({ inputs: [, b], outputs: [y] }, [dy]) => {
    const da = div(dy, b);
    return [da, neg(mul(da, y))];
  },
);
/** Ties send the gradient to the first operand. */
export const MAX = binary('Max', Math.max, ({ inputs: [a, b] }, [dy]) => {
  const second = cast(greater(b, a), 'float32');
  return [mul(dy, sub(scalar(1), second)), mul(dy, second)];
});
export const MIN = binary('Min', Math.min, ({ inputs: [a, b] }, [dy]) => {
  const second = cast(less(b, a), 'float32');
  return [mul(dy, sub(scalar(1), second)), mul(dy, second)];
});
export const EQUAL = binary('Equal', (a, b) => Number(a === b), STEP, true);
export const LESS = binary('Less', (a, b) => Number(a < b), STEP, true);
export const GREATER = binary('Greater', (a, b) => Number(a > b), STEP, true);

export const NEG = unary(
  'Neg',
  (x) => -x,
  (_x, _y, dy) => neg(dy),
);
export const EXP = unary('Exp', Math.exp, (_x, y, dy) => mul(dy, y));
export const SIN: Op<[Value]> = unary('Sin', Math.sin, (x, _y, dy) => mul(dy, cos(x)));
export const COS: Op<[Value]> = unary('Cos', Math.cos, (x, _y, dy) => neg(mul(dy, sin(x))));
export const LOG = unary('Log', Math.log, (x, _y, dy) => div(dy, x));
export const SQRT = unary('Sqrt', Math.sqrt, (_x, y, dy) => div(mul(dy, scalar(0.5)), y));
export const TANH = unary('Tanh', Math.tanh, (_x, y, dy) => mul(dy, sub(scalar(1), mul(y, y))));
export const SIGMOID = unary(
  'Sigmoid',
  (x) => 1 / (1 + Math.exp(-x)),
  (_x, y, dy) => mul(dy, mul(y, sub(scalar(1), y))),
);
export const RELU = unary(
  'Relu',
  (x) => Math.max(x, 0),
  (_x, y, dy) => mul(dy, cast(greater(y, scalar(0)), 'float32')),
);
export const SOFTPLUS = unary(
  'Softplus',
  (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
  (x, _y, dy) => mul(dy, sigmoid(x)),
);
export const ERF = unary('Erf', erfOf, (x, _y, dy) => mul(dy, mul(scalar(2 / Math.sqrt(Math.PI)), exp(neg(mul(x, x))))));

/** x·Φ(x) (Hendrycks & Gimpel 2016, exact form); derivative Φ(x) + x·φ(x), φ and Φ those of the normal distribution. */
export const GELU: Op<[Value]> = {
  ...unary(
    'Gelu',
    (x) => 0.5 * x * (1 + erfOf(x * Math.SQRT1_2)),
    (x, _y, dy) => mul(mul(dy, scalar(0.5)), doubledGeluDerivative(x)),
  ),
  domain: 'com.microsoft',
};

/** With u = x/√2: 1 + erf(u) + u·exp(ln(2/√π) − u²), the fewest passes over the data that we found. */
function doubledGeluDerivative(x: Value): Value {
  const u = mul(x, scalar(Math.SQRT1_2));
  const density = exp(sub(scalar(Math.log(2 / Math.sqrt(Math.PI))), mul(u, u)));
  return add(add(erf(u), scalar(1)), mul(u, density));
}

/** Picks from the second operand where the first (bool) holds, else from the third. */
export const WHERE: Op<[Value, Value, Value]> = {
  name: 'Where',
  infer: ([condition, a, b]) => {
    requireDtype('Where', condition, 'bool');
    if (a.dtype !== b.dtype)
      fail({ code: 'graph.dtype', subject: 'Where', found: `${a.dtype} and ${b.dtype}`, expected: 'one element type' });
    const shape = broadcastShapes('Where', condition.shape, broadcastShapes('Where', a.shape, b.shape));
    return [{ dtype: a.dtype, shape }];
  },
  gradient: ({ inputs: [condition] }, [dy]) => {
    const zero = scalar(0);
    return [undefined, where(condition, dy, zero), where(condition, zero, dy)];
  },
  reference: (inputs, _, [shape]) => [broadcastMap(shape, inputs, (c, a, b) => (c ? a : b) as number)],
};

export const CAST: Op<[Value], { readonly to: 'float32' | 'int32' | 'int64' | 'bool' }> = {
  name: 'Cast',
  infer: ([x], { to }) => [{ dtype: to, shape: x.shape }],
  gradient: { none: 'casts here are between conditions, indices and numbers, which are not differentiable' },
  reference: ([x], { to }, [shape]) => [
    nd(
      shape,
      x.data.map((v) => (to === 'bool' ? Number(v !== 0) : to === 'float32' ? v : Math.trunc(v))),
    ),
  ],
};

export const add = (a: Value, b: Value) => apply1(ADD, [a, b]);
export const sub = (a: Value, b: Value) => apply1(SUB, [a, b]);
export const mul = (a: Value, b: Value) => apply1(MUL, [a, b]);
export const div = (a: Value, b: Value) => apply1(DIV, [a, b]);
export const max = (a: Value, b: Value) => apply1(MAX, [a, b]);
export const min = (a: Value, b: Value) => apply1(MIN, [a, b]);
export const equal = (a: Value, b: Value) => apply1(EQUAL, [a, b]);
export const less = (a: Value, b: Value) => apply1(LESS, [a, b]);
export const greater = (a: Value, b: Value) => apply1(GREATER, [a, b]);
export const neg = (x: Value) => apply1(NEG, [x]);
export const exp = (x: Value) => apply1(EXP, [x]);
export const sin = (x: Value) => apply1(SIN, [x]);
export const cos = (x: Value) => apply1(COS, [x]);
export const log = (x: Value) => apply1(LOG, [x]);
export const sqrt = (x: Value) => apply1(SQRT, [x]);
export const tanh = (x: Value) => apply1(TANH, [x]);
export const sigmoid = (x: Value) => apply1(SIGMOID, [x]);
export const relu = (x: Value) => apply1(RELU, [x]);
export const softplus = (x: Value) => apply1(SOFTPLUS, [x]);
export const erf = (x: Value) => apply1(ERF, [x]);
export const gelu = (x: Value) => apply1(GELU, [x]);
export const where = (condition: Value, a: Value, b: Value) => apply1(WHERE, [condition, a, b]);
export const cast = (x: Value, to: 'float32' | 'int32' | 'int64' | 'bool') => (x.dtype === to ? x : apply1(CAST, [x], { to }));

export const ELEMENTWISE = [
  ADD,
  SUB,
  MUL,
  DIV,
  MAX,
  MIN,
  EQUAL,
  LESS,
  GREATER,
  NEG,
  EXP,
  SIN,
  COS,
  LOG,
  SQRT,
  TANH,
  SIGMOID,
  RELU,
  SOFTPLUS,
  ERF,
  GELU,
  WHERE,
  CAST,
];
