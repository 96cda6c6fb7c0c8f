import { describe, expect, it } from 'vitest';
import { nodeFiles } from '../base/files-node.ts';
import { loadEncoder } from '../encoders/index.ts';
import type { Target } from '../objectives/index.ts';
import type { PredictionRow, Task } from '../tasks/index.ts';
import { createTokenizer } from '../text/index.ts';
import { wordPieceTokenizerJson } from '../text/wordpiece-trainer.ts';
import { maxTokens } from './encoder-inputs.ts';
import { batchTerms, feedsOf } from './feeds.ts';
import { type PrepareOptions, prepare } from './prepare.ts';
import { headFor } from './task-setup.ts';

const vocabulary = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', '##x', '##y', 'q', '.'];
const { tokenizer: json, config } = wordPieceTokenizerJson(vocabulary, { lowercase: true });
const tokenizer = createTokenizer(json, config);
const [CLS, SEP] = [2, 3];
const encoder = await loadEncoder(nodeFiles, 'test/golden/encoders/bert');

const task = (kind: Task['kind'], labels: readonly string[] = []): Task => ({
  name: 't',
  kind,
  labels,
  metric: 'accuracy',
  metrics: ['accuracy'],
  columns: {},
  files: {},
  card: {},
});

function targetsOf(rows: readonly PredictionRow[], options: Partial<PrepareOptions> & { task: Task }): (Target | undefined)[] {
  return prepare(rows, { tokenizer, maxLength: 16, ...options }).units.map((unit) => unit.target);
}

describe('prepare', () => {
  it('tags: each word at its first sub-token; none at special tokens, later sub-tokens and words that were cut', () => {
    const row = { kind: 'tagging', tokens: ['axy', 'b', 'cx', 'd'], tags: ['P', 'O', 'P', 'O'] } as const;
    const [target] = targetsOf([row], { task: task('tagging', ['O', 'P']) });
    //                                                       CLS a ##x ##y b  c ##x d SEP
    expect(target).toEqual({ kind: 'tokens', labels: Int32Array.of(-1, 1, -1, -1, 0, 1, -1, 0, -1) });
    const cut = prepare([row], { task: task('tagging', ['O', 'P']), tokenizer, maxLength: 7 });
    expect(cut.units[0]?.target).toEqual({ kind: 'tokens', labels: Int32Array.of(-1, 1, -1, -1, 0, 1, -1) });
    expect(cut.truncated).toBe(1);
    const { counts } = batchTerms({ heads: [headFor(task('tagging', ['O', 'P']), 'h', [])] }, cut.units);
    expect(counts).toEqual([3]);
  });

  it('classes, numbers and label sets', () => {
    expect(
      targetsOf(
        [
          { kind: 'classification', text: 'a', label: 'no' },
          { kind: 'classification', text: 'a', textPair: 'b', label: 'yes' },
          { kind: 'classification', text: 'a' },
        ],
        { task: task('classification', ['yes', 'no']) },
      ),
    ).toEqual([{ kind: 'class', label: 1 }, { kind: 'class', label: 0 }, undefined]);
    expect(
      targetsOf(
        [
          { kind: 'regression', text: 'a', label: -0.5 },
          { kind: 'regression', text: 'a', label: 0 },
        ],
        { task: task('regression') },
      ),
    ).toEqual([
      { kind: 'number', value: -0.5 },
      { kind: 'number', value: 0 },
    ]);
    expect(
      targetsOf(
        [
          { kind: 'multilabel', text: 'a', label: ['z', 'x'] },
          { kind: 'multilabel', text: 'a', label: [] },
        ],
        { task: task('multilabel', ['x', 'y', 'z']) },
      ),
    ).toEqual([
      { kind: 'classes', values: Float32Array.of(1, 0, 1) },
      { kind: 'classes', values: Float32Array.of(0, 0, 0) },
    ]);
  });

  it('choices: one sequence each, the text first', () => {
    const { units } = prepare([{ kind: 'choice', text: 'a b', choices: ['c', 'd e f'], label: 1 }], {
      task: task('choice'),
      tokenizer,
      maxLength: 16,
    });
    expect(units).toHaveLength(1);
    expect(units[0]?.encodings.map(({ inputIds }) => [...inputIds])).toEqual([
      [CLS, 5, 6, SEP, 7, SEP],
      [CLS, 5, 6, SEP, 8, 9, 10, SEP],
    ]);
    expect(units[0]).toMatchObject({ length: 8, target: { kind: 'class', label: 1 } });
  });

  it('given ids stand as they are, and are never cut', () => {
    const row = { kind: 'classification', text: '', inputIds: [2, 5, 3, 6, 3], tokenTypeIds: [0, 0, 0, 1, 1] } as const;
    const [unit] = prepare([row], { task: task('classification', ['x', 'y']), tokenizer, maxLength: 5 }).units;
    expect([...(unit?.encodings[0]?.inputIds ?? [])]).toEqual([2, 5, 3, 6, 3]);
    expect([...(unit?.encodings[0]?.tokenTypeIds ?? [])]).toEqual([0, 0, 0, 1, 1]);
    expect(() => prepare([row], { task: task('classification', ['x', 'y']), tokenizer, maxLength: 4 })).toThrow(
      'row 1, inputIds: found 5 ids; expected at most 4',
    );
  });
});

