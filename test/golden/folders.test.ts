import { describe, expect, test } from 'vitest';
import { memoryFiles } from '../../src/base/files.ts';
import { int32, type Tensor } from '../../src/base/tensor.ts';
import { loadAdapter, loadHead, saveAdapter, saveHead } from '../../src/checkpoint/index.ts';
import { type Encoder, loadEncoder } from '../../src/encoders/index.ts';
import type { ConfiguredMethod } from '../../src/methods/index.ts';
import { withLabels } from '../../src/model/head-task.ts';
import { type Head, labelsOf, MASKED_LM } from '../../src/objectives/index.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { goldenFiles } from './files.ts';
import { type Batch, forward, readCases, relativeError } from './forward.ts';

type Numbers = readonly (number | Numbers)[];

interface Case {
  readonly group: string;
  readonly encoder: string;
  readonly batch: string;
  readonly adapter?: string;
  readonly head?: string;
  readonly leaveOut?: number[];
  /** Rows of a masked language model are those of the first sequence. */
  readonly logits64?: Numbers;
  readonly hidden64?: Numbers;
}

const golden = readCases<{ batches: Record<string, Batch>; cases: Record<string, Case> }>('folders/folders.json');
const casesOf = (group: string) => Object.entries(golden.cases).filter(([, one]) => one.group === group);

async function encoderOf({ encoder, batch }: Case): Promise<Encoder> {
  return { ...(await loadEncoder(goldenFiles, `test/golden/${encoder}`)), name: `multigraft-tiny-${batch}` };
}

interface Loaded {
  readonly name?: string;
  readonly method?: ConfiguredMethod;
  readonly head?: Head & { readonly tensors: ReadonlyMap<string, Tensor> };
  readonly tensors: ReadonlyMap<string, Tensor>;
}

async function compare(given: Case, encoder: Encoder, { name = '', method, head, tensors }: Loaded) {
  const batch = golden.batches[given.batch] as Batch;
  const width = batch.inputIds[0]?.length ?? 0;
  const places =
    head?.kind === MASKED_LM
      ? {
          maskedPlaces: int32(
            [width],
            Array.from({ length: width }, (_, i) => i),
          ),
        }
      : {};
  const all = new Map([...tensors, ...(head?.tensors ?? [])]);
  const results = await forward(
    await nodeEngine({ threads: 1 }),
    { encoder, name, tensors: all, ...(method && { method }), ...(head && { head }), feeds: places },
    batch,
  );
  const [got, wanted] = given.logits64 ? [results.logits, given.logits64] : [results.hidden, given.hidden64];
  expect(relativeError(got, (wanted as Numbers).flat(9) as number[])).toBeLessThan(1e-5);
}

describe.each(casesOf('encoders'))('%s', (_, given) => {
  test('has a projection of its embeddings where Python has one', async () => {
    const encoder = await encoderOf(given);
    expect([...encoder.weights.keys()].some((name) => /embeddings_project|embedding_hidden_mapping_in/.test(name))).toBe(
      given.batch === 'albert',
    );
    await compare(given, encoder, { tensors: new Map() });
  });
});

describe.each(casesOf('heads'))('%s', (name, given) => {
  test('gives the logits of Python, and again when saved', async () => {
    const encoder = await encoderOf(given);
    const head = await loadHead(goldenFiles, `test/golden/${given.head}`, { encoder });
    expect(head.notes).toEqual([]);
    const files = memoryFiles();
    await saveHead(files, 'again', head, encoder);
    for (const one of [head, await loadHead(files, 'again', { encoder })]) await compare(given, encoder, { head: one, tensors: new Map() });
    if (name.endsWith('gap')) expect(labelsOf(withLabels(head))).toEqual(['alpha', '1', 'gamma']);
  });
});

/** An adapter with its head, or a head alone, as it lies in its folder or under another name. */
async function load(
  { adapter, head, leaveOut }: Case,
  encoder: Encoder,
  as?: string,
): Promise<Loaded & { readonly notes: readonly string[] }> {
  const named = as === undefined ? {} : { as };
  if (adapter !== undefined)
    return loadAdapter(goldenFiles, `test/golden/${adapter}`, { encoder, ...named, ...(leaveOut && { leaveOut }) });
  const loaded = await loadHead(goldenFiles, `test/golden/${head}`, { encoder, unnamed: 'old', ...named });
  return { head: loaded, tensors: new Map(), notes: loaded.notes };
}

describe.each(casesOf('fixed'))('%s', (name, given) => {
  test('is the head that Python makes of it, and is saved as that', async () => {
    const encoder = await encoderOf(given);
    const loaded = await load(given, encoder);
    expect(loaded.notes).toEqual([]);
    await compare(given, encoder, loaded);
    await compare(given, encoder, await load(given, encoder, 'other'));
    const { head } = loaded;
    if (!head) return expect.unreachable();
    expect(head.name).toBe('old');
    const labels = {
      'fixed/bert-SequenceClassification': ['alpha', 'beta', 'gamma'],
      'fixed/bert-TokenClassification': ['LABEL_0', 'LABEL_1', 'LABEL_2'],
    };
    if (name in labels) expect(labelsOf(head)).toEqual(labels[name as keyof typeof labels]);
    const files = memoryFiles();
    await saveHead(files, 'again', head, encoder);
    await compare(given, encoder, { ...loaded, head: await loadHead(files, 'again', { encoder }) });
  });
});

test('there are fixed heads of five kinds on six families, and one of a number', () => expect(casesOf('fixed')).toHaveLength(31));

const NOTES: Readonly<Record<string, readonly RegExp[]>> = {
  'version-1-task': [/'gelu' is today's 'gelu_new'/, /attention_type, new_attention_norm/],
  'version-1-both': [/'gelu_orig' is today's 'gelu'/, /attention_type, new_attention_norm/],
  'version-1-language': [/'gelu' is today's 'gelu_new'/, /attention_type, new_attention_norm/],
  'version-1-task-unused-invertible': [/'gelu' is today's/, /invertible adapter is left out/, /attention_type, new_attention_norm/],
  'lora-before-1.1': [/did not apply alpha: it is read as 4 instead of 12/],
};

describe.each(casesOf('old'))('%s', (name, given) => {
  test('gives what Python computes, under another name and saved anew too', async () => {
    const encoder = await encoderOf(given);
    const loaded = await loadAdapter(goldenFiles, `test/golden/${given.adapter}`, {
      encoder,
      ...(given.leaveOut && { leaveOut: given.leaveOut }),
    });
    const expected = NOTES[name.slice('old/'.length)] ?? [];
    expect(loaded.notes).toEqual(expected.map((pattern) => expect.stringMatching(pattern)));
    await compare(given, encoder, loaded);
    await compare(given, encoder, await load(given, encoder, 'other'));
    const files = memoryFiles();
    await saveAdapter(files, 'again', loaded);
    const again = await loadAdapter(files, 'again', { encoder });
    expect(again.notes).toEqual([]);
    await compare(given, encoder, again);
  });
});
