import { expect, it } from 'vitest';
import { MultigraftError } from '../../src/base/errors.ts';
import { type Files, memoryFiles } from '../../src/base/files.ts';
import { nodeFiles } from '../../src/base/files-node.ts';
import { createRandom } from '../../src/base/random.ts';
import { float32, type Tensor } from '../../src/base/tensor.ts';
import { type LoadingFusion, loadFusion, loadSetup, saveFusion } from '../../src/checkpoint/index.ts';
import { loadEncoder } from '../../src/encoders/index.ts';
import { readTorch, writeTorch } from '../../src/formats/torch.ts';
import { type ConfiguredMethod, configureMethod } from '../../src/methods/index.ts';
import { mutate } from './mutate.ts';

type Fields = Record<string, unknown>;
type Tensors = Map<string, Tensor>;

const SOURCE = 'test/golden/fusion-saved/setup/a,b';
const CONFIG = 'adapter_fusion_config.json';
const WEIGHTS = 'pytorch_model_adapter_fusion.bin';
const QUERY = 'bert.encoder.layer.0.output.adapter_fusion_layer.a,b.query.weight';
const VALUE = 'bert.encoder.layer.2.output.adapter_fusion_layer.a,b.value.weight';
const ADAPTERS = new Map<string, ConfiguredMethod>(['a', 'b'].map((name) => [name, configureMethod('seq_bn')]));

const encoderOf = async (name = 'bert') => ({
  ...(await loadEncoder(nodeFiles, `test/golden/encoders/${name}`)),
  name: `multigraft-tiny-${name}`,
});
const same = () => undefined;
const set = (key: string, value: unknown) => (fields: Fields) => void Object.assign(fields, { [key]: value });
const setConfig = (key: string, value: unknown) => (fields: Fields) => void Object.assign(fields.config as Fields, { [key]: value });

/** A good folder in memory, with some of it changed. */
async function changed(config: (fields: Fields) => unknown, weights?: (tensors: Tensors) => unknown): Promise<Files> {
  const fields = JSON.parse(new TextDecoder().decode(await nodeFiles.read(`${SOURCE}/${CONFIG}`))) as Fields;
  const replaced = config(fields) ?? fields;
  const { tensors } = await readTorch(nodeFiles, `${SOURCE}/${WEIGHTS}`);
  weights?.(tensors);
  return memoryFiles({
    [`f/${CONFIG}`]: typeof replaced === 'string' ? replaced : JSON.stringify(replaced),
    [`f/${WEIGHTS}`]: writeTorch(tensors),
  });
}

async function cut(length: number): Promise<Files> {
  const files = await changed(same);
  await files.truncate(`f/${WEIGHTS}`, length);
  return files;
}

type Attempt = [title: string, code: string, message: RegExp, files: () => Promise<Files>, options?: Partial<LoadingFusion>];

const seq = (names: readonly string[], text = 'seq_bn') => new Map(names.map((name) => [name, configureMethod(text)]));

