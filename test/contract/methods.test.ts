import { beforeAll, describe, expect, it } from 'vitest';
import { configFields } from '../../src/encoders/fields.ts';
import { type Encoder, type EncoderWeight, encoderSpecs, familyOf } from '../../src/encoders/index.ts';
import { add } from '../../src/graph/index.ts';
import {
  type Attachment,
  attach,
  attachComposition,
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

const TASKS = ['a', 'b', 'c'];
const TOKENS = 16;
const WIDE = { kind: 'normal', deviation: 0.3 } as const;
/** Settings without which a parameter of a preset has nothing to do: of one up-projection no share can be taken. */
const SETTINGS: Readonly<Record<string, string>> = { mtl_lora: '[n_up_projection=2]' };
const settled = (name: string) => `${name}${SETTINGS[name] ?? ''}`;
/** One name for each configuration: others are old names for it. */
const NAMES = [...new Map(methodNames().map((name) => [keyOf(configureMethod(name)), name])).values()];
let encoder: Encoder;

function keyOf({ method, config }: ConfiguredMethod): string {
  return `${method.name} ${JSON.stringify(config)}`;
}

beforeAll(async () => {
  const fields = {
    hidden_size: 32,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 16,
    vocab_size: 20,
    max_position_embeddings: TOKENS,
  };
  const family = familyOf('bert', 'test');
  const config = family.config(configFields(fields, 'test'));
  const specs = encoderSpecs(family, config).map((spec) => ({ ...spec, init: spec.init === ONE ? ONE : WIDE }));
  const store = new ParameterStore(specs);
  store.initialize(6);
  const weights = [...store.values()].map(
    ([name, value]) => [name, { ...value, name, read: async () => value } as unknown as EncoderWeight] as const,
  );
  encoder = { name: 'tiny', folder: '', family, config, fields, weights: new Map(weights), notes: [] };
});

const facts = () => ({ encoder: encoder.config, family: encoder.family });
const rules = async (given: Omit<AttachmentCase, 'encoder'>) =>
  checkAttachment({ ...given, encoder, engines: [await nodeEngine({ threads: 1 })] });

/** All rules but those that do not concern it. */
const without = (...left: readonly (typeof ATTACHMENT_RULES)[number][]) => ATTACHMENT_RULES.filter((rule) => !left.includes(rule));

describe('every method keeps the rules', () => {
  it.each(NAMES.map(settled))('%s, alone', async (name) => {
    const attachment = attach(configureMethod(name), { ...facts(), name: 'one' });
    const found = await rules({ name, attachment });
    expect(found).toEqual(attachment.parameters.length > 0 ? without('tasks') : without('tasks', 'gradients'));
  });

  // Every method for several tasks, CA-MTL among them; any method's own name is a module for each task.
  it.each([...new Set([...multiTaskMethodNames(), 'lora', 'mtl_lora', 'pals', 'vera'])].map(settled))(
    '%s, for several tasks',
    async (name) => {
      const attachment = multiTaskMethod(name).attach(encoder, TASKS, TOKENS);
      const found = await rules({ name, attachment, tasks: TASKS.length });
      const left = [...(attachment.taskIds ? [] : ['tasks' as const]), ...(attachment.parameters.length > 0 ? [] : ['gradients' as const])];
      expect(found).toEqual(without(...left));
      expect(attachment.taskIds !== undefined).toBe(!['joint', 'shared_adapter'].includes(name));
    },
  );

  it.each([
    ['fused', fuse(['one', 'two'], { name: 'both' })],
    ['stacked under a fusion', fuse([stack('one', 'three'), 'two'], { name: 'both' })],
  ])('adapters %s', async (name, setup) => {
    const adapters = new Map(['one', 'two', 'three'].map((one) => [one, configureMethod('seq_bn')]));
    const attachment = attachComposition(setup, { adapters, fusions: new Map([['both', fusionConfig('dynamic')]]) }, facts());
    const frozen = [...adapters].flatMap(([one, { method, config }]) => method.parameters(config, { ...facts(), name: one }));
    expect(await rules({ name, attachment, frozen })).toEqual(without('tasks'));
  });
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
  const check = (changes: Partial<Attachment>) => checkAttachment({ name: 'broken', encoder, attachment: plain(changes), tasks: 2 });

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
