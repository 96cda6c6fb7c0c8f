import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { checkFences } from '../../tools/fences.mjs';
import { measure } from '../../tools/size.mjs';

const root = join(import.meta.dirname, '..', '..');
const run = (...flags: string[]) => execFileSync(process.execPath, ['tools/size.mjs', ...flags], { cwd: root, encoding: 'utf8' });

it('the size report counts the same lines as the fences', () => {
  const { engineLines, srcLines } = checkFences(root);
  const report = JSON.parse(run('--json')) as ReturnType<typeof measure>;
  expect(report).toEqual(JSON.parse(JSON.stringify(measure(root))));
  expect(report.src.lines).toBe(srcLines);
  expect(report.engine.lines).toBe(engineLines);
  expect(Object.values(report.folders).reduce((lines, folder) => lines + folder.lines, 0)).toBe(srcLines);
});

it('the size report for people names every folder and both budgets', () => {
  const text = run();
  for (const folder of Object.keys(measure(root).folders)) expect(text).toContain(`${folder}/`);
  expect(text).toMatch(/^engine +\d+ +of \d+ \(\d+ %\)$/m);
  expect(text).toMatch(/^src +\d+ +of \d+ \(\d+ %\)$/m);
});
