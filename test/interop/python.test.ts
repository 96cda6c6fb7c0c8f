import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { nodeFiles } from '../../src/base/files-node.ts';
import { createRandom, type Random } from '../../src/base/random.ts';
import { float32, type Tensor } from '../../src/base/tensor.ts';
import { type HeadPackage, saveAdapter, saveEncoder, saveHead } from '../../src/checkpoint/index.ts';
import { type Encoder, type EncoderConfig, loadEncoder } from '../../src/encoders/index.ts';
import { type AdapterLayout, configureMethod, METHODS } from '../../src/methods/index.ts';
import { createHead, type Head, headParameters } from '../../src/objectives/index.ts';
import { referenceEngine } from '../../src/session/reference.ts';
import { goldenFiles } from '../golden/files.ts';
import { type Batch, forward, readCases } from '../golden/forward.ts';
import { askPython, python, randomTensor, record, valuesOf } from './python.ts';

/**
 * Adapters, heads and encoders that this package writes, loaded by Python's adapters, peft and transformers. Runs where the
 * environment variable MULTIGRAFT_PYTHON names a Python that has them; MULTIGRAFT_RECORD names a folder for the numbers.
 */
const ENCODERS = ['bert', 'roberta', 'xlm-roberta', 'distilbert', 'electra', 'albert', 'albert-groups'];
const HEADS: readonly Record<string, unknown>[] = [
  { head_type: 'classification', num_labels: 3, layers: 1 },
  { head_type: 'classification', num_labels: 2, layers: 2 },
  { head_type: 'classification', num_labels: 1, layers: 2 },
  { head_type: 'multilabel_classification', num_labels: 4, layers: 1 },
  { head_type: 'tagging', num_labels: 5, layers: 1 },
  { head_type: 'question_answering', num_labels: 2, layers: 1 },
  { head_type: 'multiple_choice', num_choices: 2, layers: 2 },
];
const NOT_IN_PYTHON = ['pals', 'bitfit', 'modules_to_save'];
/** Python fails at prompts on DistilBERT, and its heads of tokens and spans answer for the prompt too. */
const PROMPT = 'prompt_tuning';
/** Python fails at their rows of several choices. */
const NO_CHOICES = ['loreft', 'noreft', 'direft', 'unipelt'];
/** The gates of Python average over padding too: of these rows only the tokens that all have are taken. */
const GATED = 'unipelt';
const SHORTEST = 3;
/** Every preset once, aliases left out; row drop path needs torchvision in Python even where it does nothing. */
const PRESETS = METHODS.flatMap(({ presets }) => [
  ...new Map(Object.entries(presets).map(([name, preset]) => [JSON.stringify(preset), name])).values(),
])
  .filter((name) => usualLayout(name) === 'adapters' && !NOT_IN_PYTHON.includes(name))
  .map((name) => ({ adapter_plus: 'adapter_plus[stochastic_depth=0.0]', mtl_lora: 'mtl_lora[n_up_projection=2]' })[name] ?? name);
const EXTRA = [
  "lora[attn_matrices=['q','k','v'],intermediate_lora=True,output_lora=True,alpha=12]",
  'double_seq_bn[ln_before=True,ln_after=True,scaling="channel"]',
];

const PEFT: readonly [title: string, text: string][] = [
  ['LoRA with attention output', "lora[attn_matrices=['q','o'],intermediate_lora=True,output_lora=True,r=4,alpha=6]"],
  ['LayerNorm tuning', 'ln_tuning'],
  ['LoRA with whole modules', "lora|modules_to_save[modules=['output']]"],
  ['LoRA with ranks of its own', 'lora[linears="all-linear",rank_pattern={"q[a-z_]+":2,"v[a-z_]+":5},alpha_pattern={"k[a-z_]+":3}]'],
  ...[
    'loha',
    'lokr',
    'oft',
    'road[group_size=8]',
    'miss[r=4]',
    'shira[r=4]',
    'fourierft[n_frequency=20]',
    'randlora[r=4,randlora_alpha=8]',
  ].map((text): [string, string] => [text, text]),
];

