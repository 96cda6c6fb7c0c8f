import { describe, expect, it } from 'vitest';
import { nodeFiles } from '../../base/files-node.ts';
import { createRandom } from '../../base/random.ts';
import { float32, int32, type Tensor, tensor } from '../../base/tensor.ts';
import { configFields } from '../../encoders/fields.ts';
import { drawEncoder, type Encoder, type EncoderWeight, encoderSpecs, familyOf, loadEncoder } from '../../encoders/index.ts';
import { gradients, input, mul, reduceSum, reshape, type Value } from '../../graph/index.ts';
import { firstValues } from '../../model/first-values.ts';
import { noDropout, type ParameterSpec, parameters } from '../../nn/index.ts';
import { referenceEngine } from '../../session/reference.ts';
import type { Feeds, FileWeight } from '../../session/session.ts';
import { attachCaMtl, type CaMtlAttachment, type CaMtlConfig, caMtlConfig, caMtlReport } from './index.ts';
import { blockDiagonal, sameBlock } from './modules.ts';

const FAMILIES = ['bert', 'roberta', 'xlm-roberta', 'electra', 'distilbert'] as const;
const TASKS = 3;
const LENGTH = 12;

const engine = referenceEngine();
const load = (family: string) => loadEncoder(nodeFiles, `test/golden/encoders/${family}`);
const attach = (encoder: Encoder, config: CaMtlConfig) =>
  attachCaMtl(config, { encoder: encoder.config, family: encoder.family, tasks: TASKS });
const short = (preset: Parameters<typeof caMtlConfig>[0], values: Parameters<typeof caMtlConfig>[1] = {}) =>
  caMtlConfig(preset, { max_length: LENGTH, ...values });

/** A BERT of two layers whose hidden size is small enough for finite differences. */
function tinyEncoder(): Encoder {
  const family = familyOf('bert', 'test');
  const fields = {
    hidden_size: 8,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 8,
    vocab_size: 106,
    max_position_embeddings: LENGTH,
  };
  const config = family.config(configFields(fields, 'test'));
  const shapes = encoderSpecs(family, config);
  const weights = new Map(
    [...randomValues(shapes, 6)].map(([name, tensor]) => [name, { ...tensor, name, read: async () => tensor } as unknown as EncoderWeight]),
  );
  return { name: 'tiny', folder: '', family, config, fields, weights, notes: [] };
}

/** Every added tensor, and the norms' copies, away from any neutral value. */
function randomValues(specs: readonly Pick<ParameterSpec, 'name' | 'shape'>[], seed = 5): Map<string, Tensor> {
  const random = createRandom(seed);
  return new Map(
    specs.map(({ name, shape }) => [
      name,
      float32(
        shape,
        Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 0.3 * random.normal()),
      ),
    ]),
  );
}

/** Rows of different lengths and tasks, padded to `length`; pads hold `pad` and are masked. */
function batch(encoder: Encoder, length: number, pad = 0): Feeds {
  const random = createRandom(8);
  const lengths = [7, 3, 5];
  const ids = lengths.map((count) => Array.from({ length: count }, () => 5 + random.below(100)));
  const rows = (of: (row: number, at: number) => number) => lengths.flatMap((_, row) => Array.from({ length }, (_, at) => of(row, at)));
  const real = (row: number, at: number) => at < (lengths[row] as number);
  const { padId } = encoder.config;
  const shape = [lengths.length, length];
  return {
    inputIds: int32(
      shape,
      rows((row, at) => (real(row, at) ? (ids[row]?.[at] as number) : pad)),
    ),
    attentionMask: float32(
      shape,
      rows((row, at) => Number(real(row, at))),
    ),
    tokenTypeIds: int32(
      shape,
      rows(() => 0),
    ),
    positionIds: int32(
      shape,
      rows((row, at) => (real(row, at) ? padId + 1 + at : padId)),
    ),
    taskIds: int32([3], [0, 2, 1]),
  };
}

async function encode(
  encoder: Encoder,
  attachment: CaMtlAttachment | undefined,
  values: ReadonlyMap<string, Tensor>,
  feeds: Feeds,
  read: 'all' | 'first' = 'all',
): Promise<Tensor> {
  const resolve = parameters(() => false);
  const hooks = attachment?.hooks(resolve, noDropout) ?? {};
  const { output } = drawEncoder({ ...encoder, parameters: resolve, dropout: noDropout, hooks, read });
  const session = await engine.compile({ outputs: { output } }, new Map<string, Tensor | FileWeight>([...encoder.weights, ...values]));
  return (await session.run(feeds)).output as Tensor;
}

