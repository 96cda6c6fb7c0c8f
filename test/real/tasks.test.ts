import { existsSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { nodeFiles } from '../../src/base/files-node.ts';
import { majorityScore } from '../../src/metrics/index.ts';
import { checkTask, loadRows, SPLITS } from '../../src/tasks/index.ts';

const data = '../shared/data';

describe.skipIf(!existsSync(data))(`the tasks of ${data} (skipped when that folder is absent)`, () => {
  const names = existsSync(data)
    ? readdirSync(data, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []))
    : [];

  it('are 33', () => expect(names.length).toBe(33));

  it.each(names)('%s: every row is read and counted as its card says', async (name) => {
    const { task, splits } = await checkTask(nodeFiles, `${data}/${name}`);
    const card = task.card as {
      sizes: { kept: object };
      distribution: Record<string, Record<string, number>> | null;
      floor: { majority?: number };
    };
    expect(Object.fromEntries(SPLITS.map((split) => [split, splits[split]?.rows]))).toEqual(card.sizes.kept);
    if (task.kind === 'classification' || task.kind === 'choice') {
      const seen = Object.entries(splits.test?.balance?.counts ?? {}).filter(([, count]) => count > 0);
      expect(Object.fromEntries(seen)).toEqual(card.distribution?.test);
    }
    const majority = majorityScore(task, await loadRows(nodeFiles, task, 'test'), await loadRows(nodeFiles, task, 'train'));
    if (card.floor?.majority !== undefined) expect(majority?.accuracy).toBeCloseTo(card.floor.majority, 3);
  });
});
