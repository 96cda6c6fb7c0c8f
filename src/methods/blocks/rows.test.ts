import { describe, expect, it } from 'vitest';
import { nodeFiles } from '../../base/files-node.ts';
import { createRandom } from '../../base/random.ts';
import { float32, type Tensor } from '../../base/tensor.ts';
import { loadEncoder } from '../../encoders/index.ts';
import { concat } from '../../graph/index.ts';
import { drawModel } from '../../model/draw.ts';
import { feedsOf } from '../../model/feeds.ts';
import { type Model, weightsOf } from '../../model/model.ts';
import { noDropout } from '../../nn/index.ts';
import { createHead, headParameters } from '../../objectives/index.ts';
import { nodeEngine } from '../../session/node.ts';
import { attachComposition } from '../compose.ts';
import { batchSplit, type Composition, fuse, multiTask, parallel, stack } from '../composition.ts';
import { encoderFacts } from '../context.ts';
import { configureMethod } from '../registry.ts';

const encoder = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');
const engine = await nodeEngine({ threads: 1 });
const head = createHead('task', { head_type: 'classification', num_labels: 3, layers: 1 });
// All are padded to 8, since gates read padding too.
const LENGTHS = [5, 8, 3, 7, 6];

const MIXED = {
  a: 'lora[r=2,intermediate_lora=True]',
  b: 'seq_bn[reduction_factor=4]',
  c: 'prefix_tuning[prefix_length=3,bottleneck_size=4]',
};
const SETUPS: Readonly<Record<string, Readonly<Record<'a' | 'b' | 'c', string>>>> = {
  'different methods': MIXED,
  'prefixes of different lengths': {
    a: MIXED.c,
    b: 'prefix_tuning_flat[prefix_length=5]',
    c: 'prefix_tuning[prefix_length=1,bottleneck_size=4,use_gating=True]',
  },
  'different layers': { a: 'seq_bn[leave_out=[1]]', b: 'double_seq_bn[leave_out=[0]]', c: 'lora[leave_out=[0,2]]' },
  'different places': { a: 'par_bn', b: 'double_seq_bn[use_gating=True]', c: 'adapter_plus' },
  'different sums': { a: 'dora[r=2]', b: 'ia3[output_lora=True]', c: 'lora[r=2,use_gating=True]' },
  'different attention': { a: 'pals[size=8,heads=2]', b: 'mam', c: 'seq_bn[original_ln_after=False,residual_before_ln=False]' },
};

function filled(name: string, shape: readonly number[]): Tensor {
  const random = createRandom(4, ...Array.from(name, (letter) => letter.charCodeAt(0)));
  return float32(
    shape,
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 0.3 * random.normal()),
  );
}

/** A row of the batch: as many tokens as its length says. */
function unitOf(row: number) {
  const length = LENGTHS[row] as number;
  const inputIds = Int32Array.from({ length }, (_, i) => (i === 0 ? 101 : 5 + ((7 * row + 11 * i) % 90)));
  const none = new Int32Array(length);
  const encoding = {
    inputIds,
    tokenTypeIds: none,
    specialTokensMask: new Uint8Array(length),
    sequenceIds: new Int8Array(length),
    wordIds: none,
    offsets: new Int32Array(2 * length),
    truncated: 0,
  };
  return { encodings: [encoding], length, target: undefined };
}

const ofHead = new Map(headParameters(head, encoder.config).map(({ name, shape }) => [name, filled(name, shape)]));

/** Answers of a setup to rows of the batch, [rows, 3]. */
async function answers(
  setup: Composition,
  methods: Readonly<Record<string, string>>,
  rows: readonly number[],
  tasks: readonly number[] = [],
): Promise<Tensor> {
  const adapters = new Map(Object.entries(methods).map(([name, text]) => [name, configureMethod(text)]));
  const attachment = attachComposition(setup, { adapters, fusions: new Map() }, encoderFacts(encoder));
  const frozen = new Map(attachment.parameters.map(({ name, shape }) => [name, filled(name, shape)]));
  const model: Model = { encoder, attachment, heads: (attachment.channels ?? ['one']).map(() => head), frozen };
  const logits = concat(drawModel(model, noDropout, () => false).logits, 0);
  const session = await engine.compile({ outputs: { logits } }, weightsOf(model, ofHead));
  const units = rows.map((row, i) => ({ row: i, ...unitOf(row), task: tasks[i] ?? 0 }));
  const result = await session.run(feedsOf(units, model));
  await session.release();
  return result.logits as Tensor;
}

