// @ts-check
/** Lines of src/ by folder and file, against the budgets: `node tools/size.mjs [--json]`. Tests are counted apart. */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BUDGETS, ENGINE } from './fences.mjs';
import { readLayout, readSources } from './source.mjs';

/** @typedef {{ lines: number, testLines: number, files: { path: string, lines: number, test: boolean }[] }} FolderSize */
/** @typedef {{ lines: number, budget: number, share: number }} Share */

/**
 * @param {string} root
 * @returns {{ folders: Record<string, FolderSize>, src: Share, engine: Share, testLines: number }}
 */
export function measure(root) {
  const sources = readSources(root);
  const names = ['', ...readLayout(root).map((row) => row.name)];
  const order = [...names, ...new Set(sources.map((file) => file.folder).filter((name) => !names.includes(name)))];
  const folders = Object.fromEntries(
    order.flatMap((name) => {
      const files = sources.filter((file) => file.folder === name).map(({ path, lines, test }) => ({ path, lines, test }));
      return files.length === 0 ? [] : [[name === '' ? '.' : name, { lines: total(files, false), testLines: total(files, true), files }]];
    }),
  );
  const engine = sources.filter((file) => ENGINE.includes(file.folder));
  return {
    folders,
    src: share(total(sources, false), BUDGETS.src),
    engine: share(total(engine, false), BUDGETS.engine),
    testLines: total(sources, true),
  };
}

/** @param {ReturnType<typeof measure>} report */
export function render(report) {
  const line = (/** @type {string} */ name, /** @type {number} */ lines, note = '') =>
    `${name.padEnd(40)}${String(lines).padStart(7)}  ${note}`.trimEnd();
  const folders = Object.entries(report.folders).flatMap(([name, { lines, testLines, files }]) => [
    line(`${name}/`, lines, `tests ${testLines}`),
    ...files
      .filter((file) => !file.test)
      .map((file) => line(`  ${file.path}`, file.lines, file.lines > BUDGETS.file * 0.9 ? 'near the limit' : '')),
  ]);
  const totals = Object.entries({ engine: report.engine, src: report.src }).map(([name, { lines, budget, share: part }]) =>
    line(name, lines, `of ${budget} (${Math.round(part * 100)} %)`),
  );
  return [...folders, ...totals, line('tests in src', report.testLines)].join('\n');
}

/**
 * @param {{ lines: number, test: boolean }[]} files
 * @param {boolean} test
 */
function total(files, test) {
  return files.filter((file) => file.test === test).reduce((lines, file) => lines + file.lines, 0);
}

/**
 * @param {number} lines
 * @param {number} budget
 * @returns {Share}
 */
function share(lines, budget) {
  return { lines, budget, share: lines / budget };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const report = measure(join(dirname(fileURLToPath(import.meta.url)), '..'));
  console.log(process.argv.includes('--json') ? JSON.stringify(report, null, 2) : render(report));
}
