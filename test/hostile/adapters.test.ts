import { expect, it } from 'vitest';
import { MultigraftError } from '../../src/base/errors.ts';
import { type Files, memoryFiles } from '../../src/base/files.ts';
import { nodeFiles } from '../../src/base/files-node.ts';
import { float32, type Tensor, toFloat16 } from '../../src/base/tensor.ts';
import { type LoadingOptions, loadAdapter, loadHead, saveAdapter } from '../../src/checkpoint/index.ts';
import { loadEncoder } from '../../src/encoders/index.ts';
import { readSafetensors, writeSafetensors } from '../../src/formats/safetensors.ts';
import { readTorch, writeTorch } from '../../src/formats/torch.ts';
import { attack } from './mutate.ts';

type Fields = Record<string, unknown>;
type Tensors = Map<string, Tensor>;

const encoderOf = async (name = 'bert') => ({
  ...(await loadEncoder(nodeFiles, `test/golden/encoders/${name}`)),
  name: `multigraft-tiny-${name}`,
});
const text = async (files: Files, path: string) => new TextDecoder().decode(await files.read(path));

/** A good folder in memory, with some of it changed. */
async function changed(variant: string, config: (fields: Fields) => unknown, weights?: (tensors: Tensors) => unknown): Promise<Files> {
  const source = `test/golden/methods/${variant}`;
  const fields = JSON.parse(await text(nodeFiles, `${source}/adapter_config.json`)) as Fields;
  const replaced = config(fields) ?? fields;
  const { tensors } = await readTorch(nodeFiles, `${source}/pytorch_adapter.bin`);
  weights?.(tensors);
  return memoryFiles({
    'a/adapter_config.json': typeof replaced === 'string' ? replaced : JSON.stringify(replaced),
    'a/pytorch_adapter.bin': writeTorch(tensors),
  });
}

async function changedPeft(config: (fields: Fields) => unknown, weights?: (tensors: Tensors) => unknown): Promise<Files> {
  const source = 'test/golden/peft/lora-bare';
  const fields = JSON.parse(await text(nodeFiles, `${source}/adapter_config.json`)) as Fields;
  config(fields);
  const { tensors } = await readSafetensors(nodeFiles, `${source}/adapter_model.safetensors`);
  weights?.(tensors);
  return memoryFiles({ 'a/adapter_config.json': JSON.stringify(fields), 'a/adapter_model.safetensors': writeSafetensors(tensors) });
}

const set = (key: string, value: unknown) => (fields: Fields) => void Object.assign(fields, { [key]: value });
const setConfig = (key: string, value: unknown) => (fields: Fields) => void Object.assign(fields.config as Fields, { [key]: value });
const same = () => undefined;
const FIRST = 'bert.encoder.layer.0.output.adapters.golden.adapter_down.0.weight';
const QUERY = 'base_model.model.encoder.layer.0.attention.self.query.lora_A.weight';

const NOT_A_NUMBER = (await text(nodeFiles, 'test/golden/methods/seq_bn/adapter_config.json')).replace(
  '"config": {',
  '"config": {"more": NaN,',
);

type Attempt = [title: string, code: string, subject: RegExp, files: () => Promise<Files>, options?: Partial<LoadingOptions>];