const ATTEMPTS: Attempt[] = [
  ['no object', 'adapter.format', /adapter_fusion_config/, () => changed(() => '[]')],
  ['no JSON', 'file.syntax', /adapter_fusion_config/, () => changed(() => '{"config":')],
  ['no config', 'adapter.format', /'config'/, () => changed(set('config', undefined))],
  ['a list as config', 'adapter.format', /'config'/, () => changed(set('config', []))],
  ['an unknown preset', 'method.config', /'config'.*dynamic/, () => changed(set('config', 'dynamc'))],
  ['a key less', 'adapter.format', /no value; expected the keys key, query/, () => changed(setConfig('value', undefined))],
  ['text for a flag', 'method.config', /'query': found "yes"/, () => changed(setConfig('query', 'yes'))],
  ['an impossible dropout', 'method.config', /'dropout_prob'/, () => changed(setConfig('dropout_prob', 1.5))],
  ['no name', 'adapter.format', /'name'/, () => changed(set('name', undefined))],
  ['a path as name', 'adapter.format', /'name'/, () => changed(set('name', '../x'))],
  ['a path asked for as name', 'adapter.format', /'name'/, () => changed(same), { as: '../x' }],
  ['a path as adapter', 'adapter.format', /'adapter_names'/, () => changed(set('adapter_names', ['a', '../b']))],
  ['a number as adapters', 'adapter.format', /'adapter_names'/, () => changed(set('adapter_names', 7))],
  ['no adapters', 'adapter.format', /'adapter_names'/, () => changed(set('adapter_names', []))],
  ['an adapter twice', 'adapter.duplicate', /'a' twice/, () => changed(set('adapter_names', ['a', 'a']))],
  ['an adapter that is absent', 'adapter.missing', /no adapter c/, () => changed(set('adapter_names', ['a', 'c']))],
  ['an adapter named like a property', 'adapter.missing', /no adapter __proto__/, () => changed(set('adapter_names', ['__proto__']))],
  ['another family', 'adapter.mismatch', /model_type/, () => changed(set('model_type', 'roberta'))],
  ['another size', 'adapter.mismatch', /hidden_size/, () => changed(set('hidden_size', 768))],
  ['steps that are text', 'adapter.format', /'training_steps'/, () => changed(set('training_steps', 'many'))],
  ['half a step', 'adapter.format', /'training_steps'/, () => changed(set('training_steps', 0.5))],
  [
    'adapters that cannot be fused',
    'method.config',
    /cannot be fused/,
    () => changed(same),
    { adapters: seq(['a', 'b'], 'lora[use_gating=True]') },
  ],
  [
    'adapters at more places',
    'adapter.mismatch',
    /after output; expected/,
    () => changed(same),
    { adapters: seq(['a', 'b'], 'double_seq_bn') },
  ],
  ['no weights', 'file.missing', /no weights/, async () => memoryFiles({ [`f/${CONFIG}`]: await nodeFiles.read(`${SOURCE}/${CONFIG}`) })],
  ['empty weights', 'file.syntax', /pytorch_model/, () => cut(0)],
  ['half of the weights', 'file.truncated', /pytorch_model/, () => cut(20_000)],
  ['a tensor less', 'adapter.format', /no bert.*value\.weight/, () => changed(same, (tensors) => tensors.delete(VALUE))],
  [
    'a tensor of another shape',
    'adapter.format',
    /query\.weight \[16,64\] instead of \[32,32\]/,
    () => changed(same, (tensors) => tensors.set(QUERY, float32([16, 64], new Float32Array(1024)))),
  ],
  [
    'a deeper encoder',
    'adapter.mismatch',
    /12 layers/,
    () => changed(same, (tensors) => tensors.set(QUERY.replace('layer.0', 'layer.11'), tensors.get(QUERY) as Tensor)),
  ],
  [
    'a tensor with and without its prefix',
    'adapter.format',
    /with and without/,
    () => changed(same, (tensors) => tensors.set(QUERY.slice('bert.'.length), tensors.get(QUERY) as Tensor)),
  ],
  [
    'tensors of another fusion alone',
    'adapter.format',
    /no bert.*query/,
    () =>
      changed(same, (tensors) => {
        for (const key of [...tensors.keys()]) if (key.includes('.a,b.')) tensors.delete(key);
      }),
  ],
];

it('refuses what is wrong in a folder, by its name', async () => {
  const encoder = await encoderOf();
  for (const [title, code, message, files, options] of ATTEMPTS) {
    const outcome = loadFusion(await files(), 'f', { encoder, adapters: ADAPTERS, ...options });
    await expect(outcome, title).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  }
  expect(ATTEMPTS).toHaveLength(31);
});

