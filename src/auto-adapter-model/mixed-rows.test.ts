import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { settled } from '../../test/contract/settings.ts';
import { TINY_ENCODER, TINY_TASKS, type TinyTask, tinyTask, writeTinyEncoder, writeTinyTask } from '../../test/tiny.ts';
import { nodeFiles } from '../base/files-node.ts';
import { createRandom, elementCount, float32, type Tensor } from '../base/index.ts';
import { saveAdapter } from '../checkpoint/index.ts';
import type { Encoder } from '../encoders/index.ts';
import { average, batchSplit, bindAdapter, type Composition, configureMethod, encoderFacts, methodNames, stack } from '../methods/index.ts';
import { firstValues } from '../model/first-values.ts';
import type { TokenPooling } from '../nn/index.ts';
import type { Answer } from '../predict/answer.ts';
import { nodeEngine } from '../session/node.ts';
import type { Engine } from '../session/session.ts';
import { loadTask } from '../tasks/index.ts';
import { AutoAdapterModel } from './auto-adapter-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'multigraft-mixed-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let engine: Engine;
beforeAll(async () => {
  engine = await nodeEngine({ threads: 1 });
});

async function opened(encoder = TINY_ENCODER, own = engine): Promise<AutoAdapterModel> {
  return AutoAdapterModel.fromPretrained(await writeTinyEncoder(join(folder, basename(encoder)), encoder), { engine: own });
}

/** An adapter whose values are all away from any neutral one. */
async function addRandom(model: AutoAdapterModel, name: string, method: string, seed: number): Promise<void> {
  const random = createRandom(seed);
  const configured = configureMethod(method);
  const { parameters } = bindAdapter(configured, { ...encoderFacts(model.encoder), name });
  const first = await firstValues(parameters, model.encoder, { seed });
  const tensors = new Map(
    parameters.map(({ name: own, shape, trains, init }): [string, Tensor] => {
      // What does not train may be places of something.
      if (trains === false && init.kind === 'derived') return [own, first.get(own) as Tensor];
      return [
        own,
        float32(
          shape,
          Array.from({ length: elementCount(shape) }, () => 0.3 * random.normal()),
        ),
      ];
    }),
  );
  await saveAdapter(nodeFiles, join(folder, name), { name, method: configured, tensors, model: model.encoder });
  await model.loadAdapter(join(folder, name), { setActive: false });
}

/** One adapter of each, called `of-0` and so on, with a head. */
async function addAll(model: AutoAdapterModel, presets: readonly string[]): Promise<void> {
  for (const [i, preset] of presets.entries()) {
    await addRandom(model, `of-${i}`, preset, i);
    model.addClassificationHead(`of-${i}`, { numLabels: 2 });
  }
}

/** What heads of three outputs read of all tokens. */
const READ: Readonly<Record<string, TokenPooling>> = { classification: 'mean', multilabel: 'max', choice: 'mean_sqrt_len' };

async function addHead(model: AutoAdapterModel, name: string, kind: string, outputs: number): Promise<void> {
  const pooling = outputs === 3 ? READ[kind] : undefined;
  if (kind === 'masked') return model.addMaskedLmHead(name);
  if (kind === 'regression') return model.addRegressionHead(name, { layers: outputs - 1 });
  if (kind === 'tagging') return model.addTaggingHead(name, { numLabels: outputs });
  if (kind === 'choice') return model.addMultipleChoiceHead(name, { numChoices: outputs, ...(pooling && { pooling }) });
  if (kind === 'span') return model.addQaHead(name);
  const reads = kind === 'pair' || pooling === undefined ? { usePooler: kind === 'pair' } : { pooling };
  return model.addClassificationHead(name, { numLabels: outputs, multilabel: kind === 'multilabel', ...reads });
}

const numbersOf = ({ logits, spans }: Answer) => [logits ?? [], spans?.map(({ score }) => score) ?? []].flat(3) as number[];
const largest = (answers: readonly Answer[]) => Math.max(...answers.flatMap(numbersOf).map(Math.abs));

/** The largest difference of numbers, by the largest of them, or of others. */
function distance(found: Answer, expected: Answer, scale = largest([expected])): number {
  const [a, b] = [numbersOf(found), numbersOf(expected)];
  expect(a).toHaveLength(b.length);
  expect(b.length).toBeGreaterThan(0);
  return Math.max(...a.map((x, i) => Math.abs(x - (b[i] as number)))) / scale;
}

type Row = Readonly<Record<string, unknown>>;

