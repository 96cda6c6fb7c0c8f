import { describe, expect, it } from 'vitest';
import { memoryFiles } from '../base/files.ts';
import { commands } from './commands.ts';
import { runProgram } from './program.ts';

const rows = (...labels: string[]) => labels.map((label, i) => `${JSON.stringify({ text: `a row ${i}`, label })}\n`).join('');
const files = memoryFiles({
  'all/mood/card.json': JSON.stringify({ name: 'mood', kind: 'classification', labels: ['good', 'bad'], metric: 'accuracy' }),
  'all/mood/train.jsonl': rows('good', 'bad', 'good', 'good'),
  'all/mood/test.jsonl': rows('bad'),
  'all/notes.txt': 'no task',
  'none/notes.txt': 'no task',
});

async function run(...words: string[]) {
  const out: string[] = [];
  const err: string[] = [];
  const world = {
    files,
    stdout: (text: string) => void out.push(text),
    stderr: (text: string) => void err.push(text),
    stdin: async () => new Uint8Array(),
    isTTY: false,
  };
  const code = await runProgram(['tasks', ...words], commands, { ...world, signal: new AbortController().signal }, '0');
  return { code, out: out.join('\n'), err: err.join('\n') };
}

describe('multigraft tasks', () => {
  it('says what is in a task', async () => {
    const { code, out } = await run('all/mood');
    expect(code).toBe(0);
    expect(out).toContain('mood: classification, metric accuracy\n2 labels: good, bad\n');
    expect(out).toMatch(/train +4 rows; words: median 3, 95 % ≤ 3, at most 3; largest class 75\.0 %/);
    expect(out).toContain('note: There is no validation split.');
  });

  it('gives the same as JSON, and takes flags for what the card says', async () => {
    const { out } = await run('all/mood', '--labels', 'bad,good', '--json');
    expect(JSON.parse(out)).toMatchObject({ task: { labels: ['bad', 'good'] }, splits: { train: { rows: 4 }, test: { rows: 1 } } });
  });

  it('lists the tasks of a folder', async () => {
    expect((await run('all')).out.replaceAll(/ +/g, ' ')).toBe('mood classification 2 labels accuracy train test');
  });

  it('says what is wrong with a path', async () => {
    expect(await run('none')).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^multigraft: none: found no task; expected a card\.json/),
    });
    expect(await run('nowhere')).toMatchObject({ code: 1, err: expect.stringMatching(/^multigraft: nowhere: found nothing/) });
    expect(await run('all/mood', '--labels', 'good')).toMatchObject({ code: 1, out: '' });
  });

  it('names the kinds without a path', async () => {
    expect((await run()).out).toContain('classification, multilabel, regression');
  });
});
