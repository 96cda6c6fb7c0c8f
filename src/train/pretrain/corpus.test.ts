import { describe, expect, it } from 'vitest';
import type { MultigraftError } from '../../base/errors.ts';
import { memoryFiles } from '../../base/files.ts';
import { loadCorpus } from './corpus.ts';

type Rows = readonly object[];

/** A task folder in memory. */
function task(name: string, card: object, rows: { train?: Rows; validation?: Rows; test?: Rows }): Record<string, string> {
  return Object.fromEntries([
    [`${name}/card.json`, JSON.stringify({ name, ...card })],
    ...Object.entries(rows).map(([split, all]) => [`${name}/${split}.jsonl`, all.map((row) => `${JSON.stringify(row)}\n`).join('')]),
  ]);
}

const BINARY = { kind: 'classification', labels: ['no', 'yes'] };

async function corpus(content: Record<string, string>, data: readonly string[], unseen: readonly string[] = []) {
  return loadCorpus(memoryFiles(content), data, unseen);
}

async function problemOf(content: Record<string, string>, data: readonly string[], unseen: readonly string[] = []): Promise<string> {
  const error = await corpus(content, data, unseen).then(
    () => undefined,
    (cause: MultigraftError) => cause,
  );
  return `${error?.code}: ${error?.message}`;
}

describe('texts of a row', () => {
  const KINDS: readonly (readonly [name: string, card: object, row: object, texts: readonly (readonly string[])[]])[] = [
    ['classification', BINARY, { text: 'One. Two! Three? Four.', label: 'yes' }, [['One. Two! Three?'], ['Four.']]],
    ['a pair', BINARY, { text: 'Left. Side.', textPair: 'A. B. C. D.', label: 'no' }, [['Left. Side.', 'A. B. C.'], ['D.']]],
    ['multilabel', { kind: 'multilabel', labels: ['a', 'b'] }, { text: 'Some words', label: ['a'] }, [['Some words']]],
    ['regression', { kind: 'regression' }, { text: 'Same', textPair: 'Alike', label: 4.5 }, [['Same', 'Alike']]],
    ['tagging', { kind: 'tagging', labels: ['O', 'X'] }, { tokens: ['Go', 'home', '.'], tags: ['O', 'X', 'O'] }, [['Go home .']]],
    ['choice', { kind: 'choice' }, { text: 'It rains', choices: ['up', 'down', 'away'], label: 1 }, [['It rains', 'down']]],
    [
      'span',
      { kind: 'span' },
      { question: 'Who?', context: 'He did. She did. We did. They did.', answers: [{ text: 'He', start: 0 }] },
      [['Who?'], ['He did. She did. We did.'], ['They did.']],
    ],
  ];

  it.each(KINDS)('%s', async (_, card, row, texts) => {
    const { samples, dropped } = await corpus(task('given', card, { train: [row] }), ['given']);
    expect(samples).toEqual(texts);
    expect(dropped).toBe(0);
  });

  it('all kinds are here', () => expect(KINDS).toHaveLength(7));
});

it('lines of .txt files are texts; duplicates and empty lines are left out, whatever their case and punctuation', async () => {
  const content = {
    'a.txt': 'The sea is wide.\r\n\r\n  a second line  \nThe sea is wide\n...\n',
    'b.txt': 'THE SEA, IS WIDE!\na third line',
    ...task('pairs', BINARY, {
      train: [
        { text: 'a second line', textPair: 'a third line', label: 'no' },
        { text: 'A second line', textPair: 'A third line.', label: 'yes' },
        { text: '!', textPair: '?', label: 'yes' },
      ],
    }),
  };
  const { samples, dropped } = await corpus(content, ['a.txt', 'b.txt', 'pairs']);
  expect(samples).toEqual([['The sea is wide.'], ['a second line'], ['a third line'], ['a second line', 'a third line']]);
  expect(dropped).toBe(0);
});

