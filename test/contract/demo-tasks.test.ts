import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { nodeFiles } from '../../src/base/files-node.ts';
import { majorityScore } from '../../src/metrics/index.ts';
import { checkTask, loadRows, SPLITS } from '../../src/tasks/index.ts';

const names = readdirSync('assets/tasks');
const scratch = mkdtempSync(join(tmpdir(), 'multigraft-demo-tasks-'));
afterAll(() => rmSync(scratch, { recursive: true }));

describe('the demo tasks', () => {
  it('are five, in less than a megabyte', () => {
    const bytes = names.flatMap((name) =>
      readdirSync(`assets/tasks/${name}`).map((file) => readFileSync(`assets/tasks/${name}/${file}`).length),
    );
    expect(names).toEqual(['faq_match', 'order_slots', 'review_score', 'tickets_topic', 'tickets_urgency']);
    expect(bytes.length).toBe(20);
    expect(bytes.reduce((sum, n) => sum + n, 0)).toBeLessThan(1e6);
  });

  it('are what the generator writes, byte by byte', () => {
    execFileSync(process.execPath, ['tools/demo-tasks/build.mjs', '--output', join(scratch, 'built')]);
    let compared = 0;
    for (const name of names) {
      for (const split of SPLITS) {
        const file = `${name}/${split}.jsonl`;
        expect(readFileSync(join(scratch, 'built', file)).equals(readFileSync(`assets/tasks/${file}`)), file).toBe(true);
        compared += 1;
      }
    }
    expect(compared).toBe(15);
  });

  it.each(names)('%s: sizes, splits, balance and floor are as its card says', async (name) => {
    const { task, splits, warnings } = await checkTask(nodeFiles, `assets/tasks/${name}`);
    const card = task.card as {
      sizes: object;
      floor: { majority?: number; tfidf?: number };
      nearDuplicates: { rowsChecked: number; sharedEightWords: number; mostOfFiveWords: number };
    };
    const rows = SPLITS.map((split) => splits[split]?.rows ?? 0);
    expect(card.sizes).toEqual(Object.fromEntries(SPLITS.map((split, i) => [split, rows[i]])));
    expect(rows.slice(1)).toEqual([200, 400]);
    expect(warnings).toEqual([]);
    expect(SPLITS.map((split) => splits[split]?.repeated)).toEqual([0, 0, 0]);
    expect(card.nearDuplicates).toMatchObject({ rowsChecked: rows.reduce((a, b) => a + b), sharedEightWords: 0, mostOfFiveWords: 0 });
    const majority = majorityScore(task, await loadRows(nodeFiles, task, 'test'), await loadRows(nodeFiles, task, 'train'));
    expect(card.floor.majority).toEqual(majority && Math.round(majority.accuracy * 1e4) / 1e4);
    expect(card.floor.tfidf === undefined).toBe(task.kind === 'tagging');
  });
});

describe('the near-duplicate count', () => {
  const ours = [
    'How do I get the old lamp back to the shop before noon?',
    'A short line here',
    'Nothing like the others at all, I hope, dear reader',
  ];
  const theirs = [
    'Well, how do I get the OLD lamp back, asked he',
    'a short line',
    'a short, line here',
    'nothing like the others was ever seen, and I hope so, dear reader',
  ];

  it('finds shared sequences whatever the case and the punctuation', () => {
    for (const [folder, texts] of [['ours', ours] as const, ['theirs', theirs] as const]) {
      mkdirSync(join(scratch, folder, 'toy'), { recursive: true });
      const lines = texts.map((text) => `${JSON.stringify({ text })}\n`);
      writeFileSync(join(scratch, folder, 'toy/train.jsonl'), lines.join(''));
      for (const split of ['validation', 'test']) writeFileSync(join(scratch, folder, `toy/${split}.jsonl`), '');
    }
    const output = execFileSync(process.execPath, ['tools/near-duplicates.mjs', join(scratch, 'ours'), join(scratch, 'theirs')], {
      encoding: 'utf8',
    });
    expect(JSON.parse(output).toy).toMatchObject({
      rowsChecked: 3,
      against: { tasks: 1, rows: 4 },
      sharedEightWords: 1,
      mostOfFiveWords: 1,
    });
  });
});
