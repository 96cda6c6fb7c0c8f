// @ts-check
/** Lines of src/ by room and file, against the budgets: `node tools/size.mjs [--json]`. Tests are counted apart. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BUDGETS, inEngine } from './fences/budgets.mjs';
import { readLayout, readSources, roomOf, totalLines } from './source.mjs';

/** @typedef {{ path: string, lines: number, test: boolean }} FileSize */
/** @typedef {{ lines: number, testLines: number, budget: number | undefined, files: FileSize[] }} RoomSize */

/**
 * @param {string} root
 * @returns {{ rooms: Record<string, RoomSize>, engine: { lines: number, budget: number }, src: { lines: number, testLines: number } }}
 */
export function measure(root) {
  const sources = readSources(root).map(({ path, lines, test }) => ({ path, lines, test }));
  const lines = (/** @type {FileSize[]} */ files, test = false) => totalLines(files.filter((file) => file.test === test));
  const order = readLayout(root).map((row) => row.name);
  const rank = (/** @type {string} */ room) => order.indexOf(room.split('/')[0] ?? '');
  const names = [...new Set(sources.map(({ path }) => roomOf(path)))].sort((a, b) => rank(a) - rank(b));
  const rooms = names.map((name) => {
    const files = sources.filter(({ path }) => roomOf(path) === name);
    return [name || '.', { lines: lines(files), testLines: lines(files, true), budget: BUDGETS.rooms[name], files }];
  });
  return {
    rooms: Object.fromEntries(rooms),
    engine: { lines: lines(sources.filter(({ path }) => inEngine(path))), budget: BUDGETS.engine },
    src: { lines: lines(sources), testLines: lines(sources, true) },
  };
}

/** @param {ReturnType<typeof measure>} report */
export function render({ rooms, engine, src }) {
  const row = (/** @type {string} */ name, /** @type {number} */ lines, note = '') =>
    `${name.padEnd(52)}${String(lines).padStart(7)}  ${note}`.trimEnd();
  const share = (/** @type {{ lines: number, budget: number | undefined }} */ { lines, budget }) =>
    budget === undefined ? '' : `of ${budget} (${Math.round((lines / budget) * 100)} %)`;
  const ofFile = (/** @type {FileSize} */ { path, lines }) => row(`  ${path}`, lines, lines > BUDGETS.file * 0.9 ? 'near the limit' : '');
  return [
    ...Object.entries(rooms)
      .flatMap(([name, { files }]) => ['', `${name}/`, ...files.filter(({ test }) => !test).map(ofFile)])
      .slice(1),
    '',
    ...Object.entries(rooms).map(([name, room]) => row(`${name}/`, room.lines, `${share(room).padEnd(18)}tests ${room.testLines}`)),
    row('engine', engine.lines, share(engine)),
    row('src', src.lines, `tests ${src.testLines}`),
  ].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const report = measure(join(import.meta.dirname, '..'));
  console.log(process.argv.includes('--json') ? JSON.stringify(report, null, 2) : render(report));
}
