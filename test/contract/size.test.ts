import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { BUDGETS } from '../../tools/fences.mjs';
import { measure } from '../../tools/size.mjs';
import { readSources } from '../../tools/source.mjs';

const root = join(import.meta.dirname, '..', '..');
const run = (...flags: string[]) => execFileSync(process.execPath, ['tools/size.mjs', ...flags], { cwd: root, encoding: 'utf8' });

it('the size report counts every line of src/ in one room', () => {
  const report = JSON.parse(run('--json')) as ReturnType<typeof measure>;
  expect(report).toEqual(JSON.parse(JSON.stringify(measure(root))));
  const count = (test: boolean) => readSources(root).reduce((lines, file) => lines + (file.test === test ? file.lines : 0), 0);
  const rooms = Object.values(report.rooms);
  expect(report.src).toEqual({ lines: count(false), testLines: count(true) });
  expect(rooms.reduce((lines, room) => lines + room.lines, 0)).toBe(report.src.lines);
  expect(rooms.reduce((lines, room) => lines + room.testLines, 0)).toBe(report.src.testLines);
  expect(report.engine.lines).toBeLessThan(report.src.lines);
});

it('the size report for people holds every room, and the engine, against its budget', () => {
  const text = run();
  const { rooms } = measure(root);
  expect(
    Object.keys(rooms)
      .filter((room) => room !== '.')
      .sort(),
  ).toEqual(Object.keys(BUDGETS.rooms).sort());
  for (const [room, budget] of [...Object.entries(BUDGETS.rooms).map(([name, lines]) => [`${name}/`, lines]), ['engine', BUDGETS.engine]])
    expect(text).toMatch(new RegExp(`^${room} +\\d+ +of ${budget} \\(\\d+ %\\)`, 'm'));
  expect(text).toMatch(/^src +\d+ +tests \d+$/m);
});