const startOf = async (encoder: Encoder, { added }: CaMtlAttachment) => {
  const values = new Map([...randomValues(added)]);
  const copied = await firstValues(
    added.filter(({ init }) => init.kind === 'derived'),
    encoder,
    { seed: 1 },
  );
  for (const { name, shape, init } of added)
    if (init.kind === 'constant') values.set(name, float32(shape, new Array<number>(shape.reduce((a, b) => a * b, 1)).fill(init.value)));
  return new Map([...values, ...copied]);
};

const difference = (a: Tensor, b: Tensor) =>
  Math.max(...Array.from(a.data as Float64Array, (value, i) => Math.abs(value - Number(b.data[i]))));

describe('the pretrained start', () => {
  it.each(
    FAMILIES.flatMap((family) => (['ca_mtl_base', 'ca_mtl_large', 'ca_mtl_compact'] as const).map((preset) => [family, preset] as const)),
  )('%s, %s: the encoder is what it was', async (family, preset) => {
    const encoder = await load(family);
    const attachment = attach(encoder, short(preset));
    const feeds = batch(encoder, 7);
    const plain = await encode(encoder, undefined, new Map(), feeds);
    const adapted = await encode(encoder, attachment, await startOf(encoder, attachment), feeds);
    expect(difference(adapted, plain)).toBeLessThan(1e-12);
    const random = await encode(encoder, attachment, randomValues(attachment.added), feeds);
    expect(difference(random, plain)).toBeGreaterThan(0.1);
  });

  it('published, it is another function', async () => {
    const encoder = await load('bert');
    const attachment = attach(encoder, short('ca_mtl_base', { start: 'published' }));
    const feeds = batch(encoder, 7);
    const adapted = await encode(encoder, attachment, await startOf(encoder, attachment), feeds);
    expect(difference(adapted, await encode(encoder, undefined, new Map(), feeds))).toBeGreaterThan(0.1);
    expect([...(attachment.anew?.keys() ?? [])].filter((name) => name.startsWith('bert.encoder.layer.2.'))).toHaveLength(16);
    expect(attachment.anew?.size).toBe(16);
    expect(attach(encoder, short('ca_mtl_large', { start: 'published' })).anew?.size).toBe(0);
  });
});

describe('a batch', () => {
  it.each(['ca_mtl_base', 'ca_mtl_large'] as const)(
    '%s: pads, their number and the way the last layer is computed change nothing',
    async (preset) => {
      const encoder = await load('bert');
      const attachment = attach(encoder, short(preset, { start: 'published' }));
      const values = randomValues(attachment.added);
      const d = encoder.config.hidden;
      const first = ({ data }: Tensor, length: number): Tensor => {
        const rows = [0, 1, 2].map((row) => Array.from((data as Float64Array).slice(row * length * d, row * length * d + d)));
        return tensor('float64', [3, d], Float64Array.from(rows.flat()));
      };
      const full = first(await encode(encoder, attachment, values, batch(encoder, LENGTH)), LENGTH);
      const shorter = first(await encode(encoder, attachment, values, batch(encoder, 7)), 7);
      const other = first(await encode(encoder, attachment, values, batch(encoder, LENGTH, 9)), LENGTH);
      const only = await encode(encoder, attachment, values, batch(encoder, 7), 'first');
      for (const one of [shorter, other, only]) expect(difference(one, full)).toBeLessThan(1e-9);
      expect(only.shape).toEqual([3, d]);
      const moved = await encode(encoder, attachment, values, { ...batch(encoder, 7), taskIds: int32([3], [1, 2, 1]) }, 'first');
      const rows = [0, 1, 2].map((row) => Math.abs(Number(moved.data[row * d]) - Number(only.data[row * d])) > 1e-9);
      expect(rows).toEqual([true, false, false]);
    },
  );

  it('of more tokens than the maximum is refused', async () => {
    const encoder = await load('bert');
    const attachment = attach(encoder, short('ca_mtl_base'));
    await expect(encode(encoder, attachment, randomValues(attachment.added), batch(encoder, LENGTH + 1))).rejects.toThrow(
      'elements 0 to 13',
    );
  });
});