it('takes what is strange but harmless, and says so', async () => {
  const encoder = await encoderOf();
  const load = async (files: Promise<Files>, options: Partial<LoadingFusion> = {}) =>
    loadFusion(await files, 'f', { encoder, adapters: ADAPTERS, ...options });
  const other = "f/pytorch_model_adapter_fusion.bin also holds weights of the fusion 'a,b-static', ignored.";
  const plain = await load(changed(same));
  expect(plain.notes).toEqual([other]);

  const bare = changed(same, (tensors) => {
    for (const [key, value] of [...tensors]) {
      tensors.delete(key);
      tensors.set(key.slice('bert.'.length), value);
    }
  });
  expect((await load(bare)).tensors).toEqual(plain.tensors);
  expect((await load(changed(set('adapter_names', undefined)))).tensors).toEqual(plain.tensors);
  expect((await load(changed(set('adapter_names', 'a,b')))).tensors).toEqual(plain.tensors);
  expect((await load(changed(setConfig('dropout_prob', undefined)))).config).toEqual(plain.config);
  expect((await load(changed(setConfig('heads', 4)))).notes).toEqual([
    `Keys of f/${CONFIG} that a fusion does not have, ignored: heads.`,
    other,
  ]);
  expect((await load(changed(set('training_steps', 7)))).steps).toBe(7);
  const broken = changed(same, (tensors) => tensors.set(QUERY, float32([32, 32], new Float32Array(1024).fill(Number.NaN))));
  expect((await load(broken)).notes).toEqual([other, `${QUERY} holds 1024 numbers that are not finite.`]);
  const elsewhere = await load(changed(set('model_name', 'other')));
  expect(elsewhere.notes[0]).toBe(
    "It was trained with 'other' and is loaded into 'multigraft-tiny-bert': they must have the same weights.",
  );

  // A name is a name, whatever patterns it may look like.
  const renamed = await load(changed(same), { as: '$&,$1' });
  expect([renamed.name, renamed.tensors.size]).toEqual(['$&,$1', plain.tensors.size]);
  expect(renamed.tensors.get(QUERY.replace('a,b', () => '$&,$1'))).toEqual(plain.tensors.get(QUERY));
});

it('a fusion with nothing to train has the linear that Python expects, and forgets it', async () => {
  const encoder = await encoderOf();
  const config = {
    ...(await loadFusion(await changed(same), 'f', { encoder, adapters: ADAPTERS })).config,
    query: false,
    key: false,
    value: false,
  };
  const files = memoryFiles();
  await saveFusion(files, 'f', { name: 'none', adapters: ADAPTERS, config, tensors: new Map(), model: encoder });
  const { tensors } = await readTorch(files, `f/${WEIGHTS}`);
  const at = (layer: number) => `bert.encoder.layer.${layer}.output.adapter_fusion_layer.none.dense`;
  expect([...tensors].map(([key, { shape }]) => [key, shape])).toEqual(
    [0, 1, 2].flatMap((layer) => [
      [`${at(layer)}.weight`, [1, 32]],
      [`${at(layer)}.bias`, [1]],
    ]),
  );
  const loaded = await loadFusion(files, 'f', { encoder, adapters: ADAPTERS });
  expect([loaded.tensors.size, loaded.notes]).toEqual([0, []]);
});

it('refuses to write what Python would not find again', async () => {
  const encoder = await encoderOf();
  const fusion = await loadFusion(await changed(same), 'f', { encoder, adapters: ADAPTERS });
  const files = memoryFiles();
  const less = new Map([...fusion.tensors].slice(1));
  await expect(saveFusion(files, 'f', { ...fusion, tensors: less })).rejects.toMatchObject({ code: 'adapter.format' });
  await expect(saveFusion(files, 'f', { ...fusion, name: 'a.b' })).rejects.toMatchObject({ code: 'adapter.format' });
  expect(await files.kind('f')).toBe('none');
});

const single = (name: unknown) => ({ type: 'single', children: [name] });
const block = (type: unknown, ...children: unknown[]) => ({ type, children });
const fuseAB = block('Fuse', single('a'), single('b'));