async function alone(name: string, methods: Readonly<Record<string, string>>, row: number): Promise<number[]> {
  return Array.from((await answers(stack(name), methods, [row])).data, Number);
}

/** A row of [rows, 3]. */
function expectRow(found: Tensor, row: number, expected: readonly number[]): void {
  const given = Array.from(found.data.slice(3 * row, 3 * row + 3), Number);
  for (const [i, value] of given.entries()) expect(value, `row ${row}`).toBeCloseTo(expected[i] as number, 4);
}

describe.each(Object.entries(SETUPS))('adapters of %s', (_, methods) => {
  it('answer in a split batch as each alone, whatever rows come together', async () => {
    const setup = batchSplit(['a', 'b', 'c'], { batchSizes: [2, 1, 2] });
    const found = await answers(setup, methods, [0, 1, 2, 3, 4]);
    for (const [row, name] of ['a', 'a', 'b', 'c', 'c'].entries()) expectRow(found, row, await alone(name, methods, row));
    const first = await answers(setup, methods, [4, 1]);
    for (const [place, row] of [4, 1].entries()) expectRow(first, place, await alone('a', methods, row));
  });
});

describe.each(Object.entries(SETUPS))('adapters of %s', (_, methods) => {
  it.each([[[2, 0, 1, 0, 2]], [[1, 1, 1, 1, 1]]])('answer by task as each alone: %j', async (tasks) => {
    const found = await answers(multiTask('a', 'b', 'c'), methods, [0, 1, 2, 3, 4], tasks);
    for (const [row, task] of tasks.entries()) expectRow(found, row, await alone('abc'.charAt(task), methods, row));
  });
});

describe.each(Object.entries(SETUPS))('adapters of %s', (_, methods) => {
  it('answer all rows in parallel as each alone', async () => {
    const found = await answers(parallel('a', 'b', 'c'), methods, [3, 1]);
    for (const [i, name] of ['a', 'b', 'c'].entries())
      for (const [place, row] of [3, 1].entries()) expectRow(found, 2 * i + place, await alone(name, methods, row));
  });
});

it('what cannot be told apart by rows is refused by name', () => {
  const bind = (setup: Composition, methods: Readonly<Record<string, string>>) => () =>
    attachComposition(
      setup,
      { adapters: new Map(Object.entries(methods).map(([name, text]) => [name, configureMethod(text)])), fusions: new Map() },
      encoderFacts(encoder),
    );
  const three = { a: 'lora', b: 'seq_bn', c: 'lora' };
  const both = batchSplit(['a', 'b'], { batchSizes: 1 });
  expect(bind(both, { a: 'seq_bn_inv', b: 'seq_bn' })).toThrow(
    "adapter 'a': found the method seq_bn_inv, which acts at the site 'embedded'",
  );
  expect(bind(both, { a: 'seq_bn', b: 'ln_tuning' })).toThrow("which acts at the site 'norm', in batchSplit(a, b)");
  expect(bind(stack(both, 'c'), three)).toThrow("'b' makes no update there");
  expect(bind(batchSplit([both, 'c'], { batchSizes: 1 }), three)).toThrow('sizes [1, 1]');
  expect(bind(stack(both, batchSplit(['a', 'b'], { batchSizes: 2 })), three)).toThrow('blocks for 2 rows and for 4');
  expect(bind(batchSplit([fuse(['a', 'b']), 'c'], { batchSizes: 1 }), three)).toThrow('Fuse in BatchSplit');
});

it.each([[[1]], [[1, -1]], [[0, 0]], [[1.5, 1]], [0]])('no sizes for two children: %j', (batchSizes) => {
  expect(() => batchSplit(['a', 'b'], { batchSizes })).toThrow('batchSplit: batchSizes');
});
