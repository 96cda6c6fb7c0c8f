import { afterAll, describe, expect, it } from 'vitest';
import { studentTokenizer, tinyStudent, tinyTexts } from '../../../test/pretraining.ts';
import { TINY_ENCODER, tinyTokenizer } from '../../../test/tiny.ts';
import type { MultigraftError } from '../../base/errors.ts';
import { nodeFiles } from '../../base/files-node.ts';
import type { Tensor } from '../../base/tensor.ts';
import { loadEncoder } from '../../encoders/index.ts';
import { holding } from '../../session/holding.ts';
import { nodeEngine, referenceEngine } from '../../session/index.ts';
import { createTokenizer } from '../../text/index.ts';
import { type PretrainOptions, type PretrainSettings, type PretrainState, pretrain } from './trainer.ts';
import type { Sample } from './words.ts';

const engine = holding(await nodeEngine({ threads: 1 }));
afterAll(() => engine.release());

const tokenizer = studentTokenizer();
const teacher = { encoder: await loadEncoder(nodeFiles, TINY_ENCODER), tokenizer: tinyTokenizer() };
const samples = tinyTexts(20).map((text, i, all): Sample => (i % 4 === 0 ? [text, all[i + 1] as string] : [text]));
const MODES = { 'masked words': {}, 'a teacher': { teacher } } as const;
type Mode = keyof typeof MODES;
const modes = Object.keys(MODES) as Mode[];

const defaults: PretrainSettings = {
  steps: 3,
  batchSize: 8,
  maxLength: 32,
  learningRate: 0.003,
  warmup: 0,
  masking: 0.15,
  seed: 1,
  saveEvery: 100,
};

async function run(mode: Mode, settings: Partial<PretrainSettings>, more: Partial<PretrainOptions> = {}) {
  const losses: number[] = [];
  const norms: number[] = [];
  const weights = await pretrain({
    engine,
    ...tinyStudent(tokenizer.vocabularySize),
    tokenizer,
    samples,
    ...MODES[mode],
    ...more,
    settings: { ...defaults, ...settings },
    async onEvent(event) {
      if (event.type === 'step') {
        losses.push(event.loss);
        norms.push(event.gradientNorm);
      }
      await more.onEvent?.(event);
    },
  });
  return { losses, norms, weights };
}

const bytes = (weights: ReadonlyMap<string, Tensor>) =>
  [...weights].map(([name, { data }]) => [
    name,
    Buffer.from(data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength)).toString('base64'),
  ]);

/** What a rejected promise says. */
async function problemOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (cause: MultigraftError) => cause,
  );
  return `${error?.code}: ${error?.message}`;
}

describe('the first steps', () => {
  it('guess masked words no better than chance: the loss begins at log(vocabulary)', async () => {
    const { losses } = await run('masked words', { steps: 1, masking: 0.5 });
    expect(Math.abs((losses[0] as number) / Math.log(tokenizer.vocabularySize) - 1)).toBeLessThan(0.02);
  });

  // What the teacher says is kept in bytes: a number on the edge between two may fall to either side.
  it.each([
    ['masked words', 1e-5],
    ['a teacher', 1e-4],
  ] as const)('with %s: losses and gradient norms are those of the reference engine', async (mode, tolerance) => {
    const ours = await run(mode, {});
    const exact = await run(mode, {}, { engine: referenceEngine() });
    expect(ours.losses).toHaveLength(3);
    for (const what of ['losses', 'norms'] as const)
      ours[what].forEach(
        (value, i) => void expect(Math.abs(value / (exact[what][i] as number) - 1), `${what}, step ${i + 1}`).toBeLessThan(tolerance),
      );
    expect(ours.losses[2]).not.toBe(ours.losses[0]);
  });
});

