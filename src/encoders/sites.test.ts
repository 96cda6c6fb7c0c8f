import { expect, it } from 'vitest';
import { nodeFiles } from '../base/files-node.ts';
import { float32, int32, type Tensor } from '../base/tensor.ts';
import { add, layerNorm, mul, scalar } from '../graph/index.ts';
import { noDropout, parameters } from '../nn/index.ts';
import { referenceEngine } from '../session/reference.ts';
import { drawEncoder, type Graft, loadEncoder } from './index.ts';

const encoder = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');
const SHAPE = [2, 4];
const FEEDS = {
  inputIds: int32(SHAPE, [2, 9, 8, 3, 2, 7, 3, 0]),
  tokenTypeIds: int32(SHAPE, new Int32Array(8)),
  attentionMask: float32(SHAPE, [1, 1, 1, 1, 1, 1, 1, 0]),
};

async function encode(graft: Graft, read: 'all' | 'first' = 'all'): Promise<{ output: number[]; states: number[][] }> {
  const options = { ...encoder, parameters: parameters(() => false), dropout: noDropout, graft, read };
  const { output, hiddenStates } = drawEncoder(options);
  const outputs = { output, ...Object.fromEntries(hiddenStates.map((state, i) => [`state ${i}`, state])) };
  const results = await (await referenceEngine().compile({ outputs }, encoder.weights)).run(FEEDS);
  const numbers = (value: Tensor | undefined) => Array.from(value?.data as Float64Array);
  return { output: numbers(results.output), states: hiddenStates.map((_, i) => numbers(results[`state ${i}`])) };
}

it('every site is called in the order of the computation, and may leave all as it is', async () => {
  const calls: string[] = [];
  const called = <T>(name: string, value: T): T => {
    calls.push(name);
    return value;
  };
  const graft: Graft = {
    embeddings: ({ x, length }) => called(`embeddings ${length}`, x),
    linear: ({ name, layer, y, length }) => called(`${layer} ${name} ${length}`, y),
    scores: ({ layer, scores }) => called(`${layer} scores ${scores.shape}`, scores),
    addNorm: ({ place, layer, h, x, gain, bias, epsilon }) => called(`${layer} norm ${place}`, layerNorm(add(h, x), gain, bias, epsilon)),
    layer: ({ layer, h, x }) => called(`${layer} layer ${x.shape} ${h.shape}`, h),
    output: ({ x, length }) => called(`output ${length}`, x),
  };
  const plain = await encode({}, 'first');
  expect(await encode(graft, 'first')).toEqual(plain);
  const layer = (i: number, length: 'S' | 1) => [
    `${i} query ${length}`,
    `${i} key S`,
    `${i} value S`,
    `${i} scores B,4,${length},S`,
    `${i} attentionOutput ${length}`,
    `${i} norm attention`,
    `${i} intermediate ${length}`,
    `${i} output ${length}`,
    `${i} norm output`,
    `${i} layer B*S,32 ${length === 1 ? 'B' : 'B*S'},32`,
  ];
  expect(calls).toEqual(['embeddings S', ...layer(0, 'S'), ...layer(1, 'S'), ...layer(2, 1), 'output 1']);
});

it('what a site returns is what is read next', async () => {
  const plain = await encode({});
  const double = (values: number[] | undefined) => values?.map((x) => 2 * x);
  const two = scalar(2);
  const embedded = await encode({ embeddings: ({ x }) => mul(x, two) });
  expect(embedded.states[0]).toEqual(double(plain.states[0]));
  expect(embedded.states[1]).not.toEqual(plain.states[1]);
  const layered = await encode({ layer: ({ layer, h }) => (layer === 1 ? mul(h, two) : h) });
  expect(layered.states.slice(0, 2)).toEqual(plain.states.slice(0, 2));
  expect(layered.states[2]).toEqual(double(plain.states[2]));
  expect(layered.states[3]).not.toEqual(plain.states[3]);
  const ended = await encode({ output: ({ x }) => mul(x, two) });
  expect(ended.states).toEqual(plain.states);
  expect(ended.output).toEqual(double(plain.output));
  const scored = await encode({ scores: ({ layer, scores }) => (layer === 2 ? mul(scores, two) : scores) });
  expect(scored.states.slice(0, 3)).toEqual(plain.states.slice(0, 3));
  expect(scored.states[3]).not.toEqual(plain.states[3]);
});
