import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createWorkspace, type Workspace } from './workspace.ts';

let place: Workspace;
const TASKS = ['mood', 'words', 'score'];

beforeAll(async () => {
  place = createWorkspace();
  for (const [i, name] of TASKS.entries()) {
    const method = ['seq_bn', 'lora', 'seq_bn'][i] as string;
    const { code } = await place.run([
      ...['train', '--task', `@tasks/${name}`, '--model', '@bert', '--method', method, '--max-steps', '2', '--batch-size', '4'],
      ...['--threads', '1', '--output', `@out/${name}`],
    ]);
    expect(code).toBe(0);
  }
});
afterAll(() => place.remove());

const lines = (text: string) => text.split('\n').map((line) => JSON.parse(line));
const predict = ['predict', '--model', '@bert', '--threads', '1'];
const all = TASKS.flatMap((name) => ['--adapter', `@out/${name}`]);
const ROWS = [
  { id: 1, text: 'a good day', adapter: 'mood' },
  { id: 2, text: 'bad', adapter: 'score' },
  { id: 3, text: 'a bad thing', adapter: 'words' },
  { id: 4, text: 'good good good bad', adapter: 'mood' },
];
const jsonl = (rows: readonly object[]) => rows.map((row) => JSON.stringify(row)).join('\n');

describe('multigraft predict with several adapters', () => {
  it('answers each row with the adapter that it names, as that alone does', async () => {
    const { code, out, err } = await place.run([...predict, ...all, '--input', '-', '--scores'], jsonl(ROWS));
    expect([code, err]).toEqual([
      0,
      'note: Texts were split at white space for heads that answer one word at a time. Give "tokens" to split them yourself.',
    ]);
    const answers = lines(out);
    expect(answers.map(({ id }) => id)).toEqual([1, 2, 3, 4]);
    for (const [i, row] of ROWS.entries()) {
      const alone = await place.run([...predict, '--adapter', `@out/${row.adapter}`, '--input', '-', '--scores'], jsonl([row]));
      const [{ logits, prediction }] = lines(alone.out) as [{ logits: number[] | number[][]; prediction: unknown }];
      if (row.adapter !== 'score') expect(answers[i].prediction).toEqual(prediction);
      expect(answers[i].logits.flat()).toHaveLength(logits.flat().length);
      for (const [j, number] of logits.flat().entries()) expect(answers[i].logits.flat()[j]).toBeCloseTo(number, 5);
    }
  });

  it('takes rows of a table, and columns by other names', async () => {
    const table = place.write('rows.csv', 'sentence,adapter\na good day,mood\nbad,score\n');
    const { code, out } = await place.run([...predict, ...all, '--input', table, '--text', 'sentence']);
    expect(code).toBe(0);
    expect(lines(out)[0].prediction).toMatch(/^(good|bad)$/);
    expect(typeof lines(out)[1].prediction).toBe('number');
  });

  it.each([
    [
      [],
      [{ text: 'a' }],
      "stdin.jsonl:1, column \"adapter\": found nothing; expected 'mood', 'words', 'score' or '__base__'. With several --adapter each",
    ],
    [
      [],
      [ROWS[0], { text: 'a', adapter: 'wordz' }],
      `stdin.jsonl:2, column "adapter": found "wordz"; expected 'mood', 'words', 'score' or '__base__'. Did you mean 'words'?`,
    ],
    [[], [ROWS[0], { text: 'a', adapter: 3 }], 'stdin.jsonl:2, column "adapter": found 3; expected'],
    [[], [{ text: 'a', adapter: '__base__' }], 'stdin.jsonl:1: a row without an adapter: found no prediction head'],
    [['--head', 'mood'], ROWS, '--head: found mood, for several adapters; expected rows that name their "adapter".'],
    [['--explain'], ROWS, '--explain: found several adapters; expected a fusion'],
    [['--adapter', '@out/mood'], ROWS, "--adapter @out/mood: found another adapter 'mood'; expected adapters of different names."],
  ])('refuses %j, %#', async (flags, rows, message) => {
    const { code, err } = await place.run([...predict, ...all, ...flags, '--input', '-'], jsonl(rows as object[]));
    expect(code).toBeGreaterThan(0);
    expect(err).toContain(`multigraft: ${message}`);
  });
});