describe('M', () => {
  // S, block width, tokens: whole blocks, a last block cut, one block, blocks that no token reaches.
  it.each([
    [12, 4, 12],
    [12, 5, 12],
    [7, 3, 5],
    [7, 7, 4],
    [5, 1, 5],
    [8, 5, 3],
  ])('of S = %i in blocks of %i, for %i tokens', async (size, width, tokens) => {
    const values = randomValues([
      { name: 'a', shape: [size, width] },
      { name: 'gamma', shape: [2, width] },
      { name: 'beta', shape: [2, width] },
    ]);
    const at = (name: string, row: number, column: number) => Number(values.get(name)?.data[row * width + column]);
    const expected = [0, 1].flatMap((example) =>
      Array.from({ length: tokens }, (_, p) =>
        Array.from({ length: tokens }, (_, q) => {
          const j = q - Math.floor(p / width) * width;
          return j < 0 || j >= width ? 0 : (1 + at('gamma', example, j)) * at('a', p, j) + at('beta', example, j);
        }),
      ).flat(),
    );
    const own = (name: string) => input(name, 'float32', (values.get(name) as Tensor).shape);
    const draw = (length: number) =>
      blockDiagonal(own('a'), { gamma: own('gamma'), beta: own('beta') }, sameBlock(size, width), { batch: 2, length, first: 0 }, tokens);
    const session = await engine.compile({ outputs: { all: draw(tokens) } }, new Map());
    const { all } = await session.run(Object.fromEntries(values));
    expect(all?.shape).toEqual([2, tokens, tokens]);
    expect(difference(all as Tensor, float32([2, tokens, tokens], expected))).toBeLessThan(1e-6);
    const one = await (await engine.compile({ outputs: { first: draw(1) } }, new Map())).run(Object.fromEntries(values));
    expect(one.first?.shape).toEqual([2, 1, tokens]);
    expect(Array.from(one.first?.data as Float64Array)).toEqual(
      [0, 1].flatMap((i) => Array.from(all?.data as Float64Array).slice(i * tokens ** 2, i * tokens ** 2 + tokens)),
    );
  });

  it('has as many blocks as lengths fit into the hidden size', () => {
    const bert = familyOf('bert', 'test');
    const widthOf = (hidden: number, length: number) => {
      const encoder = bert.config(configFields({ hidden_size: hidden }, 'test'));
      return attachCaMtl(caMtlConfig('ca_mtl_base', { max_length: length }), { encoder, family: bert, tasks: 2 }).plan.blockWidth;
    };
    expect([widthOf(768, 128), widthOf(768, 100), widthOf(384, 128), widthOf(384, 512), widthOf(36, 36)]).toEqual([22, 15, 43, 512, 36]);
  });
});

describe('gradients', () => {
  const CASES = (['ca_mtl_base', 'ca_mtl_large'] as const).flatMap((preset) =>
    ([{ start: 'published' }, { start: 'pretrained', generator_rank: 2 }] as const).map((values) => [preset, values] as const),
  );

  it.each(CASES)('%s, %o: every tensor’s slope along a random direction is that of finite differences', async (preset, values) => {
    const encoder = tinyEncoder();
    const attachment = attach(encoder, short(preset, { ...values, freeze: 0 }));
    const specs = [...attachment.added, ...encoderSpecs(encoder.family, encoder.config)].filter(({ name }) => !name.includes('pooler'));
    const known = new Map(specs.map(({ name }) => [name, name]));
    const resolve = parameters((name) => known.has(name));
    const { output } = drawEncoder({
      ...encoder,
      parameters: resolve,
      dropout: noDropout,
      hooks: attachment.hooks(resolve, noDropout),
      read: 'first',
    });
    const weights = input('projection', 'float32', ['B', encoder.config.hidden]);
    const loss = reshape(reduceSum(mul(output, weights), [0, 1]), []);
    const slopes = gradients(
      loss,
      specs.map(({ name, shape }) => resolve(name, shape)),
    );
    const outputs: Record<string, Value> = Object.fromEntries(specs.map(({ name }, i) => [name, slopes[i] as Value]));

    const point: Record<string, Tensor> = { ...batch(encoder, 7) };
    for (const [name, tensor] of randomValues(attachment.added)) point[name] = tensor;
    for (const [name, one] of encoder.weights) if (known.has(name)) point[name] = await one.read();
    for (const [name, value] of randomValues([{ name: 'projection', shape: [3, encoder.config.hidden] }], 2)) point[name] = value;
    const results = await (await engine.compile({ outputs }, new Map())).run(point);
    const forward = await engine.compile({ outputs: { loss } }, new Map());
    const random = createRandom(3);
    for (const { name } of specs) {
      const { shape, data } = point[name] as Tensor;
      const direction = Float64Array.from(data as Float32Array, () => random.normal());
      const along = async (step: number) => {
        const moved = {
          dtype: 'float64',
          shape,
          data: Float64Array.from(data as Float32Array, (x, i) => x + step * (direction[i] as number)),
        } as const;
        return Number((await forward.run({ ...point, [name]: moved })).loss?.data[0]);
      };
      const numeric = ((await along(1e-5)) - (await along(-1e-5))) / 2e-5;
      const slope = ((results[name] as Tensor).data as Float64Array).reduce((sum, x, i) => sum + x * (direction[i] as number), 0);
      expect(Math.abs(slope - numeric), name).toBeLessThan(1e-5 * Math.max(1, Math.abs(numeric)));
    }
    expect(specs.length).toBeGreaterThan(60);
  });
});