const ATTEMPTS: Attempt[] = [
  ['no object', 'adapter.format', /adapter_config/, () => changed('seq_bn', () => '[]')],
  ['no JSON', 'file.syntax', /adapter_config/, () => changed('seq_bn', () => '{"config":')],
  ['a key twice, of which the last counts', 'adapter.format', /'name'/, () => changed('seq_bn', () => '{"name":"a","name":"b/c"}')],
  ['no config file', 'file.missing', /adapter_config/, async () => memoryFiles({ 'a/x': '' })],
  ['no config', 'adapter.format', /'config'/, () => changed('seq_bn', set('config', undefined))],
  ['config is the name of no method', 'method.config', /method/, () => changed('seq_bn', set('config', 'telepathy'))],
  ['no name', 'adapter.format', /'name'/, () => changed('seq_bn', set('name', undefined))],
  ['a number as name', 'adapter.format', /'name'/, () => changed('seq_bn', set('name', 7))],
  ['a path as name', 'adapter.format', /'name'/, () => changed('seq_bn', set('name', '../x'))],
  ['a dot in the name', 'adapter.format', /'name'/, () => changed('seq_bn', set('name', 'a.b'))],
  ['a backslash in the name', 'adapter.format', /'name'/, () => changed('seq_bn', set('name', 'a\\b'))],
  ['a control character in the name', 'adapter.format', /'name'/, () => changed('seq_bn', set('name', 'a\u0000'))],
  ['a very long name', 'adapter.format', /'name'/, () => changed('seq_bn', set('name', 'x'.repeat(100_000)))],
  ['the reserved name', 'adapter.format', /'name'/, () => changed('seq_bn', set('name', '__base__'))],
  ['a path asked for as name', 'adapter.format', /'name'/, () => changed('seq_bn', same), { as: '../../x' }],
  ['another family', 'adapter.mismatch', /model_type/, () => changed('seq_bn', set('model_type', 'roberta'))],
  ['another size', 'adapter.mismatch', /hidden_size/, () => changed('seq_bn', set('hidden_size', 768))],
  ['a size that is text', 'adapter.format', /hidden_size/, () => changed('seq_bn', set('hidden_size', '32'))],
  ['a family that is a list', 'adapter.format', /model_type/, () => changed('seq_bn', set('model_type', ['bert']))],
  [
    'a deeper encoder',
    'adapter.mismatch',
    /pytorch_adapter/,
    () => changed('seq_bn', same, (tensors) => tensors.set(FIRST.replace('layer.0', 'layer.11'), tensors.get(FIRST) as Tensor)),
  ],
  [
    'a shallower encoder',
    'adapter.mismatch',
    /pytorch_adapter/,
    () =>
      changed('seq_bn', same, (tensors) => [...tensors.keys()].filter((key) => key.includes('layer.2')).map((key) => tensors.delete(key))),
  ],
  ['an unknown method', 'method.config', /adapter_config/, () => changed('seq_bn', setConfig('architecture', 'nonsense'))],
  ['a method that is an object', 'method.config', /adapter_config/, () => changed('seq_bn', setConfig('architecture', { a: 1 }))],
  ['an unsupported part', 'method.config', /inv_adapter/, () => changed('seq_bn', setConfig('inv_adapter', 'glow'))],
  ['a factor of zero', 'method.config', /reduction_factor/, () => changed('seq_bn', setConfig('reduction_factor', 0))],
  ['an incomplete map of factors', 'method.config', /reduction_factor/, () => changed('seq_bn', setConfig('reduction_factor', { 1: 8 }))],
  ['a factor that widens absurdly', 'adapter.format', /pytorch_adapter/, () => changed('seq_bn', setConfig('reduction_factor', 1e-300))],
  ['huge ranks', 'adapter.format', /pytorch_adapter/, () => changed('lora', setConfig('r', 2 ** 40))],
  ['rank as text', 'method.config', /'r'/, () => changed('lora', setConfig('r', '8'))],
  [
    'the config of another method',
    'adapter.format',
    /pytorch_adapter/,
    async () => {
      const lora = JSON.parse(await text(nodeFiles, 'test/golden/methods/lora/adapter_config.json')) as Fields;
      return changed('seq_bn', set('config', lora.config));
    },
  ],
  ['an activation that is a number', 'method.config', /non_linearity/, () => changed('seq_bn', setConfig('non_linearity', 7))],
  ['an unknown activation', 'method.config', /non_linearity/, () => changed('seq_bn', setConfig('non_linearity', 'constructor'))],
  [
    'no weights',
    'file.missing',
    /^a$/,
    async () => memoryFiles({ 'a/adapter_config.json': await text(nodeFiles, 'test/golden/methods/seq_bn/adapter_config.json') }),
  ],
  ['one tensor missing', 'adapter.format', /pytorch_adapter/, () => changed('seq_bn', same, (tensors) => tensors.delete(FIRST))],
  [
    'one tensor of another shape',
    'adapter.format',
    /pytorch_adapter/,
    () => changed('seq_bn', same, (tensors) => tensors.set(FIRST, float32([1], [1]))),
  ],
  [
    'a tensor of integers',
    'file.dtype',
    /adapter_down/,
    () => changed('seq_bn', same, (tensors) => tensors.set(FIRST, { dtype: 'int32', shape: [4, 32], data: new Int32Array(128) })),
  ],
  [
    'a tensor with and without prefix',
    'adapter.format',
    /pytorch_adapter/,
    () => changed('seq_bn', same, (tensors) => tensors.set(FIRST.slice(5), tensors.get(FIRST) as Tensor)),
  ],
  [
    'truncated weights',
    'file.truncated',
    /pytorch_adapter/,
    async () => {
      const files = await changed('seq_bn', same);
      await files.truncate('a/pytorch_adapter.bin', 3000);
      return files;
    },
  ],
  [
    'a tensor of its own without a place',
    'adapter.format',
    /pytorch_adapter/,
    () =>
      changed('seq_bn', same, (tensors) => tensors.set(FIRST.replace('adapter_down.0', 'gate'), float32([1, 32], new Float32Array(32)))),
  ],
  [
    'a tensor under its old name and its new one',
    'adapter.format',
    /pytorch_adapter/,
    () =>
      changed('seq_bn', same, (tensors) =>
        tensors.set(FIRST.replace('output.adapters', 'output.layer_text_task_adapters'), tensors.get(FIRST) as Tensor),
      ),
  ],
  ['a setting of a version to come', 'adapter.format', /'config'/, () => changed('seq_bn', setConfig('new_kind_of_gate', 'sum'))],
  ['a setting that is not a number', 'adapter.format', /'config'/, () => changed('seq_bn', () => NOT_A_NUMBER)],
  [
    'an attribute that does not fit',
    'method.config',
    /dropout/,
    () => changed('seq_bn', () => NOT_A_NUMBER.replace('"more": NaN,', '').replace('"dropout": 0.0', '"dropout": NaN')),
  ],
  ['layers left out of what has none', 'method.config', /leave_out/, () => changed('prompt_tuning', same), { leaveOut: [1] }],
  ['all layers left out', 'method.site', /leave_out/, () => changed('seq_bn', same), { leaveOut: [0, 1, 2] }],
  ['a layer that is no number', 'method.config', /leave_out/, () => changed('seq_bn', same), { leaveOut: [Number.NaN] }],
  ['PEFT of another kind', 'adapter.format', /peft_type/, () => changedPeft(set('peft_type', 'VERA'))],
  ['PEFT with a switch that changes the sum', 'adapter.format', /use_dora/, () => changedPeft(set('use_dora', true))],
  ['PEFT that changed the encoder', 'adapter.format', /init_lora_weights/, () => changedPeft(set('init_lora_weights', 'pissa'))],
  [
    'PEFT with a regular expression that is not read',
    'adapter.format',
    /alpha_pattern/,
    () => changedPeft(set('alpha_pattern', { '(?=a)': 2 })),
  ],
  [
    'PEFT with trained weights of the encoder',
    'adapter.format',
    /safetensors/,
    () => changedPeft(same, (tensors) => tensors.set('base_model.model.pooler.dense.weight', float32([32, 32], new Float32Array(1024)))),
  ],
  ['PEFT with half a pair', 'adapter.format', /query/, () => changedPeft(same, (tensors) => tensors.delete(QUERY))],
  [
    'PEFT of another width',
    'adapter.mismatch',
    /query/,
    () => changedPeft(same, (tensors) => tensors.set(QUERY, float32([4, 768], new Float32Array(4 * 768)))),
  ],
  [
    'PEFT with an empty matrix of huge rank',
    'adapter.mismatch',
    /query/,
    () => changedPeft(same, (tensors) => tensors.set(QUERY, float32([2 ** 31, 0], []))),
  ],
  [
    'PEFT with two ranks in a pair',
    'adapter.format',
    /query/,
    () => changedPeft(same, (tensors) => tensors.set(QUERY, float32([2, 32], new Float32Array(64)))),
  ],
  [
    'PEFT of a deeper encoder',
    'adapter.mismatch',
    /safetensors/,
    () =>
      changedPeft(same, (tensors) =>
        ['A', 'B'].map((half) =>
          tensors.set(
            QUERY.replace('layer.0', 'layer.3').replace('_A', `_${half}`),
            tensors.get(QUERY.replace('_A', `_${half}`)) as Tensor,
          ),
        ),
      ),
  ],
  [
    'PEFT on the pooler, of another width',
    'adapter.mismatch',
    /pooler/,
    () =>
      changedPeft(same, (tensors) =>
        ['A', 'B'].map((half) => tensors.set(`base_model.model.pooler.dense.lora_${half}.weight`, float32([4, 4], new Float32Array(16)))),
      ),
  ],
  [
    'PEFT on a linear of a head',
    'adapter.format',
    /classifier/,
    () =>
      changedPeft(same, (tensors) =>
        ['A', 'B'].map((half) => tensors.set(`base_model.model.classifier.lora_${half}.weight`, float32([4, 4], new Float32Array(16)))),
      ),
  ],
  ['PEFT without pairs', 'adapter.format', /safetensors/, () => changedPeft(same, (tensors) => tensors.clear())],
];

