import { expect, it } from 'vitest';
import { nodeFiles } from '../base/files-node.ts';
import { float32, int32, type Tensor } from '../base/tensor.ts';
import { addDims, concat, expand, mul, multiplyDims, reshape, scalar, slice } from '../graph/index.ts';
import { noDropout, parameters } from '../nn/index.ts';
import { referenceEngine } from '../session/reference.ts';
import { drawEncoder, type Hooks, loadEncoder } from './index.ts';

const encoder = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');
const SHAPE = [2, 4];
const FEEDS = {
  inputIds: int32(SHAPE, [2, 9, 8, 3, 2, 7, 3, 0]),
  tokenTypeIds: int32(SHAPE, new Int32Array(8)),
  attentionMask: float32(SHAPE, [1, 1, 1, 1, 1, 1, 1, 0]),
};

async function encode(hooks: Hooks, read: 'all' | 'first' = 'all'): Promise<{ output: number[]; first: number[]; states: number[][] }> {
  const options = { ...encoder, parameters: parameters(() => false), dropout: noDropout, hooks, read };
  const { output, first, hiddenStates } = drawEncoder(options);
  const outputs = { output, first, ...Object.fromEntries(hiddenStates.map((state, i) => [`state ${i}`, state])) };
  const results = await (await referenceEngine().compile({ outputs }, encoder.weights)).run(FEEDS);
  const numbers = (value: Tensor | undefined) => Array.from(value?.data as Float64Array);
  return {
    output: numbers(results.output),
    first: numbers(results.first),
    states: hiddenStates.map((_, i) => numbers(results[`state ${i}`])),
  };
}

it('every site is called in the order of the computation, and may leave all as it is', async () => {
  const calls: string[] = [];
  const called = <T>(name: string, value: T): T => {
    calls.push(name);
    return value;
  };
  const hooks: Hooks = {
    embedded: (site) => called(`embedded ${site.x.shape} ${site.mask.shape}`, site),
    input: ({ x, length }) => called(`input ${length}`, x),
    linear: ({ name, layer, y, length, weight, bias }) => called(`${layer} ${name} ${length} [${weight.shape}] [${bias?.shape}]`, y),
    attention: ({ layer, key, value, mask }) => called(`${layer} attention ${key.shape} ${mask.shape}`, { key, value, mask }),
    scores: ({ layer, scores }) => called(`${layer} scores ${scores.shape}`, scores),
    residual: ({ place, layer, h, join }) => called(`${layer} residual ${place}`, join(h)),
    norm: ({ path, layer, place, y }) => called(`${layer ?? '-'} norm ${place ?? '-'} ${path}`, y),
    layer: ({ layer, h, input }) => called(`${layer} layer ${input.shape} ${h.shape}`, h),
    output: ({ x, length }) => called(`output ${length}`, x),
  };
  const plain = await encode({}, 'first');
  expect(await encode(hooks, 'first')).toEqual(plain);
  const layer = (i: number, length: 'S' | 1) => [
    `${i} query ${length} [32,32] [32]`,
    `${i} key S [32,32] [32]`,
    `${i} value S [32,32] [32]`,
    `${i} attention B,4,S,8 B,1,1,S`,
    `${i} scores B,4,${length},S`,
    `${i} attentionOutput ${length} [32,32] [32]`,
    `${i} norm attention bert.encoder.layer.${i}.attention.output.LayerNorm`,
    `${i} residual attention`,
    `${i} intermediate ${length} [64,32] [64]`,
    `${i} output ${length} [32,64] [32]`,
    `${i} norm output bert.encoder.layer.${i}.output.LayerNorm`,
    `${i} residual output`,
    `${i} layer B*S,32 ${length === 1 ? 'B' : 'B*S'},32`,
  ];
  expect(calls).toEqual([
    '- norm - bert.embeddings.LayerNorm',
    'embedded B*S,32 B,S',
    'input S',
    ...layer(0, 'S'),
    ...layer(1, 'S'),
    ...layer(2, 1),
    'output 1',
  ]);
});

it('tokens that a method puts in are read by every layer, and gone from what comes out', async () => {
  const shape = ['B', 2, 32] as const;
  const twice = ({ at, first }: { at: 0 | 1; first: number }): Hooks => ({
    embedded: ({ x, mask, batch, length }) => {
      const text = reshape(x, [batch, length, 32]);
      const added = mul(expand(scalar(0.3), shape), expand(slice(text, 1, 0, 1), shape));
      const parts = at === 0 ? [added, text] : [slice(text, 1, 0, 1), added, slice(text, 1, 1, length)];
      const longer = addDims(length, 2);
      return {
        x: reshape(concat(parts, 1), [multiplyDims(batch, longer), 32]),
        mask: concat([expand(scalar(1), [batch, 2]), mask], 1),
        batch,
        length: longer,
        first,
        added: 2,
        at,
      };
    },
  });
  const plain = await encode({});
  const places = [
    { at: 0, first: 2, own: true },
    { at: 1, first: 0, own: true },
    { at: 0, first: 0, own: false },
  ] as const;
  for (const { own, ...place } of places) {
    const all = await encode(twice(place));
    expect(all.states.map(({ length }) => length)).toEqual(plain.states.map(({ length }) => length));
    expect(all.states[0]).toEqual(plain.states[0]);
    expect(all.states[1]).not.toEqual(plain.states[1]);
    // The token that stands for a sequence is the text's first, or one of those that were put in.
    const width = 4 * 32;
    const ofText = [0, 1].flatMap((row) => all.output.slice(row * width, row * width + 32));
    if (own) expect(all.first).toEqual(ofText);
    else all.first.forEach((x, i) => void expect(x).not.toBe(ofText[i]));
    const alone = await encode(twice(place), 'first');
    expect(alone.first).toEqual(alone.output);
    alone.first.forEach((x, i) => void expect(x).toBeCloseTo(all.first[i] as number, 10));
  }
});

it('what a site returns is what is read next', async () => {
  const plain = await encode({});
  const double = (values: number[] | undefined) => values?.map((x) => 2 * x);
  const two = scalar(2);
  const embedded = await encode({ embedded: (site) => ({ ...site, x: mul(site.x, two) }) });
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
