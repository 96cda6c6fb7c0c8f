import { expect, it } from 'vitest';
import { nodeFiles } from '../base/files-node.ts';
import { float32, int32, type Tensor } from '../base/tensor.ts';
import { addDims, concat, constant, type Dim, expand, mul, multiplyDims, reshape, scalar, slice, sub, type Value } from '../graph/index.ts';
import { noDropout, parameters } from '../nn/index.ts';
import { referenceEngine } from '../session/reference.ts';
import { drawEncoder, type Encoder, type Hooks, loadEncoder } from './index.ts';

const bert = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');
const modernBert = await loadEncoder(nodeFiles, 'test/golden/encoders/modernbert');
const SHAPE = [2, 4];
const FEEDS = {
  inputIds: int32(SHAPE, [2, 9, 8, 3, 2, 7, 3, 0]),
  tokenTypeIds: int32(SHAPE, new Int32Array(8)),
  attentionMask: float32(SHAPE, [1, 1, 1, 1, 1, 1, 1, 0]),
};

async function encode(
  hooks: Hooks,
  read: 'all' | 'first' = 'all',
  encoder: Encoder = bert,
): Promise<{ output: number[]; first: number[]; states: number[][] }> {
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

it('a family that norms before its sub-blocks and fuses linears has the same sites, and says what its sub-blocks read', async () => {
  const calls: string[] = [];
  const hooks: Hooks = {
    linear({ name, layer, y, length, weight, bias }) {
      calls.push(`${layer} ${name} ${length} [${weight.shape}] ${bias?.shape}`);
      return y;
    },
    residual({ place, layer, h, x, norm, join, input }) {
      expect(norm(h)).toBe(h);
      // Nothing is normed before the first attention.
      expect(x === input).toBe(layer === 0 && place === 'attention');
      calls.push(`${layer} residual ${place}`);
      return join(h);
    },
    attention({ layer, key, value, mask }) {
      calls.push(`${layer} attention ${mask.shape}`);
      return { key, value, mask };
    },
    norm({ path, layer, y, length }) {
      calls.push(`${layer ?? '-'} norm ${path.replace(/^.*\./, '')} ${length}`);
      return y;
    },
  };
  expect(await encode(hooks, 'first', modernBert)).toEqual(await encode({}, 'first', modernBert));
  const layer = (i: number, length: 'S' | 1, mask: string) => [
    ...(i > 0 ? [`${i} norm attn_norm S`] : []),
    `${i} queryKeyValue S [96,32] undefined`,
    ...['query', 'key', 'value'].map((part) => `${i} ${part} S [32,32] undefined`),
    `${i} attention ${mask}`,
    `${i} attentionOutput ${length} [32,32] undefined`,
    `${i} residual attention`,
    `${i} norm mlp_norm ${length}`,
    `${i} intermediate ${length} [80,32] undefined`,
    `${i} output ${length} [32,40] undefined`,
    `${i} residual output`,
  ];
  expect(calls).toEqual([
    '- norm norm S',
    ...layer(0, 'S', 'B,1,1,S'),
    ...layer(1, 'S', 'B,1,S,S'),
    ...layer(2, 'S', 'B,1,S,S'),
    ...layer(3, 1, 'B,1,1,S'),
    '- norm final_norm 1',
  ]);
});

it('a family may add a bias of its own to the scores, by places or by what is there; methods lengthen it like the mask', async () => {
  const lowest = 1e9;
  const places = Float32Array.from({ length: 64 }, (_, i) => i);
  /** Each token reads itself alone: a bias over all heads that grows with the distance, or a window of 0. */
  const readsItself = (by: 'bias' | 'window', heads = 1): Encoder => ({
    ...bert,
    family: {
      ...bert.family,
      draw: (tools, config) =>
        bert.family.draw(
          {
            ...tools,
            layers: (x, draw) =>
              tools.layers(x, (layer, before) =>
                draw(
                  {
                    ...layer,
                    attention: (read) =>
                      layer.attention({
                        ...read,
                        ...(by === 'window' && { window: 0 }),
                        ...(by === 'bias' && {
                          bias(queries, keys, from, to) {
                            expect([queries.shape[2], keys.shape[2]]).toEqual([layer.length, layer.all.length]);
                            const all = constant({ dtype: 'float32', shape: [64], data: places });
                            const [query, key] = [slice(all, 0, from, to), slice(all, 0, 0, layer.all.length)];
                            const apart = sub(
                              reshape(key, [1, 1, 1, key.shape[0] as Dim]),
                              reshape(query, [1, 1, query.shape[0] as Dim, 1]),
                            );
                            return expand(mul(mul(apart, apart), scalar(-lowest)), [1, heads, query.shape[0] as Dim, key.shape[0] as Dim]);
                          },
                        }),
                      }),
                  },
                  before,
                ),
              ),
          },
          config,
        ),
    },
  });
  const windowed = await encode({}, 'all', readsItself('window'));
  expect(windowed.output).not.toEqual((await encode({})).output);
  for (const heads of [1, bert.config.heads]) {
    const biased = await encode({}, 'all', readsItself('bias', heads));
    // The last token of the second sequence is a pad.
    expect(biased.output.slice(0, 7 * 32)).toEqual(windowed.output.slice(0, 7 * 32));
    expect((await encode({}, 'first', readsItself('bias', heads))).first).toEqual(biased.first);
    const hooks: Hooks = {
      attention({ key, value, mask }) {
        const [batch, all, , width] = key.shape as [Dim, Dim, Dim, Dim];
        const nothing = expand(scalar(-lowest), [...mask.shape.slice(0, 3), 2]);
        const keys = expand(scalar(1), [batch, all, 2, width]);
        return { key: concat([keys, key], 2), value: concat([keys, value], 2), mask: concat([nothing, mask], 3) };
      },
    };
    expect((await encode(hooks, 'all', readsItself('bias', heads))).output.slice(0, 7 * 32)).toEqual(biased.output.slice(0, 7 * 32));
  }
});

it('one mask of a window is drawn for all layers that look through it', () => {
  const masks = new Set<Value>();
  const hooks: Hooks = {
    attention({ key, value, mask }) {
      masks.add(mask);
      return { key, value, mask };
    },
  };
  drawEncoder({ ...modernBert, parameters: parameters(() => false), dropout: noDropout, hooks, read: 'all' });
  expect([...masks].map(({ shape }) => String(shape))).toEqual(['B,1,1,S', 'B,1,S,S']);
});

it.each([
  ['bert', bert],
  ['modernbert', modernBert],
])('tokens that a method puts in are read by every layer of %s, and gone from what comes out', async (_, encoder) => {
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
  const plain = await encode({}, 'all', encoder);
  const places = [
    { at: 0, first: 2, own: true },
    { at: 1, first: 0, own: true },
    { at: 0, first: 0, own: false },
  ] as const;
  for (const { own, ...place } of places) {
    const all = await encode(twice(place), 'all', encoder);
    expect(all.states.map(({ length }) => length)).toEqual(plain.states.map(({ length }) => length));
    expect(all.states[0]).toEqual(plain.states[0]);
    expect(all.states[1]).not.toEqual(plain.states[1]);
    // The token that stands for a sequence is the text's first, or one of those that were put in.
    const width = 4 * 32;
    const ofText = [0, 1].flatMap((row) => all.output.slice(row * width, row * width + 32));
    if (own) expect(all.first).toEqual(ofText);
    else all.first.forEach((x, i) => void expect(x).not.toBe(ofText[i]));
    const alone = await encode(twice(place), 'first', encoder);
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