describe.each(modes)('learning from %s', (mode) => {
  it('lowers the loss', async () => {
    const { losses } = await run(mode, { steps: 30 });
    const mean = (part: number[]) => part.reduce((sum, loss) => sum + loss, 0) / part.length;
    expect(losses).toHaveLength(30);
    expect(mean(losses.slice(-5)) / mean(losses.slice(0, 5))).toBeLessThan(mode === 'a teacher' ? 0.8 : 0.95);
  });

  // 20 texts are 3 batches: the stop lies in the second epoch, where an unbroken run has the teacher's words in memory.
  it('goes on after a stop to the same bytes', async () => {
    const steps = 9;
    const whole = await run(mode, { steps });
    const control = new AbortController();
    let saved: PretrainState | undefined;
    const first: number[] = [];
    const stopped = await problemOf(
      run(
        mode,
        { steps },
        {
          signal: control.signal,
          onEvent(event) {
            if (event.type !== 'step') return;
            first.push(event.loss);
            if (event.step === 5) control.abort();
          },
          save: async (state) => {
            saved = {
              ...state,
              parameters: new Map(
                [...state.parameters].map(([part, tensor]) => [part, { ...tensor, data: tensor.data.slice() } as Tensor]),
              ),
            };
          },
        },
      ),
    );
    expect(stopped).toBe('train.stopped: Stopped after step 5 of 9. Run the same command with --resume to go on.');
    expect(saved?.step).toBe(5);
    const rest = await run(mode, { steps }, { resume: saved as PretrainState });
    expect([...first, ...rest.losses]).toEqual(whole.losses);
    expect(bytes(rest.weights)).toEqual(bytes(whole.weights));
    expect(whole.weights.size).toBe(37);
  });
});

it('another seed gives other weights, the same seed the same', async () => {
  const [one, again, other] = [await run('masked words', {}), await run('masked words', {}), await run('masked words', { seed: 2 })];
  expect(bytes(again.weights)).toEqual(bytes(one.weights));
  expect(bytes(other.weights)).not.toEqual(bytes(one.weights));
});

describe('refuses', () => {
  it('a teacher that splits text into other words', async () => {
    const letters = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...'abcdefghijklmnopqrstuvwxyz'];
    const json = {
      version: '1.0',
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: 'Split', pattern: { Regex: '[a-z]' }, behavior: 'Isolated', invert: false },
      post_processor: null,
      decoder: null,
      model: {
        type: 'WordPiece',
        unk_token: '[UNK]',
        continuing_subword_prefix: '##',
        max_input_chars_per_word: 100,
        vocab: Object.fromEntries(letters.map((token, id) => [token, id])),
      },
    };
    const problem = await problemOf(
      run('a teacher', {}, { teacher: { ...teacher, tokenizer: createTokenizer(json, { pad_token: '[PAD]' }) } }),
    );
    expect(problem).toMatch(
      /^text\.tokenizer: the tokenizer of the teacher: found 0 of \d+ words that both split alike; expected at least half of them\. Choose a teacher/,
    );
  });

  it('a saved state of another size, and of other texts', async () => {
    let saved: PretrainState | undefined;
    const save = async (state: PretrainState) => {
      saved = state;
    };
    await run('masked words', { steps: 1 }, { save });
    const state = saved as PretrainState;
    const short = new Map(
      [...state.parameters].map(([part]) => [part, { dtype: 'float32', shape: [3], data: new Float32Array(3) } as Tensor]),
    );
    expect(await problemOf(run('masked words', {}, { resume: { ...state, parameters: short } }))).toMatch(
      /^train\.resume: the saved state, value: found 3 numbers; expected \d+\. Start anew/,
    );
    expect(await problemOf(run('masked words', {}, { resume: { ...state, parameters: new Map() } }))).toMatch('found no numbers');
    expect(await problemOf(run('masked words', {}, { resume: state, samples: samples.slice(1) }))).toMatch(
      'train.resume: sampler, rowCount: found 19 now; expected 20',
    );
  });

  it('to go on when asked to stop while texts are cut into tokens', async () => {
    const control = new AbortController();
    const onEvent: PretrainOptions['onEvent'] = ({ type }) => void (type === 'note' && control.abort());
    expect(await problemOf(run('masked words', {}, { signal: control.signal, onEvent }))).toMatch(
      'train.stopped: Stopped before the first step',
    );
  });
});
