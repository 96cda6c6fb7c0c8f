import { beforeAll, describe, expect, it } from 'vitest';
import { float32, type Tensor } from '../../src/base/tensor.ts';
import { configFields } from '../../src/encoders/fields.ts';
import { type Encoder, type EncoderWeight, encoderSpecs, familyOf } from '../../src/encoders/index.ts';
import { add } from '../../src/graph/index.ts';
import {
  type Attachment,
  attach,
  attachComposition,
  bindAdapter,
  type ConfiguredMethod,
  configureMethod,
  fuse,
  fusionConfig,
  methodNames,
  stack,
} from '../../src/methods/index.ts';
import { ONE } from '../../src/nn/index.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { ATTACHMENT_RULES, type AttachmentCase, checkAttachment } from '../../src/testing/index.ts';
import { multiTaskMethod, multiTaskMethodNames } from '../../src/train/index.ts';
import { ParameterStore } from '../../src/update/index.ts';
import { settled } from './settings.ts';

const TASKS = ['a', 'b', 'c'];
const TOKENS = 16;
const WIDE = { kind: 'normal', deviation: 0.3 } as const;
/** One name for each configuration: others are old names for it. */
const NAMES = [...new Map(methodNames().map((name) => [keyOf(configureMethod(name)), name])).values()];
const NO_NORM = 'no norm after the attention of modernbert';
const SEVERAL = [...new Set([...multiTaskMethodNames(), 'lora', 'mtl_lora', 'pals', 'vera'])];
/**
 * A family that norms after its sub-blocks; one that norms before them, has its queries, keys and values in one matrix, and windows; one
 * with a bias by distance; one whose tables of distances go through the matrices of queries and keys.
 */
const FAMILIES = ['bert', 'modernbert', 'mpnet', 'deberta-v2'];
/** Methods that a family has no place for, by what they are told. */
const REFUSED: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  modernbert: { bitfit: 'found no bias' },
};
const REFUSED_FOR_SEVERAL: typeof REFUSED = {
  modernbert: { ca_mtl_base: NO_NORM, ca_mtl_large: NO_NORM, ca_mtl_compact: NO_NORM },
  'deberta-v2': { mtl_lora: 'rows that belong to no sequence' },
};
/** What a family needs in its config.json beside the rest. */
const FIELDS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  mpnet: { pad_token_id: 1, max_position_embeddings: TOKENS + 2 },
  'deberta-v2': {
    relative_attention: true,
    pos_att_type: ['c2p', 'p2c'],
    share_att_key: true,
    position_buckets: 6,
    norm_rel_ebd: 'layer_norm',
  },
};
const GATED = ['seq_bn', 'par_bn', 'lora', 'dora', 'vera', 'ia3', 'prefix_tuning'];
const encoders = new Map<string, Encoder>();
const encoderOf = (family: string) => encoders.get(family) as Encoder;

function keyOf({ method, config }: ConfiguredMethod): string {
  return `${method.name} ${JSON.stringify(config)}`;
}

beforeAll(() => {
  for (const name of FAMILIES) encoders.set(name, tiny(name, FIELDS[name]));
});

function tiny(name: string, fields: Readonly<Record<string, unknown>> = {}): Encoder {
  const all = {
    hidden_size: 32,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 16,
    vocab_size: 20,
    max_position_embeddings: TOKENS,
    pad_token_id: 0,
    global_attn_every_n_layers: 2,
    local_attention: 4,
    ...fields,
  };
  const family = familyOf(name, 'test');
  const config = family.config(configFields(all, 'test'));
  const specs = encoderSpecs(family, config).map((spec) => ({ ...spec, init: spec.init === ONE ? ONE : WIDE }));
  const store = new ParameterStore(specs);
  store.initialize(6);
  const weights = [...store.values()].map(
    ([weight, value]) => [weight, { ...value, name: weight, read: async () => value } as unknown as EncoderWeight] as const,
  );
  return { name: 'tiny', folder: '', family, config, fields: all, weights: new Map(weights), notes: [] };
}

const factsOf = ({ config, family }: Encoder) => ({ encoder: config, family });
const rules = async (given: AttachmentCase) => checkAttachment({ ...given, engines: [await nodeEngine({ threads: 1 })] });

/** Parametrised projections have signs on their diagonals, cut to integers: away from these, where finite differences would jump. */
function signs({ parameters }: Attachment): Map<string, Tensor> {
  const projections = parameters.filter((spec) => spec.name.endsWith('.parametrizations.weight.original'));
  return new Map(
    projections.map(({ name, shape: [rows = 0, width = 0] }) => {
      const data = Array.from({ length: rows * width }, (_, i) => (i % (width + 1) === 0 ? 1.5 : Math.sin(i)));
      return [name, float32([rows, width], data)];
    }),
  );
}

/** All rules but those that do not concern it. */
const without = (...left: readonly (typeof ATTACHMENT_RULES)[number][]) => ATTACHMENT_RULES.filter((rule) => !left.includes(rule));