function usualLayout(text: string): AdapterLayout | undefined {
  const { method, config } = configureMethod(text);
  return method.architecture === undefined ? undefined : (method.layouts?.(config) ?? ['adapters'])[0];
}

interface Case {
  name: string;
  [key: string]: unknown;
}
describe.skipIf(!python)(
  'what this package writes, read by Python (skipped: MULTIGRAFT_PYTHON names no Python with adapters and peft)',
  () => {
    let folder: string;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'multigraft-python-'));
    });
    afterAll(() => rm(folder, { recursive: true, force: true }));

    test('adapters, heads and encoders give the same outputs', async () => {
      const cases: Case[] = [];
      for (const name of ENCODERS) {
        const encoder = await loadEncoder(goldenFiles, `test/golden/encoders/${name}`);
        for (const [i, text] of [...PRESETS, ...EXTRA].entries()) {
          if (text === PROMPT && name === 'distilbert') continue;
          const heads = HEADS.length - (NO_CHOICES.includes(text) ? 1 : 0);
          const head = HEADS[text === PROMPT ? 0 : (i + ENCODERS.indexOf(name)) % heads] as object;
          cases.push(await adapterCase(folder, encoder, text, head));
        }
        for (const [title, text] of PEFT) cases.push(await peftCase(folder, encoder, title, text, HEADS[4] as object));
        cases.push(await fullCase(folder, encoder));
      }
      const bert = await loadEncoder(goldenFiles, 'test/golden/encoders/bert');
      for (const [i, head] of HEADS.entries())
        cases.push(await adapterCase(folder, bert, 'seq_bn', head, i % 2 ? 'safetensors' : 'bin', `all heads ${i}`));
      const pooled = { head_type: 'classification', num_labels: 3, layers: 1, use_pooler: true };
      for (const [title, text] of PEFT) cases.push(await peftCase(folder, bert, title, text, pooled));
      expect(PRESETS).toHaveLength(23);
      expect(cases).toHaveLength(7 * (23 + EXTRA.length + PEFT.length + 1) - 1 + 7 + PEFT.length);

      await writeFile(join(folder, 'manifest.json'), JSON.stringify({ tolerance: 1e-5, cases }));
      const results = await askPython('check_ours.py', join(folder, 'manifest.json'));
      expect(results.filter(({ ok }) => !ok)).toEqual([]);
      expect(results).toHaveLength(cases.length);
      await record('python', 'test/interop/python.test.ts', 'adapters, heads and encoders', results);
    });
  },
);

function batchOf({ config }: Encoder, name: string, length?: number): Batch {
  const batch = readCases<{ batches: Record<string, Batch> }>('methods/methods.json').batches[name] as Batch;
  const { tokenTypeIds, ...rest } = batch;
  const taken = config.types > 0 && tokenTypeIds ? { ...rest, tokenTypeIds } : rest;
  return Object.fromEntries(Object.entries(taken).map(([key, rows]) => [key, rows.map((row) => row.slice(0, length))])) as unknown as Batch;
}

function makeHead(config: object, name: string, encoder: EncoderConfig, random: Random): HeadPackage {
  const count = (config as { num_labels?: number; num_choices?: number }).num_labels ?? 2;
  const label2id = Object.fromEntries(Array.from({ length: count }, (_, i) => [`label ${i}`, i]));
  const head = createHead(name, { ...config, label2id });
  return { ...head, tensors: new Map(headParameters(head, encoder).map(({ name: key, shape }) => [key, randomTensor(shape, random)])) };
}

async function adapterCase(
  folder: string,
  encoder: Encoder,
  text: string,
  headConfig: object,
  format: 'bin' | 'safetensors' = 'bin',
  title = '',
): Promise<Case> {
  const name = `${text.replace(/\W+/g, '_')}_${title.replaceAll(' ', '_')}`;
  const random = createRandom(7, name.length, encoder.name.length);
  const narrow = 'reduction_factor' in configureMethod(text).config ? { reduction_factor: 8 } : {};
  const method = configureMethod(text, narrow);
  const specs = method.method.parameters(method.config, { encoder: encoder.config, family: encoder.family, name });
  const head = makeHead(headConfig, name, encoder.config, random);
  const tensors = await valuesOf(specs, encoder, random);
  const where = join(folder, `${encoder.name}-${name}`);
  await saveAdapter(nodeFiles, where, { name, method, tensors, head, model: encoder }, { format });
  const outputs = await outputsOf(encoder, head, new Map([...tensors, ...head.tensors]), method);
  return {
    name: `${text}${title && `, ${title}`} on ${encoder.name} with ${head.config.head_type}`,
    format: 'adapters',
    encoder: resolve(encoder.folder),
    adapter: where,
    ...outputs,
  };
}

