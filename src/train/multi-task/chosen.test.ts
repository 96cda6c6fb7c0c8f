import { expect, it } from 'vitest';
import { memoryFiles } from '../../base/files.ts';
import { chosenRows } from './chosen.ts';

it('counts by periods, tasks and rows; evaluations between steps and tasks without rows do not count', async () => {
  const step = (n: number) => ({ step: n, rows: n <= 10 ? { a: [0, n], b: [7] } : { a: [0] } });
  const lines = Array.from({ length: 20 }, (_, i) => [step(i + 1), ...(i === 9 ? [{ step: 10, metrics: {} }] : [])]).flat();
  const files = memoryFiles({ 'out/log.jsonl': lines.map((line) => `${JSON.stringify(line)}\n`).join('') });
  const { steps, shares, rows } = await chosenRows(files, 'out/log.jsonl', ['a', 'b', 'c']);
  expect(steps).toEqual([2, 4, 6, 8, 10, 12, 14, 16, 18, 20]);
  expect(shares.a).toEqual([...new Array(5).fill(2 / 3), ...new Array(5).fill(1)]);
  expect(shares.b).toEqual([...new Array(5).fill(1 / 3), ...new Array(5).fill(0)]);
  expect(shares.c).toEqual(new Array(10).fill(0));
  expect(rows.a).toEqual({ distinct: 11, mostOften: [{ row: 0, times: 20 }, ...[1, 2, 3, 4].map((row) => ({ row, times: 1 }))] });
  expect(rows.b).toEqual({ distinct: 1, mostOften: [{ row: 7, times: 10 }] });
  expect(rows.c).toEqual({ distinct: 0, mostOften: [] });
});

it('fewer steps than periods: a period each', async () => {
  const files = memoryFiles({ log: '{"step":1,"rows":{"a":[3]}}\n{"step":2,"rows":{"b":[1]}}\n' });
  const { steps, shares } = await chosenRows(files, 'log', ['a', 'b']);
  expect(steps).toEqual([1, 2]);
  expect(shares).toEqual({ a: [1, 0], b: [0, 1] });
});
