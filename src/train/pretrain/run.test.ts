import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tinyTexts } from '../../../test/pretraining.ts';
import { writeTinyEncoder } from '../../../test/tiny.ts';
import type { MultigraftError } from '../../base/errors.ts';
import { nodeFiles } from '../../base/files-node.ts';
import type { Tensor } from '../../base/tensor.ts';
import { drawEncoder, loadEncoder } from '../../encoders/index.ts';
import { encoderFeeds } from '../../model/encoder-inputs.ts';
import { noDropout, parameters } from '../../nn/index.ts';
import { nodeEngine } from '../../session/index.ts';
import { loadTokenizer } from '../../text/index.ts';
import type { TrainEvent } from '../settings.ts';
import { type PretrainEncoderOptions, pretrainEncoder, pretrainSettings } from './run.ts';

const folder = mkdtempSync(join(tmpdir(), 'multigraft-pretrain-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const engine = await nodeEngine({ threads: 1 });
const teacher = await writeTinyEncoder(folder);
const texts = join(folder, 'texts.txt');
writeFileSync(texts, tinyTexts(60).join('\n'));

const SMALL = { vocabulary: 100, layers: 1, hidden: 16, heads: 2, intermediate: 32, positions: 40, maxLength: 32, batchSize: 4, warmup: 5 };
const STEPS = 120;

interface Change extends Partial<Omit<PretrainEncoderOptions, 'settings'>> {
  readonly settings?: Partial<PretrainEncoderOptions['settings']>;
}

/** Runs, and is stopped after step `until` when given. Returns the notes. */
async function make(output: string, { settings, ...more }: Change = {}, until?: number): Promise<string[]> {
  const control = new AbortController();
  const notes: string[] = [];
  const onEvent = (event: TrainEvent) => {
    if (event.type === 'note') notes.push(event.text);
    if (event.type === 'step' && event.step === until) control.abort();
  };
  const all = pretrainSettings.parse({ ...SMALL, steps: STEPS, ...settings });
  await pretrainEncoder({
    files: nodeFiles,
    engine,
    data: [texts],
    unseen: [],
    teacher,
    output,
    onEvent,
    signal: control.signal,
    ...more,
    settings: all,
  });
  return notes;
}

async function problemOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (cause: MultigraftError) => cause,
  );
  return `${error?.code}: ${error?.message.replaceAll(folder, 'TMP')}`;
}