describe('what can be switched off', () => {
  const PARTS = [
    ['conditional_alignment', /conditional_alignment/],
    ['conditional_attention', /random_weight_matrix|cond_block_diag_attn/],
    ['conditional_layer_norm', /ln_weight_modulation/],
    ['conditional_bottleneck', /adapter/],
    ['task_transformation', /task_transformation/],
  ] as const;

  it.each((['ca_mtl_base', 'ca_mtl_large'] as const).flatMap((preset) => PARTS.map((part) => [preset, ...part] as const)))(
    '%s without %s has all parameters but those, and still knows tasks apart',
    async (preset, part, pattern) => {
      const encoder = await load('bert');
      const names = (attachment: CaMtlAttachment) => attachment.added.map(({ name }) => name);
      const whole = names(attach(encoder, short(preset, { start: 'published' })));
      const attachment = attach(encoder, short(preset, { start: 'published', [part]: false }));
      expect(names(attachment)).toEqual(whole.filter((name) => !pattern.test(name)));
      expect(whole.some((name) => pattern.test(name))).toBe(true);
      const values = randomValues(attachment.added);
      const feeds = batch(encoder, 7);
      const one = await encode(encoder, attachment, values, feeds, 'first');
      const other = await encode(encoder, attachment, values, { ...feeds, taskIds: int32([3], [1, 1, 1]) }, 'first');
      expect(difference(one, other)).toBeGreaterThan(1e-3);
    },
  );

  it('leaves no task transformation where nothing reads it', async () => {
    const encoder = await load('bert');
    const only = short('ca_mtl_base', { conditional_attention: false, conditional_layer_norm: false, conditional_bottleneck: false });
    expect(attach(encoder, only).added.map(({ name }) => name)).toEqual([
      'bert.task_type_embeddings.weight',
      'bert.conditional_alignment.gb_weights.weight',
      'bert.conditional_alignment.gb_weights.bias',
    ]);
  });
});

describe('what trains', () => {
  it.each([
    ['half', 2],
    [0, 0],
    [1, 1],
    [3, 3],
  ] as const)('freeze %s: the lower layers and embeddings of the encoder, but nothing that is conditional', async (freeze, layers) => {
    const encoder = await load('bert');
    const { freezes, added, parameters: trained } = attach(encoder, short('ca_mtl_base', { freeze }));
    const frozen = [...encoder.weights.keys()].filter(freezes);
    const below = [...encoder.weights.keys()].filter(
      (name) => /\.embeddings\./.test(name) || Number(/layer\.(\d)/.exec(name)?.[1] ?? 9) < layers,
    );
    expect(frozen).toEqual(layers === 0 ? [] : below);
    expect(trained).toEqual(added);
    expect(added.filter((spec) => spec.trains === false)).toEqual([]);
  });

  it.each(FAMILIES)('%s: names of its own, in its own layers', async (family) => {
    const encoder = await load(family);
    const { added, freezes } = attach(encoder, short('ca_mtl_base'));
    expect(new Set([...added.map(({ name }) => name), ...encoder.weights.keys()]).size).toBe(added.length + encoder.weights.size);
    expect(added.every(({ name }) => name.startsWith(encoder.family.prefix))).toBe(true);
    const last = [...encoder.weights.keys()].filter((name) => name.includes('.layer.2.') || name.includes('pooler'));
    expect([...encoder.weights.keys()].filter((name) => !freezes(name)).sort()).toEqual(last.sort());
  });
});