/** To 1e-5 of each row's own largest number, or of that of all rows. */
async function checkAlone(
  model: AutoAdapterModel,
  rows: readonly Row[],
  names: readonly (string | Composition)[],
  scale: 'row' | 'all rows' = 'row',
): Promise<Answer[]> {
  const mixed = await model.predict(rows, { adapterNames: names });
  expect(mixed).toHaveLength(rows.length);
  const alone: Answer[] = [];
  for (const [i, name] of names.entries()) {
    model.setActiveAdapters(name === '__base__' ? undefined : name);
    alone.push(...(await model.predict([rows[i] as Row])));
  }
  for (const [i, expected] of alone.entries()) {
    if (typeof expected.prediction !== 'number') expect(mixed[i]?.prediction).toEqual(expected.prediction);
    const by = largest(scale === 'row' ? [expected] : alone);
    if (expected.logits ?? expected.spans) expect(distance(mixed[i] as Answer, expected, by)).toBeLessThan(1e-5);
  }
  return mixed;
}

const TEXTS = ['bako mitu', 'le sar nof pi bako tu mi le ko', 'tu', 'sar nof bami koko', 'pi pi pi pi pi pi'];
const ROWS = TEXTS.map((text) => ({ text }));
/** Layers that share their parameters; narrow embeddings; norms before sub-blocks, rotary positions, windows; a bias by distance. */
const FAMILIES = ['albert-groups', 'electra', 'modernbert', 'mpnet'];
/** With two hidden words, and one. */
const MASKED = ['bako [MASK] sar [MASK]', 'le [MASK] nof', '[MASK]', 'tu mi le [MASK] [MASK]'].map((text) => ({ text }));
/** One name for each configuration, since others are old names for it, with settings that suit so small an encoder. */
const PRESETS = [
  ...new Map(
    methodNames()
      .map((name) => [name, configureMethod(name)] as const)
      .filter(([, { method }]) => method.architecture !== undefined)
      .map(([name, { method, config }]) => [`${method.name} ${JSON.stringify(config)}`, name] as const),
  ).values(),
].map(settled);

function fits(text: string, encoder: Encoder): boolean {
  try {
    return bindAdapter(configureMethod(text), { ...encoderFacts(encoder), name: 'a' }).parameters.length > 0;
  } catch {
    return false;
  }
}