const logOf = (output: string) =>
  readFileSync(join(output, 'log.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => ({ ...JSON.parse(line), examplesPerSecond: 0 }));

const whole = join(folder, 'whole');
const unfinished = join(folder, 'unfinished');
beforeAll(async () => {
  await make(whole);
  expect(await problemOf(make(unfinished, {}, 70))).toMatch('train.stopped: Stopped after step 70 of 120');
});

async function copyOfUnfinished(): Promise<string> {
  const output = join(folder, 'copies', String(Math.random()));
  await cp(unfinished, output, { recursive: true });
  return output;
}

describe('the folder', () => {
  it('holds an encoder with its tokenizer and log, and no state', async () => {
    expect(await nodeFiles.list(whole)).toEqual([
      'config.json',
      'log.jsonl',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    expect(logOf(whole).map(({ step }) => step)).toEqual([50, 100, 120]);
    expect(logOf(whole)[2].loss).toBeLessThan(logOf(whole)[0].loss);
  });

  it('loads; float16 gives the hidden states of float32 within rounding', async () => {
    const wide = join(folder, 'wide');
    await make(wide, { settings: { precision: 'float32' } });
    const [narrow, full] = [await loadEncoder(nodeFiles, whole), await loadEncoder(nodeFiles, wide)];
    expect(narrow.notes).toEqual([`${narrow.weights.size} float16 tensors are expanded to float32 at load.`]);
    expect(full.notes).toEqual([]);
    const tokenizer = await loadTokenizer(nodeFiles, whole);
    expect(tokenizer.modelMaxLength).toBe(40);
    const encodings = tinyTexts(70)
      .slice(60)
      .map((text) => tokenizer.encode(text));
    expect(encodings.flatMap(({ inputIds }) => [...inputIds]).filter((id) => id === tokenizer.unkId)).toEqual([]);
    const [a, b] = await Promise.all(
      [narrow, full].map(async (encoder) => {
        const { family, config, weights } = encoder;
        const { output } = drawEncoder({ family, config, parameters: parameters(() => false), dropout: noDropout, hooks: {}, read: 'all' });
        const session = await engine.compile({ outputs: { output } }, weights);
        const results = await session.run(encoderFeeds(encodings, encoder));
        await session.release();
        return (results.output as Tensor).data as Float32Array;
      }),
    );
    const top = b?.reduce((most, x) => Math.max(most, Math.abs(x)), 0) as number;
    const off = a?.reduce((most, x, i) => Math.max(most, Math.abs(x - (b?.[i] as number))), 0) as number;
    expect(top).toBeGreaterThan(1);
    expect(off / top).toBeLessThan(2 ** -9);
    expect(off).toBeGreaterThan(0);
  });
});

describe('--resume', () => {
  it('gives the same bytes and the same log, even when the last save is older than the log', async () => {
    const output = await copyOfUnfinished();
    writeFileSync(join(output, 'log.jsonl'), `${readFileSync(join(output, 'log.jsonl'), 'utf8')}{"step":90,"loss":1}\n{"st`);
    await make(output, { resume: true });
    for (const name of ['model.safetensors', 'tokenizer.json', 'config.json'])
      expect(readFileSync(join(output, name)).equals(readFileSync(join(whole, name))), name).toBe(true);
    expect(logOf(output)).toEqual(logOf(whole));
    expect(await nodeFiles.list(output)).toEqual(await nodeFiles.list(whole));
  });

  it('may go on for more steps, saving at other moments', async () => {
    const output = await copyOfUnfinished();
    await make(output, { resume: true, settings: { steps: 130, saveEvery: 7 } });
    expect(logOf(output).map(({ step }) => step)).toEqual([50, 100, 130]);
  });

  it.each([
    ['learningRate: found 0.5 now; expected 0.001', { settings: { learningRate: 0.5 } }],
    ['seed: found 2 now; expected 1', { settings: { seed: 2 } }],
    ['batchSize: found 8 now; expected 4', { settings: { batchSize: 8 } }],
    ['layers: found 2 now; expected 1', { settings: { layers: 2 } }],
    ['texts: found', { unseen: [join(folder, 'unseen')] }],
    ['texts: found', { data: [texts, join(folder, 'more.txt')] }],
  ] as [string, Change][])('refuses %s', async (message, change) => {
    writeFileSync(join(folder, 'more.txt'), 'one more line of text');
    await nodeFiles.write(
      join(folder, 'unseen', 'card.json'),
      JSON.stringify({ name: 'unseen', kind: 'classification', labels: ['a', 'b'] }),
    );
    await nodeFiles.write(
      join(folder, 'unseen', 'test.jsonl'),
      tinyTexts(60)
        .map((text) => `${JSON.stringify({ text, label: 'a' })}\n`)
        .slice(0, 9)
        .join(''),
    );
    const problem = await problemOf(make(unfinished, { resume: true, ...change }));
    expect(problem).toMatch(`train.resume: TMP/unfinished/state.safetensors: ${message}`);
    expect(problem).toMatch('Resume with the settings and data of the first command');
  });

  it('refuses to go on without the teacher', async () => {
    const settings = pretrainSettings.parse({ ...SMALL, steps: STEPS });
    const problem = await problemOf(
      pretrainEncoder({ files: nodeFiles, engine, data: [texts], unseen: [], output: unfinished, resume: true, settings }),
    );
    expect(problem).toMatch('teacher: found null now');
  });

  it('refuses a damaged state, a finished run and none', async () => {
    const cut = await copyOfUnfinished();
    truncateSync(join(cut, 'state.safetensors'), 5000);
    expect(await problemOf(make(cut, { resume: true }))).toMatch(
      /^train\.resume: .*state\.safetensors: found a damaged file .*Start anew without --resume\.$/,
    );
    writeFileSync(join(cut, 'state.safetensors'), readFileSync(join(whole, 'model.safetensors')));
    expect(await problemOf(make(cut, { resume: true }))).toMatch(/^train\.resume: .*found no readable progress/);
    expect(await problemOf(make(whole, { resume: true }))).toMatch('train.resume: TMP/whole: found a run that is finished');
    expect(await problemOf(make(join(folder, 'nowhere'), { resume: true }))).toMatch('found no unfinished run; expected state.safetensors');
  });
});

it('a run that starts anew replaces an unfinished one with overwrite only, and says so', async () => {
  const output = await copyOfUnfinished();
  expect(await problemOf(make(output, { settings: { steps: 3 } }))).toMatch(
    /^usage\.value: --output: found .*, an unfinished run; expected/,
  );
  const notes = await make(output, { settings: { steps: 3 }, overwrite: true });
  expect(notes).toHaveLength(4);
  expect(notes[0]).toBe('60 texts; 0 left out because they stand in validation or test rows.');
  expect(notes[1]).toBe(`The unfinished run in ${output} is replaced.`);
  expect(notes[2]).toBe('Learning 100 word pieces …');
  expect(notes[3]).toBe('Cutting 60 texts into tokens …');
  expect(logOf(output).map(({ step }) => step)).toEqual([3]);

  expect(await problemOf(make(output, { settings: { steps: 4 } }))).toMatch('the result of an earlier run; expected a new or empty folder');
  expect(await problemOf(make(output, { resume: true, overwrite: true }))).toMatch('usage.value: --resume: found it together with');
  await make(output, { settings: { steps: 4 }, overwrite: true });
  expect(logOf(output).map(({ step }) => step)).toEqual([4]);
});

it('a run that was ended before its first save is begun anew without more ado', async () => {
  const output = await copyOfUnfinished();
  await nodeFiles.remove(join(output, 'state.safetensors'));
  await make(output, { settings: { steps: 3 } });
  expect(await nodeFiles.list(output)).toEqual(await nodeFiles.list(whole));
});

describe('refuses before it begins', () => {
  const fresh = join(folder, 'fresh');
  it.each([
    ['heads that do not divide the width', { settings: { heads: 3 } }, 'usage.value: --hidden: found 16 with 3 heads'],
    [
      'texts longer than the positions',
      { settings: { maxLength: 41 } },
      'usage.value: --max-length: found 41; expected at most --positions, 40',
    ],
    [
      'texts longer than the teacher takes',
      { settings: { maxLength: 41, positions: 64 } },
      'usage.value: --max-length: found 41; expected at most 40, what the teacher',
    ],
    ['a missing teacher', { teacher: join(folder, 'nobody') }, 'file.missing: TMP/nobody/config.json'],
    ['an output that leads through a file', { output: join(texts, 'out') }, 'file.unreadable: TMP/texts.txt/out/log.jsonl'],
  ] as [string, Change, string][])('%s', async (_, change, message) => {
    expect(await problemOf(make(fresh, change))).toMatch(message);
  });

  it('masked words without masking, which a teacher can do without', async () => {
    const settings = pretrainSettings.parse({ ...SMALL, masking: 0, steps: 2 });
    const options = { files: nodeFiles, engine, data: [texts], unseen: [], output: join(folder, 'unmasked'), settings };
    expect(await problemOf(pretrainEncoder(options))).toMatch('usage.value: --masking: found 0; expected more than 0 without --teacher');
    expect(await pretrainEncoder({ ...options, teacher })).toEqual({ texts: 60, dropped: 0 });
  });

  it('and keeps an unfinished run when the texts are missing', async () => {
    const output = await copyOfUnfinished();
    expect(await problemOf(make(output, { data: [join(folder, 'none.txt')], overwrite: true }))).toMatch('file.missing: TMP/none.txt');
    await make(output, { resume: true });
    expect(logOf(output)).toEqual(logOf(whole));
  });
});

it('goes on from an encoder that is there, with its vocabulary', async () => {
  const [first, second, fresh] = ['first', 'second', 'fresh'].map((name) => join(folder, name)) as [string, string, string];
  await make(first);
  const few = { settings: { steps: 30 } };
  await make(second, { ...few, init: first });
  await make(fresh, few);
  for (const name of ['tokenizer.json', 'tokenizer_config.json', 'config.json'])
    expect(readFileSync(join(second, name), 'utf8')).toBe(readFileSync(join(first, name), 'utf8'));
  expect(logOf(second).at(-1)?.loss).toBeLessThan((logOf(fresh).at(-1)?.loss as number) / 1.2);
  const other = make(join(folder, 'third'), { init: first, settings: { layers: 2 } });
  expect(await problemOf(other)).toBe(
    'usage.value: --layers: found 2; expected 1, as in TMP/first. Give the sizes of the encoder to go on from.',
  );
});