describe.each(FAMILIES)('on %s every method keeps the rules', (family) => {
  it.each(NAMES.map(settled))('%s, alone', async (name) => {
    const encoder = encoderOf(family);
    const bound = () => attach(configureMethod(name), { ...factsOf(encoder), name: 'one' });
    const refusal = REFUSED[family]?.[name];
    if (refusal !== undefined) return void expect(bound).toThrow(refusal);
    const attachment = bound();
    const found = await rules({ name, encoder, attachment, values: signs(attachment) });
    const first = attachment.mixesTokens ? (['first'] as const) : [];
    expect(found).toEqual(attachment.parameters.length > 0 ? without('tasks', ...first) : without('tasks', 'gradients'));
  });

  it.each(GATED)('%s: gates look at no padding', async (name) => {
    const encoder = encoderOf(family);
    const attachment = (text: string) => attach(configureMethod(text), { ...factsOf(encoder), name: 'one' });
    const found = await rules({ name, encoder, attachment: attachment(`${name}[use_gating=True]`) });
    expect(found).toEqual(name.startsWith('prefix') ? without('tasks') : without('tasks', 'first'));
    const overPads = { name, encoder, attachment: attachment(`${name}[use_gating=True, gate_over_pads=True]`) };
    await expect(rules(overPads)).rejects.toThrow("rule 'company'");
  });

  // Every method for several tasks, CA-MTL among them; any method's own name is a module for each task.
  it.each(SEVERAL.map(settled))('%s, for several tasks', async (name) => {
    const encoder = encoderOf(family);
    const bound = () => multiTaskMethod(name).attach(encoder, TASKS, TOKENS);
    const refusal = REFUSED_FOR_SEVERAL[family]?.[name.replace(/\[.*/, '')];
    const check = async () => rules({ name, encoder, attachment: bound(), tasks: TASKS.length });
    if (refusal !== undefined) return void (await expect(check()).rejects.toThrow(refusal));
    const attachment = bound();
    const found = await check();
    const left = [...(attachment.taskIds ? [] : ['tasks' as const]), ...(attachment.parameters.length > 0 ? [] : ['gradients' as const])];
    expect(found).toEqual(without(...left));
    expect(attachment.taskIds !== undefined).toBe(!['joint', 'shared_adapter'].includes(name));
  });

  it.each([
    ['fused', 'seq_bn', fuse(['one', 'two'], { name: 'both' })],
    ['stacked under a fusion', 'seq_bn', fuse([stack('one', 'three'), 'two'], { name: 'both' })],
    ['fused', 'lora[alpha=2]', fuse(['one', 'two'], { name: 'both' })],
  ])('adapters %s: %s', async (name, method, setup) => {
    const encoder = encoderOf(family);
    const facts = factsOf(encoder);
    const adapters = new Map(['one', 'two', 'three'].map((one) => [one, configureMethod(method)]));
    const attachment = attachComposition(setup, { adapters, fusions: new Map([['both', fusionConfig('dynamic')]]) }, facts);
    const frozen = [...adapters].flatMap(([one, configured]) => bindAdapter(configured, { ...facts, name: one }).parameters);
    expect(await rules({ name, encoder, attachment, frozen })).toEqual(without('tasks'));
  });
});

it('bitfit keeps the rules on a modernbert that has biases, those in one matrix among them', async () => {
  const encoder = tiny('modernbert', { attention_bias: true, mlp_bias: true, norm_bias: true });
  const attachment = attach(configureMethod('bitfit'), { ...factsOf(encoder), name: 'one' });
  expect(attachment.parameters.map(({ name }) => name)).toContain('model.layers.1.attn.Wqkv.adapters.one.bias');
  expect(await rules({ name: 'bitfit', encoder, attachment })).toEqual(without('tasks'));
});

describe('a method that breaks a rule is told which', () => {
  const shift = { name: 'shift', shape: [32], init: ONE, decay: false };
  const plain = (changes: Partial<Attachment>): Attachment => ({
    name: 'broken',
    text: 'broken',
    learningRate: 1,
    trainsEncoder: false,
    mixesTokens: false,
    parameters: [shift],
    hooks: (parameters) => ({ input: ({ x }) => add(x, parameters('shift', [32])) }),
    ...changes,
  });
  const check = (changes: Partial<Attachment>) =>
    checkAttachment({ name: 'broken', encoder: encoderOf('bert'), attachment: plain(changes), tasks: 2 });

  it('the rule, the method and what was found', async () => {
    expect(await check({})).toEqual(without('tasks', 'engines'));
    await expect(check({ parameters: [shift, shift] })).rejects.toThrow("broken: rule 'parameters': found the parameter shift twice;");
    await expect(check({ parameters: [shift, { ...shift, name: 'silent' }] })).rejects.toThrow(
      "rule 'reads': found silent, which is declared",
    );
    await expect(check({ parameters: [] })).rejects.toThrow("rule 'reads': found shift; expected its own parameters");
    const first = { ...shift, name: 'bert.pooler.dense.bias' };
    await expect(check({ parameters: [shift, first] })).rejects.toThrow('which is a weight of the encoder');
    await expect(check({ perTask: new Map([['shift', 2]]) })).rejects.toThrow('found shift as the parameter of task 2;');
    await expect(check({ parameters: [] })).rejects.toMatchObject({ code: 'method.contract' });
  });
});