async function peftCase(folder: string, encoder: Encoder, title: string, text: string, headConfig: object): Promise<Case> {
  const { head_type: headType } = headConfig as { head_type: string };
  const name = `peft_${text.replace(/\W+/g, '_')}_${headType}`;
  const random = createRandom(11, encoder.name.length);
  const method = configureMethod(text);
  const specs = method.method.parameters(method.config, { encoder: encoder.config, family: encoder.family, name });
  const head = makeHead(headConfig, name, encoder.config, random);
  const tensors = await valuesOf(specs, encoder, random);
  const where = join(folder, `${encoder.name}-${name}`);
  await saveAdapter(nodeFiles, where, { name, method, tensors, head, model: encoder });
  const outputs = await outputsOf(encoder, head, new Map([...tensors, ...head.tensors]), method);
  return {
    name: `PEFT ${title} on ${encoder.name} with ${head.config.head_type}`,
    format: 'peft',
    encoder: resolve(encoder.folder),
    adapter: where,
    ...outputs,
  };
}

/** A whole encoder whose layer norms and words have moved, with a head beside it. */
async function fullCase(folder: string, encoder: Encoder): Promise<Case> {
  const random = createRandom(13, encoder.name.length);
  const moved = new Map<string, Tensor>();
  for (const [name, weight] of encoder.weights) {
    const value = await weight.read();
    moved.set(
      name,
      float32(
        value.shape,
        (value.data as Float32Array).map((x) => x + 0.05 * random.normal()),
      ),
    );
  }
  const where = join(folder, `${encoder.name}-full`);
  const head = makeHead(HEADS[1] as object, 'full', encoder.config, random);
  await saveEncoder(nodeFiles, where, encoder, moved);
  await saveHead(nodeFiles, where, head, encoder);
  const outputs = await outputsOf(await loadEncoder(nodeFiles, where), head, head.tensors, undefined, encoder.name);
  return { name: `full fine-tuning of ${encoder.name}`, format: 'adapters', encoder: where, head: where, ...outputs };
}

async function outputsOf(
  encoder: Encoder,
  head: Head,
  tensors: ReadonlyMap<string, Tensor>,
  method?: ReturnType<typeof configureMethod>,
  batchName = encoder.name,
) {
  const whole = batchOf(encoder, batchName, method?.text === GATED ? SHORTEST : undefined);
  const rows = head.config.head_type === 'multiple_choice' ? 4 : whole.inputIds.length;
  const batch = Object.fromEntries(Object.entries(whole).map(([key, value]) => [key, value.slice(0, rows)])) as unknown as Batch;
  const { logits } = await forward(referenceEngine(), { encoder, ...(method && { method }), name: head.name, head, tensors }, batch);
  const values = Array.from(logits?.data as Float32Array);
  const width = (batch.inputIds[0] as number[]).length;
  const grouped = (flat: readonly number[], size: number) =>
    Array.from({ length: flat.length / size }, (_, i) => flat.slice(i * size, (i + 1) * size));
  if (head.config.head_type === 'multiple_choice') return { ...batch, choices: 2, logits: grouped(values, 2) };
  if (head.config.head_type === 'question_answering')
    return {
      ...batch,
      startLogits: grouped(
        values.filter((_, i) => i % 2 === 0),
        width,
      ),
      endLogits: grouped(
        values.filter((_, i) => i % 2 === 1),
        width,
      ),
    };
  const labels = head.config.num_labels as number;
  return {
    ...batch,
    logits: head.config.head_type === 'tagging' ? grouped(grouped(values, labels) as never, width) : grouped(values, labels),
  };
}