const SETUPS: readonly [title: string, code: string, message: RegExp, setup: unknown, head?: unknown][] = [
  ['nothing', 'adapter.format', /'adapter_setup': found nothing/, undefined],
  ['text', 'adapter.format', /'adapter_setup'/, 'Fuse(a,b)'],
  ['no children', 'adapter.format', /children/, { type: 'Stack' }],
  ['empty children', 'adapter.format', /at least one/, block('Fuse')],
  ['another block', 'adapter.format', /"Beside".*other blocks/, block('Beside', single('a'), single('b'))],
  ['a type like a property', 'adapter.format', /"constructor"/, block('constructor', single('a'))],
  ['two names as one', 'adapter.format', /one name/, block('Stack', { type: 'single', children: ['a', 'b'] })],
  ['a path as name', 'adapter.format', /"..\/a"/, block('Stack', single('../a'))],
  ['a number as name', 'adapter.format', /found 3/, block('Stack', single(3))],
  ['a path as the name of a fusion', 'adapter.format', /the fusion's name/, { ...fuseAB, kwargs: { name: '../x' } }],
  ['other kwargs', 'adapter.format', /kwargs/, { ...fuseAB, kwargs: { splits: 3 } }],
  ['kwargs of a stack', 'adapter.format', /no kwargs/, { ...block('Stack', single('a')), kwargs: { name: 'x' } }],
  ['an adapter twice', 'adapter.duplicate', /'a' twice/, block('Fuse', single('a'), single('a'))],
  ['a fusion in a fusion', 'composition.nesting', /Fuse in Fuse/, block('Fuse', fuseAB, single('c'))],
  ['a stack in a stack', 'composition.nesting', /Stack in Stack/, block('Stack', block('Stack', single('a')), single('c'))],
  ['deep nesting', 'composition.nesting', /Fuse in Stack in Fuse/, block('Fuse', block('Stack', fuseAB, single('c')), single('d'))],
  ['a path as head', 'adapter.format', /'head_setup'/, block('Stack', single('a')), '../head'],
  ['a fusion without a folder', 'file.missing', /no fusion of a, b/, fuseAB],
];

it('refuses setups that are wrong or not available', async () => {
  for (const [title, code, message, setup, head] of SETUPS) {
    const files = memoryFiles({ 's/adapter_setup.json': JSON.stringify({ adapter_setup: setup, head_setup: head ?? null }) });
    await expect(loadSetup(files, 's'), title).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  }
  expect(SETUPS).toHaveLength(18);
  await expect(loadSetup(memoryFiles({ 's/adapter_setup.json': '[]' }), 's')).rejects.toMatchObject({ code: 'adapter.format' });
  await expect(loadSetup(memoryFiles({ 's/x': '' }), 's')).rejects.toMatchObject({ code: 'file.missing' });
});

it('300 damaged folders end in a typed error or in a fusion of the right size', async () => {
  const encoder = await encoderOf();
  const [config, weights] = await Promise.all([CONFIG, WEIGHTS].map((name) => nodeFiles.read(`${SOURCE}/${name}`)));
  const random = createRandom(5);
  let refused = 0;
  for (let i = 0; i < 300; i++) {
    const damage = (bytes: Uint8Array | undefined, chosen: boolean) =>
      chosen ? mutate(bytes as Uint8Array, random) : (bytes as Uint8Array);
    const files = memoryFiles({ [`f/${CONFIG}`]: damage(config, i % 2 === 0), [`f/${WEIGHTS}`]: damage(weights, i % 2 === 1) });
    try {
      const { tensors } = await loadFusion(files, 'f', { encoder, adapters: ADAPTERS });
      expect(tensors.size % 3).toBe(0);
    } catch (error) {
      if (!(error instanceof MultigraftError)) throw new Error(`damage ${i} did not end in a typed error`, { cause: error });
      expect(error.message.length).toBeLessThan(2_000);
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(60);
});