describe('validation and test texts', () => {
  const unseen = {
    ...task('held', BINARY, {
      train: [{ text: 'the training rows are no secret', label: 'no' }],
      validation: [{ text: 'First of all comes this. Then the second part follows.', textPair: 'Yes.', label: 'no' }],
      test: [{ text: 'nobody has read this one yet', label: 'yes' }],
    }),
    ...task(
      'tags',
      { kind: 'tagging', labels: ['O', 'X'] },
      { test: [{ tokens: ['we', 'walk', 'to', 'town', '.'], tags: ['O', 'O', 'O', 'O', 'O'] }] },
    ),
    ...task('picks', { kind: 'choice' }, { test: [{ text: 'she opened it', choices: ['and the bird flew out', 'and slept'], label: 1 }] }),
  };

  it.each([
    ['a whole row', 'Nobody has read this one yet!'],
    ['a row as one sentence of a longer text', 'He said so. Nobody has read this one yet. And left.'],
    ['one sentence of a row', 'Then the second part follows.'],
    ['tagged words', 'Yesterday it rained. We walk to town.'],
    ['a choice that is wrong', 'And the bird flew out.'],
  ])('%s is dropped', async (_, line) => {
    const { samples, dropped } = await corpus(
      { ...unseen, 'a.txt': `Something else entirely here\n${line}\n` },
      ['a.txt'],
      ['held', 'tags', 'picks'],
    );
    expect(samples).toEqual([['Something else entirely here']]);
    expect(dropped).toBe(1);
  });

  it('a pair is dropped for either half', async () => {
    const train = [
      { text: 'this half is new to all', textPair: 'nobody has read this one yet', label: 'no' },
      { text: 'nobody has read this one yet', textPair: 'this half is new to all', label: 'no' },
      { text: 'this half is new to all', textPair: 'this half is new as well', label: 'no' },
    ];
    const { samples, dropped } = await corpus({ ...unseen, ...task('pairs', BINARY, { train }) }, ['pairs'], ['held']);
    expect([samples.length, dropped]).toEqual([1, 2]);
  });

  it.each([
    ['a short sentence', 'Yes.'],
    ['a training row', 'the training rows are no secret'],
    ['words within a sentence', 'surely nobody has read this one yet'],
  ])('%s is let pass', async (_, line) => {
    const { samples, dropped } = await corpus({ ...unseen, 'a.txt': line }, ['a.txt'], ['held', 'tags', 'picks']);
    expect([samples, dropped]).toEqual([[[line]], 0]);
  });
});

describe('says what is wrong when', () => {
  it('there is no text', async () => {
    expect(await problemOf({ 'a.txt': '\n \n' }, ['a.txt'])).toBe(
      'task.empty: a.txt: found no text; expected .txt files or task folders with training rows. Add text with --data.',
    );
    expect(await problemOf({}, [])).toMatch('task.empty: the texts to learn from: found no text');
  });

  it('all of it is held out', async () => {
    const content = task('held', BINARY, {
      train: [{ text: 'one two three four', label: 'no' }],
      test: [{ text: 'one two three four', label: 'no' }],
    });
    expect(await problemOf(content, ['held'], ['held'])).toMatch('found no text that is not in a validation or test row (1 left out)');
  });

  it('a file, folder or split is missing', async () => {
    expect(await problemOf({}, ['a.txt'])).toMatch(/^file\.missing: a\.txt/);
    expect(await problemOf({ 'a.txt': 'text' }, ['nowhere'])).toMatch(/^file\.missing: nowhere/);
    expect(await problemOf({ 'a.txt': 'text' }, ['a.txt'], ['nowhere'])).toMatch(/^file\.missing: nowhere/);
    expect(await problemOf(task('tests', BINARY, { test: [{ text: 'one', label: 'no' }] }), ['tests'])).toMatch(
      'task.empty: tests: found no training rows; expected a train split',
    );
  });

  it('a file is not text', async () => {
    const files = memoryFiles({ 'a.txt': Uint8Array.of(0xff, 0xfe, 0x00) });
    await expect(loadCorpus(files, ['a.txt'], [])).rejects.toMatchObject({ code: 'file.syntax' });
  });
});