describe('spans', () => {
  const span = (context: string, text: string, start = context.indexOf(text)): PredictionRow => ({
    kind: 'span',
    question: 'q',
    context,
    answers: [{ text, start }],
  });
  // [CLS] q [SEP] context [SEP]: the context begins at token 3; 8 tokens leave it 4 of them, of which 2 are shared.
  const windowed = { task: task('span'), maxLength: 8, stride: 2 };

  it('a long question narrows the overlap, and one that leaves no room is named by its row', () => {
    const row = (question: string): PredictionRow => ({
      kind: 'span',
      question,
      context: 'a b c d e f',
      answers: [{ text: 'b', start: 2 }],
    });
    const made = prepare([row('q a b')], { tokenizer, task: task('span'), maxLength: 9 });
    expect(made.units.map(({ encodings: [one] }) => one?.inputIds.length)).toEqual([9, 9, 8]);
    expect(made.truncated).toBe(0);
    expect(() => prepare([row('q'), row('a b c d e f g')], { tokenizer, task: task('span'), maxLength: 9 })).toThrow(/^row 2, /);
  });

  it('windows overlap by the stride, and every one of them that holds the whole answer trains on it', () => {
    const { units } = prepare([span('a b c d e f g h', 'c d')], { tokenizer, ...windowed });
    expect(units.map(({ row, encodings: [one] }) => [row, ...(one?.inputIds ?? [])])).toEqual([
      [0, CLS, 15, SEP, 5, 6, 7, 8, SEP],
      [0, CLS, 15, SEP, 7, 8, 9, 10, SEP],
      [0, CLS, 15, SEP, 9, 10, 11, 12, SEP],
    ]);
    expect(units.map((unit) => unit.target)).toEqual([
      { kind: 'span', start: 5, end: 6 },
      { kind: 'span', start: 3, end: 4 },
      { kind: 'span', start: 0, end: 0 },
    ]);
  });

  it('an answer across the border of windows counts only where it is whole', () => {
    expect(targetsOf([span('a b c d e f g h', 'd e')], windowed)).toEqual([
      { kind: 'span', start: 0, end: 0 },
      { kind: 'span', start: 4, end: 5 },
      { kind: 'span', start: 0, end: 0 },
    ]);
    expect(targetsOf([span('a b c d e f g h', 'b c d e f')], windowed)).toEqual(new Array(3).fill({ kind: 'span', start: 0, end: 0 }));
  });

  it('the answer’s own place counts, not an equal text before it', () => {
    expect(targetsOf([span('a b a b', 'a b', 4)], { task: task('span') })).toEqual([{ kind: 'span', start: 5, end: 6 }]);
  });

  it('answers inside tokens, with spaces at their edges, and at both ends of the context', () => {
    const options = { task: task('span') };
    expect(targetsOf([span('a bxy c', 'xy')], options)).toEqual([{ kind: 'span', start: 5, end: 6 }]);
    expect(targetsOf([span('a b c', ' b ')], options)).toEqual([{ kind: 'span', start: 4, end: 4 }]);
    expect(targetsOf([span('a b c.', 'a b c.')], options)).toEqual([{ kind: 'span', start: 3, end: 6 }]);
    // "hello" is one unknown token: an answer within it is that token.
    expect(targetsOf([span('a hello c', 'ell')], options)).toEqual([{ kind: 'span', start: 4, end: 4 }]);
  });
});

