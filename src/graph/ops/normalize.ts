import { fail } from '../../base/index.ts';
import type { Dim } from '../dim.ts';
import { nd } from '../nd.ts';
import { apply1, type Nd, type Op, requireShape, type Value } from '../value.ts';
import { exp, mul, sub } from './elementwise.ts';
import { reduceMean, reduceSum } from './reduce.ts';

/** Operators that normalise along the last axis. */

function lastAxis(x: Nd, f: (row: Float64Array) => ArrayLike<number>): Nd {
  const width = x.shape.at(-1) as number;
  const out = nd(x.shape);
  for (let start = 0; start < x.data.length; start += width) out.data.set(f(x.data.subarray(start, start + width)), start);
  return out;
}

export const SOFTMAX: Op<[Value]> = {
  name: 'Softmax',
  infer: ([x]) => [{ dtype: 'float32', shape: x.shape }],
  gradient: ({ outputs: [y] }, [dy]) => {
    const inner = reduceSum(mul(dy, y), [-1]);
    return [mul(y, sub(dy, inner))];
  },
  reference: ([x]) => [
    lastAxis(x, (row) => {
      const top = Math.max(...row);
      const powers = row.map((v) => Math.exp(v - top));
      const total = powers.reduce((a, b) => a + b, 0);
      return powers.map((v) => v / total);
    }),
  ],
  emit: ({ inputs: [x], outputs: [y] }, emitter) => emitter.node('Softmax', [emitter.name(x)], [emitter.name(y)], { axis: -1 }),
};

export const LOG_SOFTMAX: Op<[Value]> = {
  name: 'LogSoftmax',
  infer: ([x]) => [{ dtype: 'float32', shape: x.shape }],
  gradient: ({ outputs: [y] }, [dy]) => [sub(dy, mul(exp(y), reduceSum(dy, [-1])))],
  reference: ([x]) => [
    lastAxis(x, (row) => {
      const top = Math.max(...row);
      const total = Math.log(row.reduce((sum, v) => sum + Math.exp(v - top), 0)) + top;
      return row.map((v) => v - total);
    }),
  ],
  emit: ({ inputs: [x], outputs: [y] }, emitter) => emitter.node('LogSoftmax', [emitter.name(x)], [emitter.name(y)], { axis: -1 }),
};

/**
 * Layer normalisation (Ba et al. 2016) over the last axis: x [..., d], gain [d], bias [d] → y, mean [..., 1], 1/σ [..., 1].
 * ONNX Runtime hands out the last two, so the backward pass recomputes nothing.
 */
export const LAYER_NORM: Op<[Value, Value, Value], { readonly epsilon: number }> = {
  name: 'LayerNormalization',
  infer: (inputs) => {
    const [x, gain, bias] = inputs;
    const width = x.shape.at(-1) as Dim;
    requireShape(
      gain.shape.length === 1 && gain.shape[0] === width && bias.shape.length === 1 && bias.shape[0] === width,
      'LayerNormalization',
      inputs,
      `gain and bias of [${width}]`,
    );
    const statistics = { dtype: 'float32', shape: [...x.shape.slice(0, -1), 1] } as const;
    return [{ dtype: 'float32', shape: x.shape }, statistics, statistics];
  },
  gradient: ({ inputs: [x, gain], outputs }, [dy, ...ofStatistics]) => {
    if (ofStatistics.some((gradient) => gradient !== undefined))
      fail({ code: 'graph.gradient', subject: 'LayerNormalization', found: 'a second derivative', expected: 'first derivatives only' });
    const [, mean, inverse] = outputs as readonly [Value, Value, Value];
    const normalised = mul(sub(x, mean), inverse);
    const scaled = mul(dy, gain);
    const projected = sub(sub(scaled, reduceMean(scaled, [-1])), mul(normalised, reduceMean(mul(scaled, normalised), [-1])));
    return [mul(projected, inverse), mul(dy, normalised), dy];
  },
  reference: ([x, gain, bias], { epsilon }) => {
    const width = x.shape.at(-1) as number;
    const statistics = [...x.shape.slice(0, -1), 1];
    const [mean, inverse] = [nd(statistics), nd(statistics)];
    let row = 0;
    const y = lastAxis(x, (values) => {
      const m = values.reduce((a, b) => a + b, 0) / width;
      const s = 1 / Math.sqrt(values.reduce((sum, v) => sum + (v - m) ** 2, 0) / width + epsilon);
      mean.data[row] = m;
      inverse.data[row++] = s;
      return values.map((v, i) => (v - m) * s * (gain.data[i] as number) + (bias.data[i] as number));
    });
    return [y, mean, inverse];
  },
  emit: ({ inputs, outputs, attributes }, emitter) =>
    emitter.node(
      'LayerNormalization',
      inputs.map((value) => emitter.name(value)),
      outputs.map((value) => emitter.name(value)),
      { axis: -1, epsilon: attributes.epsilon },
    ),
};

export const softmax = (x: Value) => apply1(SOFTMAX, [x]);
export const logSoftmax = (x: Value) => apply1(LOG_SOFTMAX, [x]);
export const layerNorm = (x: Value, gain: Value, bias: Value, epsilon: number) => apply1(LAYER_NORM, [x, gain, bias], { epsilon });

export const NORMALIZERS = [SOFTMAX, LOG_SOFTMAX, LAYER_NORM];