it.each(ATTEMPTS)('%s → %s', async (_title, code, subject, files, options) => {
  const failure = await loadAdapter(await files(), 'a', { encoder: await encoderOf(), ...options }).then(
    () => expect.unreachable('it was loaded'),
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(MultigraftError);
  expect(failure).toMatchObject({ code });
  expect((failure as MultigraftError).problem.subject).toMatch(subject);
  expect((failure as MultigraftError).message.length).toBeLessThan(2000);
});

it('the table above is whole', () => expect(ATTEMPTS).toHaveLength(59));

const HEADS: [title: string, code: string, subject: RegExp, change: (fields: Fields) => void][] = [
  ['a fixed head of no known class', 'head.config', /head_config/, set('config', null)],
  ['a head of another class', 'head.config', /model_class/, set('model_class', 'RobertaAdapterModel')],
  [
    'a fixed head of another family',
    'head.config',
    /head_config/,
    (fields) => Object.assign(fields, { config: null, model_class: 'RobertaForSequenceClassification' }),
  ],
  [
    'a fixed head without its weights',
    'adapter.format',
    /pytorch_model_head/,
    (fields) => Object.assign(fields, { config: null, model_class: 'BertForSequenceClassification' }),
  ],
  [
    'a fixed head of a text of labels',
    'head.config',
    /num_labels/,
    (fields) => Object.assign(fields, { config: null, model_class: 'BertForSequenceClassification', num_labels: '3' }),
  ],
  ['no type', 'head.config', /head_type/, setConfig('head_type', undefined)],
  ['an unknown type', 'head.config', /head_type/, setConfig('head_type', 'causal_lm')],
  ['no outputs', 'head.config', /head_config/, setConfig('num_labels', undefined)],
  ['a hundred layers', 'head.config', /layers/, setConfig('layers', 100)],
  ['labels beyond the outputs', 'head.config', /label2id/, setConfig('label2id', { a: 0, b: 9 })],
  ['two labels with one number', 'head.config', /label2id/, setConfig('label2id', { a: 0, b: 0 })],
  ['more outputs than weights', 'adapter.format', /pytorch_model_head/, setConfig('num_labels', 2 ** 30)],
  ['a path as name', 'adapter.format', /'name'/, set('name', '../x')],
  ['another size', 'adapter.mismatch', /hidden_size/, set('hidden_size', 64)],
];

it.each(HEADS)('head: %s → %s', async (_title, code, subject, change) => {
  const source = 'test/golden/heads/classification-1';
  const fields = JSON.parse(await text(nodeFiles, `${source}/head_config.json`)) as Fields;
  change(fields);
  const files = memoryFiles({
    'a/head_config.json': JSON.stringify(fields),
    'a/pytorch_model_head.bin': await nodeFiles.read(`${source}/pytorch_model_head.bin`),
  });
  const loading = loadHead(files, 'a', { encoder: await encoderOf() });
  await expect(loading).rejects.toMatchObject({ code, problem: { subject: expect.stringMatching(subject) } });
});

it.each(['dependency_parsing', 'causal_lm', 'seq2seq_lm', 'image_classification', 'my_own'])(
  'an adapter with a head of type %s loads without it, and says so; a damaged head is an error',
  async (type) => {
    const encoder = await encoderOf();
    const adapter = await changed('seq_bn', same);
    const source = 'test/golden/heads/classification-1';
    const fields = JSON.parse(await text(nodeFiles, `${source}/head_config.json`)) as Fields;
    const weights = await nodeFiles.read(`${source}/pytorch_model_head.bin`);
    await adapter.write('a/pytorch_model_head.bin', weights);
    await adapter.write('a/head_config.json', JSON.stringify(fields));
    expect((await loadAdapter(adapter, 'a', { encoder })).head?.name).toBe('classification-1');
    setConfig('head_type', type)(fields);
    await adapter.write('a/head_config.json', JSON.stringify(fields));
    const { head, notes } = await loadAdapter(adapter, 'a', { encoder });
    expect(head).toBeUndefined();
    expect(notes).toEqual([expect.stringMatching(`The head of 'golden' cannot be read, and is left out: .*"${type}"`)]);
    setConfig('head_type', 'classification')(fields);
    await adapter.write('a/head_config.json', JSON.stringify(fields));
    await adapter.truncate('a/pytorch_model_head.bin', weights.length - 40);
    await expect(loadAdapter(adapter, 'a', { encoder })).rejects.toMatchObject({ code: 'file.truncated' });
    expect((await loadAdapter(adapter, 'a', { encoder, head: false })).head).toBeUndefined();
  },
);

it('names that begin alike stay apart, whatever an adapter or a head is loaded as', async () => {
  const encoder = await encoderOf();
  const one = await loadAdapter(nodeFiles, 'test/golden/methods/seq_bn', { encoder, head: false });
  const files = await changed('seq_bn', same, (tensors) => {
    for (const [key, value] of [...tensors])
      for (const other of ['golde', 'golden2', 'a.b'])
        tensors.set(key.replace('.adapters.golden.', `.adapters.${other}.`), {
          ...value,
          data: (value.data as Float32Array).map((x) => -x),
        });
  });
  const values = ({ tensors }: { readonly tensors: ReadonlyMap<string, Tensor> }) => [...tensors.values()];
  for (const as of [undefined, 'golde', 'golden2', 'a,b', 'x'.repeat(240)]) {
    const { name, tensors, notes } = await loadAdapter(files, 'a', { encoder, ...(as !== undefined && { as }) });
    expect(name).toBe(as ?? 'golden');
    expect([...tensors.keys()].every((key) => key.includes(`.adapters.${name}.`))).toBe(true);
    expect(values({ tensors })).toEqual(values(one));
    expect(notes).toEqual([expect.stringContaining('Not part of')]);
  }
  const source = 'test/golden/heads/classification-1';
  const { tensors: weights } = await readTorch(nodeFiles, `${source}/pytorch_model_head.bin`);
  for (const [key, value] of [...weights])
    weights.set(key.replace('classification-1', 'classification-12'), { ...value, data: (value.data as Float32Array).map((x) => -x) });
  const heads = memoryFiles({
    'a/head_config.json': await text(nodeFiles, `${source}/head_config.json`),
    'a/pytorch_model_head.bin': writeTorch(weights),
  });
  const plain = await loadHead(nodeFiles, source, { encoder });
  for (const as of [undefined, 'classification-12', 'classification'])
    expect(values(await loadHead(heads, 'a', { encoder, as }))).toEqual(values(plain));
});

it('what is odd but harmless is loaded with notes', async () => {
  const encoder = await encoderOf();
  const norm = 'bert.encoder.layer.0.output.adapters.golden.adapter_norm_before.weight';
  const files = await changed(
    'bn-ln-before',
    (fields) => {
      fields.model_name = 'someone/other-model';
      setConfig('attention_type', 'sent-lvl-dynamic')(fields);
    },
    (tensors) => {
      tensors.set(norm, float32([32], new Float32Array(32).fill(Number.NaN)));
      const up = tensors.get(FIRST.replace('adapter_down.0', 'adapter_up')) as Tensor;
      tensors.set(FIRST.replace('adapter_down.0', 'adapter_up'), {
        dtype: 'float16',
        shape: up.shape,
        data: toFloat16(up.data as Float32Array),
      });
      tensors.set('bert.encoder.layer.0.adapters.another.weight', float32([1], [0]));
    },
  );
  const { notes } = await loadAdapter(files, 'a', { encoder });
  const expected = [
    /trained with 'someone\/other-model'/,
    /attention_type/,
    /should hold the same numbers/,
    /32 numbers that are not finite/,
    /1 float16 tensors/,
    /another\.weight/,
  ];
  expect(notes).toHaveLength(expected.length);
  for (const pattern of expected) expect(notes.some((note) => pattern.test(note))).toBe(true);
});

it('old files load: keys of version 1, names of activations, keys without prefix, LoRA scaled wrongly', async () => {
  const encoder = await encoderOf();
  const old = await changed(
    'seq_bn',
    (fields) => {
      fields.version = undefined;
      fields.type = 'text_task';
      setConfig('non_linearity', 'gelu')(fields);
      setConfig('invertible_adapter', null)(fields);
    },
    (tensors) => {
      for (const [key, value] of [...tensors]) {
        tensors.delete(key);
        tensors.set(key.slice('bert.'.length).replace('output.adapters.', 'output.layer_text_task_adapters.'), value);
      }
    },
  );
  const { method, tensors } = await loadAdapter(old, 'a', { encoder });
  expect(method.config.non_linearity).toBe('gelu_new');
  const today = await loadAdapter(nodeFiles, 'test/golden/methods/seq_bn', { encoder });
  expect(tensors).toEqual(today.tensors);
  const early = await changed('lora', set('version', 'adapters.1.0.1'));
  expect((await loadAdapter(early, 'a', { encoder })).method.config).toMatchObject({ r: 3, alpha: 3 });
});

it('saving refuses what cannot be kept', async () => {
  const encoder = await encoderOf();
  const adapter = await loadAdapter(nodeFiles, 'test/golden/methods/seq_bn', { encoder });
  const files = memoryFiles();
  const tensors = new Map(adapter.tensors);
  tensors.delete(FIRST);
  await expect(saveAdapter(files, 'a', { ...adapter, tensors })).rejects.toMatchObject({ code: 'adapter.format' });
  await expect(saveAdapter(files, 'a', { ...adapter, name: '../a' })).rejects.toMatchObject({ code: 'adapter.format' });
  await expect(saveAdapter(files, 'a', adapter, { layout: 'peft' })).rejects.toMatchObject({ code: 'adapter.format' });
  expect(await files.kind('a')).toBe('none');
});

it('500 adapter configs and weights with bytes changed: loaded or refused with a typed error', async () => {
  const encoder = await encoderOf();
  const config = await nodeFiles.read('test/golden/methods/lora/adapter_config.json');
  const weights = await nodeFiles.read('test/golden/methods/lora/pytorch_adapter.bin');
  const configs = await attack(
    [config],
    300,
    7,
    (bytes) => loadAdapter(memoryFiles({ 'a/adapter_config.json': bytes, 'a/pytorch_adapter.bin': weights }), 'a', { encoder }),
    ({ tensors }) => expect(tensors.size).toBeGreaterThan(0),
  );
  const bins = await attack(
    [weights],
    200,
    8,
    (bytes) => loadAdapter(memoryFiles({ 'a/adapter_config.json': config, 'a/pytorch_adapter.bin': bytes }), 'a', { encoder }),
    ({ tensors }) => expect(tensors.size).toBe(12),
  );
  expect(configs.tried + bins.tried).toBe(500);
  expect(configs.refused).toBeGreaterThan(100);
});

it('says what a start that changes the encoder may be in its place', async () => {
  const read = loadAdapter(await changedPeft(set('init_lora_weights', 'olora')), 'a', { encoder: await encoderOf() });
  await expect(read).rejects.toThrow('found "olora"; expected true, false, "gaussian", "orthogonal" or "eva"');
});