describe('the counts of the published plans, 8 tasks of 2 classes and S = 128', () => {
  const bert = familyOf('bert', 'test');
  const report = (fields: Record<string, number>, preset: Parameters<typeof caMtlConfig>[0], freeze: string, values: object = {}) => {
    const encoder = bert.config(configFields({ vocab_size: 28996, ...fields }, 'test'));
    const attachment = attachCaMtl(caMtlConfig(preset, { freeze, ...values }), { encoder, family: bert, tasks: 8 });
    const heads = Array.from({ length: 8 }, (_, task) => [
      { name: `heads.${task}.1.weight`, shape: [2, encoder.hidden], init: { kind: 'constant', value: 0 }, decay: true } as const,
      { name: `heads.${task}.1.bias`, shape: [2], init: { kind: 'constant', value: 0 }, decay: false } as const,
    ]).flat();
    return caMtlReport(attachment, heads);
  };
  const LARGE = { hidden_size: 1024, num_hidden_layers: 24, num_attention_heads: 16, intermediate_size: 4096 };
  const millions = (count: number) => Math.round(count / 1e5) / 10;

  it('base: 128.1 M, 1.18 × one encoder, 69.8 M trained', () => {
    const { total, parts, againstOneEncoder, againstSingleTask, frozenShare } = report({}, 'ca_mtl_base', '0-4');
    expect([millions(total.all), millions(total.trained), millions(parts.encoder.all)]).toEqual([128.1, 69.8, 108.3]);
    expect(againstOneEncoder).toBeCloseTo(1.18, 2);
    expect(againstSingleTask).toBeCloseTo(1.18 / 8, 2);
    // Of the encoder alone; with what the code's filter freezes inside conditional attention it is 0.538.
    expect(frozenShare).toBeCloseTo(0.536, 3);
    expect((total.all - total.trained) / parts.encoder.all).toBeCloseTo(0.538, 3);
    expect(millions(parts.conditionalLayerNorm.all)).toBe(15.4);
    expect(Object.values(parts).reduce((sum, { all }) => sum + all, 0)).toBe(total.all);
  });

  it('large: 480.3 M, 1.44 ×, 298.6 M trained', () => {
    const { total, parts, againstOneEncoder, frozenShare } = report(LARGE, 'ca_mtl_large', '0-11');
    expect([millions(total.all), millions(total.trained)]).toEqual([480.3, 298.6]);
    expect(againstOneEncoder).toBeCloseTo(1.44, 2);
    expect(frozenShare).toBeCloseTo(0.544, 3);
    expect((total.all - total.trained) / parts.encoder.all).toBeCloseTo(0.545, 3);
    expect([millions(parts.conditionalLayerNorm.all), millions(parts.conditionalBottleneck.all)]).toEqual([50.4, 92.4]);
  });

  it('compact: at most 1.08 ×', () => {
    expect(report({}, 'ca_mtl_compact', 'half').againstOneEncoder).toBeLessThan(1.04);
    expect(report(LARGE, 'ca_mtl_large', 'half', { generator_rank: 32 }).againstOneEncoder).toBeLessThan(1.08);
  });
});

describe('bad input', () => {
  it('names the key, what it holds and what there is', () => {
    expect(() => caMtlConfig('ca_mtl_base', { max_length: 0 })).toThrow("ca_mtl_base: key 'max_length': found 0;");
    expect(() => caMtlConfig('ca_mtl_base', { freeze: '3' })).toThrow('key \'freeze\': found "3"');
    expect(() => caMtlConfig('ca_mtl_base', { colour: 1 } as object)).toThrow(
      "key 'colour': found no such key; expected variant, max_length",
    );
    expect(() =>
      caMtlConfig('ca_mtl_base', {
        conditional_alignment: false,
        conditional_attention: false,
        conditional_layer_norm: false,
        conditional_bottleneck: false,
      }),
    ).toThrow('nothing would depend on the task');
  });

  it('names what an encoder does not have', async () => {
    const albert = await load('albert');
    expect(() => attach(albert, short('ca_mtl_base'))).toThrow('found 3 layers that share the parameters of 1,');
    const bert = await load('bert');
    expect(() => attach(bert, caMtlConfig('ca_mtl_base'))).toThrow("key 'max_length': found 128; expected at most 40");
    expect(() => attach(bert, short('ca_mtl_base', { freeze: 4 }))).toThrow("key 'freeze': found 4; expected layers of 0 to 2");
    for (const freeze of ['2-1', '1-3']) expect(() => attach(bert, short('ca_mtl_base', { freeze }))).toThrow(`found "${freeze}"`);
    const roberta = await load('roberta');
    expect(() => attach(roberta, short('ca_mtl_base', { max_length: 40 }))).toThrow('expected at most 38');
    expect(() => attachCaMtl(short('ca_mtl_base'), { ...bert, encoder: bert.config, tasks: 0 })).toThrow('found 0 tasks');
  });
});