describe('feeds', () => {
  const feeds = (rows: readonly PredictionRow[], of: Task, terms?: number, maxLength = 16) => {
    const { units } = prepare(rows, { task: of, tokenizer, maxLength });
    const model = { encoder, attachment: {}, heads: [headFor(of, 'h', rows as never)] };
    return Object.fromEntries(
      Object.entries(feedsOf(units, model, terms === undefined ? undefined : { counts: [terms], weights: [1] })).map(
        ([name, { shape, data }]) => [name, { shape: [...shape], data: [...data] }],
      ),
    );
  };

  it('classification: one weight a row, 1 over the terms of the whole batch', () => {
    const labels = task('classification', ['x', 'y']);
    const two = feeds(
      [
        { kind: 'classification', text: 'a', label: 'y' },
        { kind: 'classification', text: 'b c', label: 'x' },
      ],
      labels,
      8,
    );
    expect(two.labels).toEqual({ shape: [2], data: [1, 0] });
    expect(two.lossWeights).toEqual({ shape: [2], data: [0.125, 0.125] });
    expect(two.inputIds).toEqual({ shape: [2, 8], data: [2, 5, 3, 0, 0, 0, 0, 0, 2, 6, 7, 3, 0, 0, 0, 0] });
    expect(two.attentionMask?.data).toEqual([1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0]);
    expect(feeds([{ kind: 'classification', text: 'a' }], labels)).not.toHaveProperty('labels');
  });

  it('tagging: weights at labelled tokens only', () => {
    const { labels, lossWeights } = feeds(
      [
        { kind: 'tagging', tokens: ['ax', 'b'], tags: ['O', 'P'] },
        { kind: 'tagging', tokens: ['c'], tags: ['P'] },
      ],
      task('tagging', ['O', 'P']),
      4,
    );
    expect(labels?.data).toEqual([0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    expect(lossWeights?.data).toEqual([0, 0.25, 0, 0.25, 0, 0, 0, 0, 0, 0.25, 0, 0, 0, 0, 0, 0]);
  });

  it('spans: start and end weigh one half each', () => {
    const one = feeds([{ kind: 'span', question: 'q', context: 'a b c', answers: [{ text: 'b c', start: 2 }] }], task('span'), 2);
    expect([one.startPositions?.data, one.endPositions?.data, one.startWeights?.data, one.endWeights?.data]).toEqual([
      [4],
      [5],
      [0.25],
      [0.25],
    ]);
  });

  it('multilabel and regression: float labels', () => {
    expect(feeds([{ kind: 'multilabel', text: 'a', label: ['y'] }], task('multilabel', ['x', 'y']), 1).labels).toEqual({
      shape: [1, 2],
      data: [0, 1],
    });
    expect(feeds([{ kind: 'regression', text: 'a', label: 2.5 }], task('regression'), 1)).toMatchObject({
      labels: { shape: [1], data: [2.5] },
      lossWeights: { data: [1] },
    });
  });

  it('refuse an id that the encoder does not have, and another number of choices', () => {
    expect(() => feeds([{ kind: 'classification', text: '', inputIds: [2, 120, 3] }], task('classification', ['x', 'y']))).toThrow(
      'token id 120: found 120 ids in the encoder bert; expected an id below that',
    );
    expect(() =>
      feeds([{ kind: 'classification', text: '', inputIds: [2, 3], tokenTypeIds: [0, 2] }], task('classification', ['x', 'y'])),
    ).toThrow('token type 2: found 2 types in the encoder bert; expected a number below that');
    const choice = (choices: string[]): PredictionRow => ({ kind: 'choice', text: 'a', choices, label: 0 });
    const { units } = prepare([choice(['a', 'b']), choice(['a', 'b', 'c'])], { task: task('choice'), tokenizer, maxLength: 16 });
    const heads = [headFor(task('choice'), 'h', [choice(['a', 'b'])] as never)];
    expect(() => feedsOf(units, { encoder, attachment: {}, heads })).toThrow(
      "row 2: found 3 choices; expected 2, as many as the head 'h' was made for",
    );
  });

  it('positions that count from after the padding leave fewer tokens', async () => {
    const roberta = await loadEncoder(nodeFiles, 'test/golden/encoders/roberta');
    expect(maxTokens(encoder)).toBe(encoder.config.positions);
    expect(maxTokens(roberta)).toBe(roberta.config.positions - roberta.config.padId - 1);
    const { units } = prepare([{ kind: 'classification', text: '', inputIds: [5, 6, 7] }], {
      task: task('classification', ['x', 'y']),
      tokenizer,
      maxLength: 16,
    });
    const { positionIds } = feedsOf(units, {
      encoder: roberta,
      attachment: {},
      heads: [headFor(task('classification', ['x', 'y']), 'h', [])],
    });
    const pad = roberta.config.padId;
    expect([...(positionIds?.data ?? [])]).toEqual([pad + 1, pad + 2, pad + 3, pad, pad, pad, pad, pad]);
  });
});