describe('rows that each name their adapter', () => {
  it('are answered in one call as each is alone', async () => {
    const model = await opened();
    for (const [i, name] of ['a', 'b'].entries()) {
      await addRandom(model, name, 'seq_bn', i);
      model.addClassificationHead(name, { numLabels: 2 + i });
    }
    const rows = ['bako mitu', 'le sar nof pi bako', 'tu'].map((text) => ({ text }));
    const mixed = await checkAlone(model, rows, ['b', 'a', 'b']);
    expect(mixed.map(({ logits }) => logits?.length)).toEqual([3, 2, 3]);
  });

  it('have gates that look at their own tokens, and tell what these let through', async () => {
    const model = await opened();
    for (const [i, name] of ['c', 'd'].entries()) {
      await addRandom(model, name, i === 0 ? 'seq_bn' : 'unipelt', i);
      model.addClassificationHead(name, { numLabels: 2 });
    }
    const rows = ['bako mitu', 'le sar nof pi bako', 'tu'].map((text) => ({ text }));
    await checkAlone(model, rows, ['d', 'c', 'd']);
    const [alone] = await model.predict([{ text: 'tu' }], { explain: true });
    const [, beside] = await model.predict([{ text: 'le sar nof pi bako' }, { text: 'tu' }], { explain: true });
    const gates = Object.entries(alone?.observed ?? {});
    expect(gates.length).toBe(4 * model.encoder.config.layers);
    expect(Object.keys(alone?.observed ?? {})).toEqual(
      expect.arrayContaining(['gate of d/0.output', 'gate of d/1.query', 'gate of d/1.prefix']),
    );
    for (const [at, columns] of gates) {
      expect(columns.gate).toBeGreaterThan(0);
      expect(columns.gate).toBeLessThan(1);
      expect(beside?.observed?.[at]?.gate).toBeCloseTo(columns.gate as number, 5);
    }
  });

  it.each(PRESETS)('with adapters of %s', async (preset) => {
    const model = await opened();
    const other = preset === 'seq_bn' ? 'lora' : 'seq_bn';
    for (const [i, [name, method]] of [
      ['a', preset],
      ['b', preset],
      ['other', other],
    ].entries()) {
      await addRandom(model, name as string, method as string, i);
      model.addClassificationHead(name as string, { numLabels: 2 });
    }
    await checkAlone(model, ROWS, ['a', 'b', 'b', 'a', 'a']);
    await checkAlone(model, ROWS, ['__base__', 'b', 'other', 'a', 'b']);
  });

  it('with all of them at once', async () => {
    const model = await opened();
    await addAll(model, PRESETS);
    const names = [...PRESETS.keys()].map((i) => `of-${i}`);
    await checkAlone(
      model,
      names.map((_, i) => ROWS[i % ROWS.length] as Row),
      names,
    );
    expect(PRESETS.length).toBeGreaterThanOrEqual(22);
  });

  it.each(FAMILIES)('on %s, with all that has a place there', async (family) => {
    const model = await opened(`test/golden/encoders/${family}`);
    const presets: string[] = [];
    for (const preset of PRESETS.filter((one) => fits(one, model.encoder)))
      try {
        await addRandom(model, `of-${presets.length}`, preset, presets.length);
        model.addClassificationHead(`of-${presets.length}`, { numLabels: 2 });
        presets.push(preset);
      } catch (error) {
        // No folder of PEFT has a place for what stands in a part of a matrix.
        expect(String(error)).toContain('expected modules in whole matrices');
      }
    expect(presets.length).toBeGreaterThan(18);
    const names = presets.map((_, i) => `of-${i}`);
    // ONNX Runtime takes seconds to compile a program of thirty methods; some at a time meet as well.
    for (let start = 0; start < names.length; start += 8) {
      const some = ['__base__', ...names.slice(start, start + 8)];
      await checkAlone(
        model,
        some.map((_, i) => ROWS[i % ROWS.length] as Row),
        some,
        // A row of albert-groups has logits so small that the rounding of float32 is 1.6e-5 of them.
        'all rows',
      );
    }
  });

  it('on DeBERTa, but for adapters that change its tables of distances', async () => {
    const model = await opened('test/golden/encoders/deberta-v2');
    const presets = [
      'double_seq_bn',
      'prompt_tuning',
      'prefix_tuning_flat',
      'pals',
      "lora[attn_matrices=['v'],output_lora=True]",
      'seq_bn_inv',
    ];
    await addAll(model, [...presets, 'lora']);
    const names = ['__base__', ...presets.map((_, i) => `of-${i}`), 'of-0'];
    await checkAlone(
      model,
      names.map((_, i) => ROWS[i % ROWS.length] as Row),
      names,
    );
    await expect(model.predict(ROWS.slice(0, 2), { adapterNames: ['of-0', 'of-6'] })).rejects.toThrow(
      'among rows of several adapters: found a linear that computes rows which belong to no sequence',
    );
    await model.release();
    expect(await model.predict(ROWS.slice(0, 1), { adapterNames: ['of-0'] })).toHaveLength(1);
  });

  it('of every kind of head, whichever adapters have them', async () => {
    const model = await opened();
    const asked: [string, Row][] = [];
    for (const [i, kind] of [...TINY_TASKS, 'masked'].entries())
      for (const [j, method] of ['seq_bn', 'pfeiffer+inv', 'lora', 'seq_bn'].entries()) {
        const name = `${kind}-${j}`;
        await addRandom(model, name, method, 10 * i + j);
        await addHead(model, name, kind, 2 + (j % 2));
        const { rows } = kind === 'masked' ? { rows: { test: MASKED } } : tinyTask(kind as TinyTask, { train: 1, validation: 1, test: 4 });
        const row = rows.test[j] as Row;
        asked.push([name, kind === 'choice' ? { ...row, choices: (row.choices as string[]).slice(0, 2 + (j % 2)) } : row]);
      }
    await addHead(model, 'masked-base', 'masked', 2);
    const order = createRandom(3).shuffle([...asked, ...asked.slice(7, 12)]);
    const names = order.map(([name]) => name);
    const mixed = await checkAlone(
      model,
      order.map(([, row]) => row),
      names,
    );
    expect(mixed).toHaveLength(8 * 4 + 5);
    const base = await model.predict([MASKED[0] as Row, MASKED[1] as Row], {
      adapterNames: ['__base__', 'masked-1'],
      headNames: ['masked-base', undefined],
    });
    model.setActiveAdapters(undefined);
    model.activeHead = 'masked-base';
    expect(base[0]).toEqual((await model.predict([MASKED[0] as Row]))[0]);
    const guessed = mixed.filter((_, i) => names[i]?.startsWith('masked'));
    expect(new Set(guessed.flatMap(({ prediction }) => prediction as string[])).size).toBeGreaterThan(3);
  });

  it('in several runs, of which each lacks what others have', async () => {
    const model = await opened();
    const entries = [
      ['long', 'lora', 'tagging'],
      ['short', 'seq_bn', 'classification'],
      ['prompt', 'prompt_tuning', 'masked'],
      ['prefix', 'prefix_tuning_flat', 'choice'],
      ['norms', 'pfeiffer+inv', 'span'],
    ] as const;
    for (const [i, [name, method, kind]] of entries.entries()) {
      await addRandom(model, name, method, i);
      await addHead(model, name, kind, 3);
    }
    const words = Array.from({ length: 24 }, (_, i) => ['bako', 'mitu', 'le'][i % 3] as string);
    const alike: readonly [string, Row][] = [
      ['long', { tokens: words }],
      ['short', { text: 'tu' }],
      ['__base__', { text: 'mi' }],
      ['prompt', { text: `${words.slice(0, 12).join(' ')} [MASK]` }],
      ['prefix', { text: words.join(' '), choices: ['bako', 'le', 'mitu'] }],
      ['norms', { context: words.concat(words, words).join(' '), question: 'le' }],
    ];
    const asked = Array.from({ length: 20 }, () => alike).flat();
    const [names, rows] = [asked.map(([name]) => name), asked.map(([, row]) => row)];
    const headNames = names.map((name) => (name === '__base__' ? 'short' : undefined));
    const runs: number[] = [];
    const mixed = await model.predict(rows, { adapterNames: names, headNames, onProgress: (done) => void runs.push(done) });
    expect(runs.length).toBeGreaterThan(4);
    for (const [i, [name, row]] of alike.entries()) {
      model.setActiveAdapters(name === '__base__' ? undefined : name);
      if (name === '__base__') model.activeHead = 'short';
      const [alone] = (await model.predict([row])) as [Answer];
      for (let at = i; at < mixed.length; at += alike.length) {
        expect(mixed[at]?.prediction).toEqual(alone.prediction);
        if (alone.logits ?? alone.spans) expect(distance(mixed[at] as Answer, alone)).toBeLessThan(1e-5);
      }
    }
  });

  it('with fusions, stacks and averages as entries', async () => {
    const model = await opened();
    for (const [i, name] of ['a', 'b', 'c', 'd', 'prefix'].entries()) {
      await addRandom(model, name, name === 'prefix' ? 'prefix_tuning_flat' : 'seq_bn', i);
      model.addClassificationHead(name, { numLabels: 3 });
    }
    const [one, two] = [
      model.addAdapterFusion(['a', 'b'], { temperature: true }),
      model.addAdapterFusion(['c', 'd'], { temperature: true }, { name: 'cd' }),
    ];
    const task = await loadTask(nodeFiles, await writeTinyTask(folder, 'classification', { train: 6, validation: 2, test: 2 }));
    for (const [i, setup] of [one, two].entries())
      await model.trainAdapterFusion(setup, { task, maxSteps: 2 + 2 * i, batchSize: 2, learningRate: 0.01, seed: i });
    const entries = [
      two,
      'a',
      'cd',
      stack('a', 'b'),
      one,
      stack('prefix', 'd'),
      average(['a', 'c'], { weights: [0.3, 0.7] }),
      stack('c', 'd'),
      'a,b',
    ];
    await checkAlone(
      model,
      entries.map((_, i) => ROWS[i % ROWS.length] as Row),
      entries.map((entry) => (entry === 'cd' ? two : entry === 'a,b' ? one : entry)),
    );
    const named = await model.predict(ROWS, { adapterNames: ['cd', two, 'a,b', one, 'cd'] });
    expect(named).toEqual(await model.predict(ROWS, { adapterNames: [two, two, one, one, two] }));
  });

  it('compiles nothing for one adapter more of a known shape, nor for other rows', async () => {
    const fresh = await nodeEngine({ threads: 1 });
    const model = await opened(TINY_ENCODER, fresh);
    await addRandom(model, 'a', 'seq_bn', 1);
    await addRandom(model, 'lora', 'lora', 2);
    for (const name of ['a', 'lora']) model.addClassificationHead(name, { numLabels: 2 });
    await model.predict(ROWS.slice(0, 2), { adapterNames: ['a', 'lora'] });
    const before = fresh.compilations;
    for (let i = 0; i < 100; i++) {
      await addRandom(model, `more-${i}`, i % 10 === 0 ? 'lora' : 'seq_bn', 100 + i);
      model.addClassificationHead(`more-${i}`, { labels: ['yes', `no-${i}`] });
    }
    const names = Array.from({ length: 100 }, (_, i) => `more-${i}`);
    const rows = names.map((_, i) => ROWS[i % ROWS.length] as Row);
    const answers = await model.predict(rows, { adapterNames: names });
    const [one] = await model.predict([rows[63] as Row], { adapterNames: ['more-63'] });
    expect(fresh.compilations - before).toBe(1);
    expect(distance(answers[63] as Answer, one as Answer)).toBeLessThan(1e-5);
    expect(new Set(answers.map(({ logits }) => String(logits))).size).toBe(100);
    await checkAlone(model, rows.slice(40, 52), names.slice(40, 52));
  });

  it('answers what an adapter has become', async () => {
    const model = await opened();
    for (const name of ['a', 'b']) {
      await addRandom(model, name, 'seq_bn', 1);
      model.addClassificationHead(name, { labels: ['sea', 'land', 'sky'] });
    }
    const [before] = await checkAlone(model, ROWS.slice(0, 2), ['a', 'b']);
    const task = await loadTask(nodeFiles, await writeTinyTask(folder, 'classification', { train: 6, validation: 2, test: 2 }));
    await model.trainAdapter('a', { task, maxSteps: 2, batchSize: 2, learningRate: 0.01 });
    const [after] = await checkAlone(model, ROWS.slice(0, 2), ['a', 'b']);
    expect(distance(after as Answer, before as Answer)).toBeGreaterThan(1e-3);
    await model.release();
    expect(await model.predict(ROWS.slice(0, 2), { adapterNames: ['a', 'b'] })).toHaveLength(2);
  });

  it('leaves out layers that are skipped', async () => {
    const model = await opened();
    for (const [i, name] of ['a', 'b'].entries()) {
      await addRandom(model, name, 'seq_bn', i);
      model.addClassificationHead(name, { numLabels: 3 });
    }
    const names = ['b', 'a', 'b'];
    const whole = await model.predict(ROWS.slice(0, 3), { adapterNames: names });
    model.setActiveAdapters('a', { skipLayers: [0] });
    const skipped = await model.predict(ROWS.slice(0, 3), { adapterNames: names });
    for (const [i, name] of names.entries()) {
      expect(distance(skipped[i] as Answer, whole[i] as Answer)).toBeGreaterThan(1e-3);
      model.setActiveAdapters(name, { skipLayers: [0] });
      const [alone] = (await model.predict([ROWS[i] as Row])) as [Answer];
      expect(distance(skipped[i] as Answer, alone)).toBeLessThan(1e-5);
    }
  });

  it('refuses names, numbers of names and rows by what is wrong with them', async () => {
    const model = await opened();
    for (const name of ['sentiment', 'bare']) await addRandom(model, name, 'seq_bn', 1);
    const predict = (rows: readonly Row[], adapterNames: readonly string[], more: object = {}) =>
      model.predict(rows, { adapterNames, ...more });
    const row = ROWS[0] as Row;
    await expect(predict([row], ['__base__'])).rejects.toThrow('rows:1: a row without an adapter: found no prediction head');
    model.addClassificationHead('sentiment', { numLabels: 2 });
    const refused: [Promise<unknown>, string][] = [
      [predict([row, row], ['sentiment']), 'predict(rows, { adapterNames }): found 1 names; expected 2, one for each row'],
      [predict([row], ['sentiment'], { headNames: [] }), 'predict(rows, { headNames }): found 0 names; expected 1'],
      [predict([row, row], ['sentiment', 'sentimant']), "rows:2: adapter 'sentimant': found none of that name"],
      [predict([row, row], ['sentiment', 'bare']), "rows:2: the adapter 'bare': found no prediction head"],
      [predict([row], ['sentiment'], { headNames: ['other'] }), "head 'other': found none of that name"],
      [predict([{ ...row, adapter: 'bare' }], ['sentiment']), `rows:1, column "adapter": found "bare"; expected 'sentiment'`],
      [predict([row, { tokens: ['a'] }], ['sentiment', 'sentiment']), 'rows:2, column "text": found no such column'],
      [predict([row], ['sentiment'], { explain: true }), 'explain: found rows that name their adapters'],
      [predict([row], 'sentiment' as never), 'predict(rows, { adapterNames }): found string'],
    ];
    const split = batchSplit(['sentiment', 'bare'], { batchSizes: [1, 1] });
    refused.push([
      predict([row, row], [split, split] as never, { headNames: ['sentiment', 'sentiment'] }),
      'found a block that divides or repeats',
    ]);
    for (const [call, message] of refused) await expect(call).rejects.toThrow(message);
    expect(refused).toHaveLength(10);
    expect(await predict([], [])).toEqual([]);
    const headed = await predict([row, { ...row, adapter: 'bare' }], ['sentiment', 'bare'], { headNames: [undefined, 'sentiment'] });
    expect(headed).toHaveLength(2);
  });
});
