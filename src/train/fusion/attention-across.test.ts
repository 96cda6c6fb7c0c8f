import { describe, expect, it } from 'vitest';
import { memoryFiles } from '../../base/files.ts';
import { taskAttention } from './attention-across.ts';

const site = (layer: number, attention: readonly number[]) => ({ layer, place: 'output', attention });
const fusion = (task: string, adapters: readonly string[], sites: readonly (readonly number[])[]) => {
  const mean = adapters.map((_, i) => sites.reduce((sum, shares) => sum + (shares[i] as number), 0) / sites.length);
  return { metrics: { task }, attention: { adapters, sites: sites.map((shares, i) => site(i, shares)), mean, rows: 4 } };
};

function folders(fusions: Record<string, ReturnType<typeof fusion>>) {
  return memoryFiles(
    Object.fromEntries(
      Object.entries(fusions).flatMap(([folder, { metrics, attention }]) => [
        [`${folder}/metrics.json`, JSON.stringify(metrics)],
        [`${folder}/attention.json`, JSON.stringify(attention)],
      ]),
    ),
  );
}

const three = {
  // A dot cannot stand in the name of an adapter.
  second: fusion(
    'b.v2',
    ['a', 'b_v2', 'c'],
    [
      [0.2, 0.6, 0.2],
      [0.5, 0.3, 0.2],
    ],
  ),
  strange: fusion(
    'other',
    ['a', 'b_v2', 'c'],
    [
      [1, 0, 0],
      [1, 0, 0],
    ],
  ),
  first: fusion(
    'a',
    ['c', 'a', 'b_v2'],
    [
      [0.1, 0.8, 0.1],
      [0.4, 0.2, 0.4],
    ],
  ),
};

describe('the view over tasks', () => {
  it('has a row per task in the order of the adapters, and tells own from others', async () => {
    const { adapters, tasks, diagonal, offDiagonal, sites } = await taskAttention(folders(three), Object.keys(three));
    expect(adapters).toEqual(['a', 'b_v2', 'c']);
    expect(tasks.map(({ task, folder, own, most }) => [task, folder, own, most])).toEqual([
      ['a', 'first', 0, 0],
      ['b.v2', 'second', 1, 1],
      ['other', 'strange', undefined, 0],
    ]);
    expect(tasks[0]?.attention.map((share) => share.toFixed(3))).toEqual(['0.500', '0.250', '0.250']);
    // (0.5 + 0.45) / 2, and half of what is left of each.
    expect(diagonal).toBeCloseTo(0.475, 12);
    expect(offDiagonal).toBeCloseTo(0.2625, 12);
    expect(sites.map(({ layer, diagonal: own }) => [layer, own.toFixed(3)])).toEqual([
      [0, '0.700'],
      [1, '0.250'],
    ]);
  });

  it('of tasks without an adapter of their own has no diagonal', async () => {
    const view = await taskAttention(folders(three), ['strange']);
    expect([view.diagonal, view.sites]).toEqual([undefined, []]);
  });

  it.each([
    [
      'another number of adapters',
      { x: fusion('x', ['a', 'c'], [[0.5, 0.5]]) },
      'x: found a fusion of a, c; expected one of a, b_v2, c, as in first',
    ],
    ['another adapter', { x: fusion('x', ['a', 'c', 'd'], [[0.5, 0.5, 0]]) }, 'x: found a fusion of a, c, d; expected one of'],
  ])('refuses %s', async (_, more, message) => {
    const files = folders({ first: fusion('a', ['a', 'b_v2', 'c'], [[1, 0, 0]]), ...more });
    await expect(taskAttention(files, ['first', 'x'])).rejects.toThrow(message);
  });

  it('refuses a folder without a table, and a damaged one', async () => {
    const files = folders(three);
    await files.write('bare/metrics.json', '{}');
    await expect(taskAttention(files, ['first', 'bare'])).rejects.toThrow(
      'bare: found no attention.json; expected the folder that multigraft fuse made',
    );
    await files.write('bare/attention.json', '{"adapters": []}');
    await expect(taskAttention(files, ['first', 'bare'])).rejects.toThrow('bare/attention.json: adapters: found');
  });
});
